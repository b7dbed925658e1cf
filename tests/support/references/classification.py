"""References of the losses for one class of several."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from scipy import special

from tests.support.references._exact import Array


def _classes_last(array: Array) -> Array:
    return np.moveaxis(array, min(1, array.ndim - 1), -1)


def _smoothed(labels: Array, classes: int, label_smoothing: float) -> Array:
    """Labels (..., classes last) as probabilities; every label must be a class."""
    target = np.eye(classes)[labels] if np.issubdtype(labels.dtype, np.integer) else _classes_last(labels)
    return (1 - label_smoothing) * target + label_smoothing / classes


def cross_entropy(
    predictions: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    logits = _classes_last(predictions)
    classes = logits.shape[-1]
    counted = np.ones(logits.shape[:-1], dtype=bool)
    if np.issubdtype(labels.dtype, np.integer):
        counted = labels != ignore_index
        labels = np.where(counted, labels, 0)
    surprise = special.logsumexp(logits, axis=-1, keepdims=True) - logits
    factors = np.ones(classes) if weight is None else weight
    values = np.sum(factors * _smoothed(labels, classes, label_smoothing) * surprise, axis=-1)
    return np.where(counted, values, 0.0)


def nll(predictions: Array, labels: Array, weight: Array | None = None, ignore_index: int = -100) -> Array:
    log_probabilities = _classes_last(predictions)
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label != ignore_index:
            values[place] = -log_probabilities[place][label] * (1.0 if weight is None else weight[label])
    return values


def linear_cross_entropy(
    features: Array, classifier: Array, labels: Array, bias: Array | None = None, **parameters: Any
) -> Array:
    logits = np.einsum("...d,cd->...c", features, classifier) + (0.0 if bias is None else bias)
    return cross_entropy(logits, labels, **parameters)


def focal(
    predictions: Array,
    labels: Array,
    gamma: float = 2.0,
    alpha: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    logits = _classes_last(predictions)
    classes = logits.shape[-1]
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] == ignore_index:
            continue
        powers = [mpmath.exp(float(logit)) for logit in logits[place]]
        total = mpmath.fsum(powers)
        target = _smoothed(labels[place], classes, label_smoothing)
        terms = [
            float(target[c])
            * (1.0 if alpha is None else float(alpha[c]))
            * (1 - powers[c] / total) ** gamma
            * -mpmath.log(powers[c] / total)
            for c in range(classes)
        ]
        values[place] = float(mpmath.fsum(terms))
    return values
