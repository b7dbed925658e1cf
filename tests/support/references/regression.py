"""References of the losses for numbers."""

from __future__ import annotations

import numpy as np
from scipy import special

from tests.support.references._exact import Array


def mse(predictions: Array, labels: Array) -> Array:
    return np.square(predictions - labels)


def mae(predictions: Array, labels: Array) -> Array:
    return np.abs(predictions - labels)


def smooth_l1(predictions: Array, labels: Array, beta: float = 1.0) -> Array:
    difference = predictions - labels
    return special.huber(beta, difference) / beta if beta else np.abs(difference)


def huber(predictions: Array, labels: Array, delta: float = 1.0) -> Array:
    return special.huber(delta, predictions - labels)
