"""References of the losses that are alone in their kind."""

from __future__ import annotations

import mpmath
import numpy as np
from scipy import stats

from tests.support.references._exact import Array, exactly


def vae_kl(mean: Array, log_variance: Array) -> Array:
    terms = exactly(lambda m, v: -(1 + v - m**2 - mpmath.exp(v)) / 2, mean, log_variance)
    return np.asarray(terms.sum(-1))


def wasserstein_1d(predictions: Array, labels: Array) -> Array:
    rows = zip(predictions, labels, strict=True)
    return np.array([stats.wasserstein_distance(x, y) for x, y in rows], dtype=np.float64)


def cox_ph(predictions: Array, times: Array, events: Array) -> Array:
    values = np.zeros(len(times))
    for n in np.flatnonzero(events):
        total = mpmath.fsum(mpmath.exp(mpmath.mpf(float(x - predictions[n]))) for x in predictions[times >= times[n]])
        values[n] = mpmath.log(total)
    return values
