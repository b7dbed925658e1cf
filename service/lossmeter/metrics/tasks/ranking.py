"""Ranking: whole queries with D candidates each; predictions are scores (Q, D), labels are grades of relevance (Q, D)."""

from __future__ import annotations

import numpy as np

from lossmeter.metrics.batches import Batch, Queries
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.task import Task


def read(raw: RawBatch) -> Batch:
    """Reads the scores and the relevance of the candidates of each query."""
    shape = raw.predictions.shape
    raw.check_shape(shape, "the shape of predictions")
    if len(shape) != 2:
        raise raw.wrong("predictions", f"predictions has shape {list(shape)}; expected (Q, D), whole queries")
    weight = raw.sample_weight
    if weight is not None and weight.shape != shape[:1]:
        raise raw.wrong("sample_weight", f"sample_weight has shape {list(weight.shape)}; expected {list(shape[:1])}")
    counted = raw.weights(shape) > 0
    scores, relevance = (raw.floats(role, counted) for role in ("predictions", "labels"))
    raw.check("labels", relevance >= 0, lambda item: f"{item}; expected a relevance of 0 or more", relevance)
    value = (np.ones(shape[0]) if weight is None else weight.astype(np.float64)) * counted.any(axis=1)
    fields, keep = raw.kept(value)
    return Queries(**fields, scores=scores[keep], relevance=relevance[keep], counted=counted[keep])


RANKING = Task("ranking", ("scores",), read)
