"""Requests about runs that show what there is to say."""

from __future__ import annotations

from typing import Any

RUN: dict[str, Any] = {
    "name": "nightly",
    "tags": ["model=b7", "night"],
    "task": "multiclass",
    "predictions_are": "logits",
    "classes": 3,
    "losses": [{"loss": "cross_entropy"}],
    "metrics": [{"metric": "accuracy"}, {"metric": "f1", "average": "macro"}],
    "slices": ["country"],
    "gates": [{"metric": "accuracy", "minimum": 0.9, "at": "lower"}],
}
BATCH: dict[str, Any] = {
    "predictions": [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4]],
    "labels": [0, 1],
    "sample_ids": ["a", "b"],
    "slices": {"country": ["de", "fr"]},
}
PATCH: dict[str, Any] = {"name": "nightly, corrected", "tags": {"model": "b8"}}
COMPARISON: dict[str, Any] = {
    "baseline": "01a2044b-5f23-71cc-b0c4-65bcf97893af",
    "candidate": "01a2044b-91d7-7a02-8c11-0d6f7a5b2c9e",
    "gates": [{"metric": "accuracy", "margin": 0.005}],
}
