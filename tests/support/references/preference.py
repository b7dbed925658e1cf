"""References of the losses for preferences, from their formulas with log-probabilities as probabilities where they fit."""

from __future__ import annotations

import numpy as np
from scipy import special

from tests.support.references._exact import Array


def _shift(policy_chosen: Array, policy_rejected: Array, reference_chosen: Array, reference_rejected: Array) -> Array:
    """The difference of differences the other way around than in the losses: policy less reference."""
    return (policy_chosen - policy_rejected) - (reference_chosen - reference_rejected)


def _against(right: Array, wrong_share: float = 0.0) -> Array:
    """Cross entropy of a judge who errs that often with a chance of sigmoid(right)."""
    return -(1 - wrong_share) * special.log_expit(right) - wrong_share * special.log_expit(-right)


def dpo(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Array:
    shift = _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return _against(beta * shift, label_smoothing)


def ipo(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    # (d - 1 / 2b)^2, with the square written out
    shift = _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return np.square(2 * beta * shift - 1) / (4 * beta**2)


def dpo_hinge(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    shift = _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return np.where(beta * shift < 1, 1 - beta * shift, 0.0)


def robust_dpo(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
    label_smoothing: float = 0.1,
) -> Array:
    right = beta * _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    clean, flipped = special.log_expit(right), special.log_expit(-right)
    return (label_smoothing * flipped - (1 - label_smoothing) * clean) / (1 - 2 * label_smoothing)


def exo_pair(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
    label_smoothing: float = 1e-3,
) -> Array:
    right = beta * _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return special.rel_entr(special.expit(right), 1 - label_smoothing) + special.rel_entr(
        special.expit(-right), label_smoothing
    )


def discopop(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
    temperature: float = 0.05,
) -> Array:
    right = beta * _shift(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    mixture = special.expit(right / temperature)
    return special.expit(-right / temperature) * np.log1p(np.exp(-right)) + mixture * np.exp(-right)


def nca_pair(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    better, worse = beta * (policy_chosen - reference_chosen), beta * (policy_rejected - reference_rejected)
    return np.log1p(np.exp(-better)) + np.log1p(np.exp(better)) / 2 + np.log1p(np.exp(worse)) / 2


def sppo_hard(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    better, worse = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    return (np.square(2 * beta * better - 1) + np.square(2 * beta * worse + 1)) / (4 * beta**2)


def apo_zero(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    better = np.exp(beta * (policy_chosen - reference_chosen))
    worse = np.exp(beta * (policy_rejected - reference_rejected))
    return 1 / (1 + better) + worse / (1 + worse)


def apo_down(
    policy_chosen: Array,
    policy_rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    beta: float = 0.1,
) -> Array:
    better = np.exp(beta * (policy_chosen - reference_chosen))
    worse = np.exp(beta * (policy_rejected - reference_rejected))
    return better / (1 + better) + 1 / (1 + better / worse)


def kto(
    policy: Array,
    reference: Array,
    labels: Array,
    reference_kl: Array,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Array:
    gain = beta * (policy - reference - reference_kl)
    # 1 - sigmoid(x) is 1 / (1 + exp(x)), which does not cancel
    desirable = desirable_weight / (1 + np.exp(gain))
    return np.where(labels == 1, desirable, undesirable_weight / (1 + np.exp(-gain)))


def simpo(
    policy_chosen: Array,
    policy_rejected: Array,
    chosen_lengths: Array,
    rejected_lengths: Array,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Array:
    lead = policy_chosen / chosen_lengths - policy_rejected / rejected_lengths - gamma / beta
    return _against(beta * lead)


def cpo(policy_chosen: Array, policy_rejected: Array, beta: float = 0.1) -> Array:
    return np.log1p(np.exp(beta * policy_rejected - beta * policy_chosen))


def orpo(policy_chosen: Array, policy_rejected: Array, beta: float = 0.1) -> Array:
    chosen, rejected = np.exp(policy_chosen), np.exp(policy_rejected)
    ratio = chosen / -np.expm1(policy_chosen) / (rejected / -np.expm1(policy_rejected))
    return -policy_chosen + beta * np.log1p(1 / ratio)


def bradley_terry(chosen: Array, rejected: Array, margin: Array | None = None) -> Array:
    return np.logaddexp(0.0, rejected - chosen + (0.0 if margin is None else margin))
