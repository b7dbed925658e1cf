"""Regression: predictions (N, *d) and labels of the same shape are real numbers."""

from __future__ import annotations

from lossmeter.metrics.batches import Batch, Numbers
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.task import LossUse, Task


def read(raw: RawBatch) -> Batch:
    """Reads numbers."""
    raw.check_shape(raw.predictions.shape, "the shape of predictions")
    weight = raw.weights(raw.labels.shape)
    counted = raw.counted(weight)
    predictions, labels = (raw.finite(role, counted).reshape(-1) for role in ("predictions", "labels"))
    fields, keep = raw.kept(weight)
    return Numbers(**fields, predictions=predictions[keep], labels=labels[keep])


REGRESSION = Task(
    "regression",
    ("values",),
    read,
    LossUse(labels=("values",), usual={"values": ("mse", "mae", "huber")}, indices=False),
)
