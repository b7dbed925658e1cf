"""A figure that is not defined says why, in its warning."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from lossmeter.metrics import METRICS
from tests.metrics.evaluations import evaluate

N = 6
FLAT = np.tile([3.0, 1.0, 0.0], (N, 1))
DEGENERATE: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "binary": (
        "logits",
        [{"predictions": np.full(N, x), "labels": np.full(N, y)} for x in (1.0, -1.0) for y in (0, 1)],
    ),
    "multiclass": ("logits", [{"predictions": FLAT, "labels": np.full(N, y)} for y in (0, 1)]),
    "multilabel": ("logits", [{"predictions": -FLAT - 1, "labels": np.full((N, 3), y)} for y in (0, 1)]),
    "regression": (
        "values",
        [
            {"predictions": x, "labels": y}
            for x in (np.ones(N), np.arange(N) + 1.0)
            for y in (np.ones(N), np.full(N, 2.0))
        ],
    ),
    "ranking": ("scores", [{"predictions": FLAT, "labels": np.zeros((N, 3), int)}]),
    "clustering": ("classes", [{"predictions": np.zeros(N, int), "labels": np.zeros(N, int)}]),
}


@pytest.mark.parametrize("task", DEGENERATE)
def test_every_metric_that_can_be_undefined_says_when(task: str) -> None:
    are, batches = DEGENERATE[task]
    for data in batches:
        for metric in METRICS.values():
            if task not in metric.tasks or metric.kind != "scalar" or not metric.takes(are):
                continue
            if np.isnan(evaluate(task, are, metric.name, data)):
                assert metric.undefined, metric.name


def test_the_warning_says_why(http: httpx.Client) -> None:
    body = {"task": "binary", "predictions_are": "logits", "predictions": [1.0, 2.0], "labels": [1, 1], "losses": []}
    body |= {"metrics": ["auroc"]}
    one_class = http.post("/v1/evaluate", json=body).json()
    assert one_class["metrics"][0]["value"] is None
    messages = {one["pointer"]: one["message"] for one in one_class["warnings"]}
    assert messages["/metrics/0/value"] == "metrics.0.value is NaN because only one class stands among the labels"
    nothing = http.post("/v1/evaluate", json=body | {"mask": [False, False]}).json()
    messages = {one["pointer"]: one["message"] for one in nothing["warnings"]}
    assert messages["/metrics/0/value"] == "metrics.0.value is NaN because nothing counts"
