"""References of the losses of reinforcement learning, token by token or answer by answer."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
from scipy import special, stats

from tests.support.references._exact import Array, exactly


def _each(function: Callable[..., float], *arrays: Array) -> Array:
    return np.array([function(*one) for one in zip(*(a.ravel().tolist() for a in arrays), strict=True)]).reshape(
        arrays[0].shape
    )


def _ratio(log_prob: float, old: float) -> float:
    return math.exp(min(max(log_prob - old, -20.0), 20.0))


def policy_gradient(log_probs: Array, advantages: Array) -> Array:
    return -(advantages * log_probs)


def importance_sampling(log_probs: Array, old_log_probs: Array, advantages: Array) -> Array:
    return _each(lambda now, old, gain: -gain * _ratio(now, old), log_probs, old_log_probs, advantages)


def _clipped(ratio: float, gain: float, low: float, high: float) -> float:
    """By cases: a good token gains no more above its bound, a bad one no more below."""
    return -gain * (min(ratio, 1 + high) if gain > 0 else max(ratio, 1 - low))


def ppo_clip(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
) -> Array:
    def one(now: float, old: float, gain: float) -> float:
        ratio = _ratio(now, old)
        # The bound for bad tokens is that of what they lose, so the largest ratio that counts is never below 1 - low.
        bounded = ratio if dual_clip is None or gain >= 0 else min(ratio, dual_clip)
        return _clipped(bounded, gain, clip_low, clip_high)

    return _each(one, log_probs, old_log_probs, advantages)


def cispo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    clip_low: float | None = None,
    clip_high: float | None = 4.0,
) -> Array:
    weight = np.exp(np.clip(log_probs - old_log_probs, -20, 20))
    if clip_high is not None:
        weight = np.minimum(weight, 1 + clip_high)
    if clip_low is not None:
        weight = np.maximum(weight, 1 - clip_low)
    return -advantages * log_probs * weight


def dro(log_probs: Array, old_log_probs: Array, advantages: Array, beta: float = 0.05) -> Array:
    return -(log_probs * advantages - 0.5 * beta * (log_probs - old_log_probs) ** 2)


def sapo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    tau_positive: float = 1.0,
    tau_negative: float = 1.05,
) -> Array:
    def one(now: float, old: float, gain: float) -> float:
        tau = tau_positive if gain > 0 else tau_negative
        return float(-gain * 4 / tau * special.expit(tau * (_ratio(now, old) - 1)))

    return _each(one, log_probs, old_log_probs, advantages)


def value_clip(predictions: Array, old_values: Array, labels: Array, clip: float = 0.2) -> Array:
    near = np.minimum(np.maximum(predictions, old_values - clip), old_values + clip)
    return np.where(np.abs(near - labels) > np.abs(predictions - labels), near - labels, predictions - labels) ** 2 / 2


def gspo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    mask: Array | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Array:
    values = np.zeros(log_probs.shape)
    for row in range(len(log_probs)):
        counted = np.flatnonzero(np.ones(log_probs.shape[1]) if mask is None else mask[row])
        ratios = np.exp(log_probs[row, counted] - old_log_probs[row, counted])
        whole = min(float(stats.gmean(ratios)), math.exp(10)) if len(counted) else 1.0
        for token in counted:
            values[row, token] = _clipped(whole, advantages[row, token], clip_low, clip_high)
    return values


def geometric_mean_policy(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    mask: Array | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Array:
    values = np.zeros(log_probs.shape)
    for row in range(len(log_probs)):
        counted = np.flatnonzero(np.ones(log_probs.shape[1]) if mask is None else mask[row])
        ratios = []
        for token in counted:
            gain, ratio = advantages[row, token], _ratio(log_probs[row, token], old_log_probs[row, token])
            bounds = {1.0: min(ratio, math.exp(clip_high)), -1.0: max(ratio, math.exp(-clip_low)), 0.0: 1.0}
            ratios.append(bounds[float(np.sign(gain))])
        if len(counted):
            values[row, counted] = -advantages[row, counted].mean() * stats.gmean(ratios)
    return values


def _bounded(log_probs: Array, old_log_probs: Array, advantages: Array, kept: Array) -> Array:
    ratio = np.minimum(np.exp(np.minimum(log_probs - old_log_probs, 20)), 20)
    return np.where(kept, -ratio * advantages * log_probs, 0.0)


def dppo_tv(log_probs: Array, old_log_probs: Array, advantages: Array, low: float = 0.2, high: float = 0.2) -> Array:
    risen = np.exp(log_probs) - np.exp(old_log_probs)
    left = ((advantages > 0) & (risen > high)) | ((advantages < 0) & (-risen > low))
    return _bounded(log_probs, old_log_probs, advantages, ~left)


def dppo_kl(log_probs: Array, old_log_probs: Array, advantages: Array, low: float = 0.2, high: float = 0.2) -> Array:
    new, old = np.exp(log_probs), np.exp(old_log_probs)
    rest = np.finfo(np.float64).eps
    divergence = special.rel_entr(old, new) + special.rel_entr(1 - old, np.maximum(1 - new, rest))
    left = ((advantages > 0) & (new > old) & (divergence > high)) | (
        (advantages < 0) & (new < old) & (divergence > low)
    )
    return _bounded(log_probs, old_log_probs, advantages, ~left)


def kl_k1(log_probs: Array, reference_log_probs: Array) -> Array:
    return log_probs - reference_log_probs


def kl_k2(log_probs: Array, reference_log_probs: Array) -> Array:
    return (log_probs - reference_log_probs) ** 2 / 2


def kl_k3(log_probs: Array, reference_log_probs: Array) -> Array:
    difference = np.clip(reference_log_probs - log_probs, -20, 20)
    return exactly(lambda d: mpmath.exp(d) - d - 1, difference)


def entropy(predictions: Array) -> Array:
    return np.asarray(special.entr(special.softmax(predictions, axis=-1)).sum(-1))
