"""References of the losses for tokens."""

from __future__ import annotations

import numpy as np
from scipy import special

from tests.support.references._exact import Array


def token_cross_entropy(
    predictions: Array, labels: Array, ignore_index: int = -100, label_smoothing: float = 0.0, z_loss: float = 0.0
) -> Array:
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] != ignore_index:
            size = predictions.shape[-1]
            target = np.full(size, label_smoothing / size)
            target[labels[place]] += 1 - label_smoothing
            denominator = special.logsumexp(predictions[place])
            values[place] = target @ (denominator - predictions[place]) + z_loss * denominator**2
    return values


def topk_distillation(predictions: Array, teacher: Array, direction: str = "forward", tail: bool = True) -> Array:
    student, truth = np.exp(predictions), np.exp(teacher)
    if direction == "reverse":
        student, truth = truth, student
    within = special.rel_entr(truth, student).sum(-1)
    return within + special.rel_entr(1 - truth.sum(-1), 1 - student.sum(-1)) if tail else within
