"""References of the losses for margins."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests.support.references._exact import Array
from tests.support.references.binary import binary_cross_entropy_with_logits


def multi_margin(
    predictions: Array, labels: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None
) -> Array:
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        scores, right = predictions[place], labels[place]
        lacking = [max(0.0, margin - scores[right] + scores[c]) ** p for c in range(len(scores)) if c != right]
        values[place] = math.fsum(lacking) / len(scores) * (1.0 if weight is None else weight[right])
    return values


def multilabel_margin(predictions: Array, labels: Array) -> Array:
    values = np.zeros(predictions.shape[:-1])
    for place in np.ndindex(values.shape):
        scores = predictions[place]
        right = list(itertools.takewhile(lambda label: label >= 0, labels[place].tolist()))
        wrong = set(range(len(scores))) - set(right)
        values[place] = math.fsum(max(0.0, 1 - scores[r] + scores[w]) for r in right for w in wrong) / len(scores)
    return values


def multilabel_soft_margin(predictions: Array, labels: Array, weight: Array | None = None) -> Array:
    return np.mean(binary_cross_entropy_with_logits(predictions, labels, weight), axis=-1)


def soft_margin(predictions: Array, labels: Array) -> Array:
    return np.logaddexp(0, -labels * predictions)
