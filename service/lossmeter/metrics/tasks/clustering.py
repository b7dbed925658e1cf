"""Clustering: predictions (N,) are the numbers of clusters, labels (N,) the true classes."""

from __future__ import annotations

from lossmeter.metrics.batches import Batch, Groups
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.task import Task


def read(raw: RawBatch) -> Batch:
    """Reads clusters and classes."""
    raw.check_shape(raw.predictions.shape, "the shape of predictions")
    weight = raw.weights(raw.labels.shape)
    cluster, label = (raw.indices(role, weight > 0, None).reshape(-1) for role in ("predictions", "labels"))
    fields, keep = raw.kept(weight)
    return Groups(**fields, cluster=cluster[keep], label=label[keep])


CLUSTERING = Task("clustering", ("classes",), read, named=True)
