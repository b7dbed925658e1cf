"""Multilabel: for every sample, each of L labels holds or not; predictions and labels are (N, L)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmeter.metrics.batches import Batch, Labels
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.task import LossUse, Task


def read(raw: RawBatch) -> Batch:
    """Reads predictions for each label, or decisions, and the labels that hold."""
    shape = raw.predictions.shape
    raw.check_shape(shape, "the shape of predictions")
    if len(shape) != 2 or raw.classes not in {None, shape[1]}:
        raise raw.wrong("predictions", f"predictions has shape {list(shape)}; expected (N, {raw.classes or 'L'})")
    weight = raw.weights(shape)
    predicted = raw.decisions(weight > 0).reshape(-1)
    actual = raw.indices("labels", weight > 0, 2).reshape(-1) == 1
    column = np.broadcast_to(np.arange(shape[1]), shape).reshape(-1)
    fields, keep = raw.kept(weight)
    return Labels(
        **fields,
        labels=shape[1],
        predictions_are=raw.predictions_are,
        column=column[keep],
        actual=actual[keep],
        raw=predicted[keep],
    )


def count_labels(predictions: Any, predictions_are: str, declared: int | None) -> int | None:
    """Reads the number of labels off the predictions."""
    return predictions.shape[1] if predictions.ndim > 1 else declared


MULTILABEL = Task(
    "multilabel",
    ("logits", "probabilities", "scores", "classes"),
    read,
    LossUse(
        labels=("probabilities", "±1"),
        usual={"logits": ("binary_cross_entropy_with_logits",), "probabilities": ("binary_cross_entropy",)},
    ),
    count_labels,
)
