"""References of the losses for distributions."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from tests.support.references._exact import Array


def kl_div(predictions: Array, labels: Array, log_target: bool = False) -> Array:
    logarithms, probabilities = (labels, np.exp(labels)) if log_target else (None, labels)
    entropy = special.entr(probabilities) if logarithms is None else -probabilities * logarithms
    return -entropy - probabilities * predictions


def poisson_nll(
    predictions: Array, labels: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Array:
    log_rates = predictions if log_input else np.log(predictions + eps)
    values = (np.exp(predictions) if log_input else predictions) - labels * log_rates
    if full:
        large = np.maximum(labels, 1.0)
        stirling = large * np.log(large) - large + 0.5 * np.log(2 * np.pi * large)
        values = values + np.where(labels > 1, stirling, 0.0)
    return values


def gaussian_nll(predictions: Array, labels: Array, variance: Array, full: bool = False, eps: float = 1e-6) -> Array:
    if variance.ndim < predictions.ndim:
        variance = variance[..., np.newaxis]
    values = -stats.norm.logpdf(labels, loc=predictions, scale=np.sqrt(np.maximum(variance, eps)))
    return values if full else values - 0.5 * np.log(2 * np.pi)
