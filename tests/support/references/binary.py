"""References of the losses for yes or no."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from tests.support.references._exact import Array, exactly


def binary_cross_entropy(predictions: Array, labels: Array, weight: Array | None = None) -> Array:
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(predictions), -100), np.maximum(np.log1p(-predictions), -100)
    return -(labels * yes + (1 - labels) * no) * (1.0 if weight is None else weight)


def binary_cross_entropy_with_logits(
    predictions: Array, labels: Array, weight: Array | None = None, pos_weight: Array | None = None
) -> Array:
    yes, no = np.logaddexp(0, -predictions), np.logaddexp(0, predictions)
    values = (1.0 if pos_weight is None else pos_weight) * labels * yes + (1 - labels) * no
    return values * (1.0 if weight is None else weight)


def binary_focal(
    predictions: Array,
    labels: Array,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    pos_weight: Array | None = None,
) -> Array:
    def value(x: Any, y: Any, factor: Any) -> Any:
        p = 1 / (1 + mpmath.exp(-x))
        right = p * y + (1 - p) * (1 - y)
        balance = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
        surprise = factor * y * -mpmath.log(p) + (1 - y) * -mpmath.log(1 - p)
        return balance * (1 - right) ** gamma * surprise

    factors = np.ones_like(predictions) if pos_weight is None else np.broadcast_to(pos_weight, predictions.shape)
    return exactly(value, predictions, labels, factors)
