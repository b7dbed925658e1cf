"""One class out of C for each element: yes or no (N, *d), one of many (N, C, *d), and the same for pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.metrics.batches import Batch, Labelled
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.task import LossUse, Task

KINDS = ("logits", "probabilities", "scores", "classes")
SUM_TOLERANCE = 0.02
"""The largest distance from 1 of the sum of the probabilities of a sample: those written with two digits stay within it."""
ROUNDING = 1e-9


def read_binary(raw: RawBatch) -> Batch:
    """Reads predictions for class 1, or decisions, (N, *d) and labels 0 or 1 of the same shape."""
    raw.check_shape(raw.predictions.shape, "the shape of predictions")
    weight = raw.weights(raw.labels.shape)
    predicted = raw.decisions(weight > 0).reshape(-1)
    label = raw.indices("labels", weight > 0, 2).reshape(-1)
    fields, keep = raw.kept(weight)
    return Labelled(
        **fields,
        classes=2,
        binary=True,
        label=label[keep],
        predictions_are=raw.predictions_are,
        raw=predicted[keep],
    )


def read_exclusive(raw: RawBatch) -> Batch:
    """Reads predictions (N, C, *d), or (N, *d) if they are classes, and labels (N, *d)."""
    predictions, are = raw.predictions, raw.predictions_are
    if are == "classes":
        if raw.classes is None:
            raise raw.wrong(
                "classes",
                "classes is missing; expected the number of classes, or class_names, as predictions are classes",
            )
        classes, shape = raw.classes, predictions.shape
    else:
        if predictions.ndim < 2 or predictions.shape[1] < 2:
            message = f"predictions has shape {list(predictions.shape)}; expected (N, C, …), C at least 2"
            raise raw.wrong("predictions", message)
        classes, shape = predictions.shape[1], predictions.shape[:1] + predictions.shape[2:]
        if raw.classes not in {None, classes}:
            raise raw.wrong("predictions", f"predictions has {classes} classes; expected {raw.classes}")
    if raw.labels.shape == predictions.shape[:-1] != shape:
        message = (
            f"labels has shape {list(raw.labels.shape)}; expected {list(shape)}: classes belong in dimension 1 of "
        )
        raise raw.wrong("labels", message + f"predictions, whose shape is {list(predictions.shape)}")
    raw.check_shape(shape, "the shape of predictions without its classes")
    weight = raw.weights(shape)
    counted = weight > 0
    label = raw.indices("labels", counted, classes).reshape(-1)
    if are == "classes":
        predicted: npt.NDArray[Any] = raw.indices("predictions", counted, classes).reshape(-1)
    else:
        full = raw.decisions(np.broadcast_to(np.expand_dims(counted, 1), predictions.shape))
        if are == "probabilities":
            sums = full.sum(axis=1)
            close = (np.abs(sums - 1) <= SUM_TOLERANCE + ROUNDING) | ~counted
            expected = f"expected 1, or at most {SUM_TOLERANCE} from it"
            raw.check(
                "predictions",
                close,
                lambda s: f"a sum of probabilities of {s}; {expected}",
                sums,
            )
        predicted = np.moveaxis(full, 1, -1).reshape(-1, classes)
    fields, keep = raw.kept(weight)
    logarithms = None if raw.logarithms is None else np.moveaxis(raw.logarithms, 1, -1).reshape(-1, classes)[keep]
    return Labelled(
        **fields,
        classes=classes,
        binary=False,
        label=label[keep],
        predictions_are=are,
        raw=predicted[keep],
        logarithms=logarithms,
    )


def count_classes(predictions: Any, predictions_are: str, declared: int | None) -> int | None:
    """Reads the number of classes off the predictions, unless these are classes themselves."""
    return predictions.shape[1] if predictions_are != "classes" and predictions.ndim > 1 else declared


BINARY = Task(
    "binary",
    KINDS,
    read_binary,
    LossUse(
        labels=("probabilities", "±1"),
        usual={"logits": ("binary_cross_entropy_with_logits",), "probabilities": ("binary_cross_entropy",)},
        elementwise=True,
    ),
    named=True,
)
EXCLUSIVE = LossUse(
    labels=("class indices",),
    usual={"logits": ("cross_entropy",), "probabilities": ("nll",), "log_probabilities": ("nll",)},
)
MULTICLASS = Task("multiclass", (*KINDS, "log_probabilities"), read_exclusive, EXCLUSIVE, count_classes, named=True)
SEGMENTATION = Task("segmentation", (*KINDS, "log_probabilities"), read_exclusive, EXCLUSIVE, count_classes, named=True)
