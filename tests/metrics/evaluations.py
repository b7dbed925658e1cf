"""Batches of every task for the tests, and short ways to evaluate them as the service does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmeter.evaluation import Plan, Statistics, measure
from lossmeter.evaluation.figures import Figure, figures
from lossmeter.metrics import METRICS
from tests.support.evaluations import TENSORS, plan, tensor

SEED = 20260708


def metrics_of(task: str, predictions_are: str, wanted: Sequence[Any] | None = None, **options: Any) -> Plan:
    """A plan of metrics alone."""
    more = {} if wanted is None else {"metrics": list(wanted)}
    return plan(
        **{"task": task, "predictions_are": predictions_are, "losses": [], "replicates": 200, **more, **options}
    )


def evaluate(task: str, predictions_are: str, metric: str, data: dict[str, Any], **parameters: Any) -> Any:
    """The value of one metric on one batch."""
    wanted = metrics_of(task, predictions_are, [{"metric": metric, **parameters}], replicates=0)
    return report(wanted, measured(wanted, data))[0].value


def measured(of: Plan, data: dict[str, Any], batch_id: str = "", *, paired: bool = True) -> Statistics:
    """The statistics of a batch of arrays or lists."""
    fields = {
        name: tensor(value) if name in TENSORS else value if name == "slices" else np.asarray(value).tolist()
        for name, value in data.items()
        if name != "classes"
    }
    return measure(replace(of, classes=data.get("classes", of.classes)), fields, batch_id=batch_id, paired=paired).whole


def report(of: Plan, statistics: Statistics) -> list[Figure]:
    """The figures that follow from statistics."""
    return figures(of.metrics, statistics)


def merge_all(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all parts together."""
    total = parts[0]
    for one in parts[1:]:
        total = total.merge(one)
    return total


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def batches(rng: np.random.Generator, n: int = 60) -> dict[str, tuple[str, dict[str, Any]]]:
    """For every task what its predictions are, and a batch of n samples with ties, weights, ids and a mask."""
    y = rng.normal(size=n).round(1) + 3
    common = {
        "sample_weight": rng.integers(0, 4, n) * rng.uniform(0.5, 2, n),
        "mask": rng.random(n) > 0.2,
        "sample_ids": [f"id-{i}" for i in range(n)],
    }
    z = rng.normal(size=(n, 4)).round(2)
    grid = rng.normal(size=(n, 3, 4, 5))
    grades = rng.integers(0, 3, (n, 6)) * (rng.random((n, 1)) > 0.1)
    return {
        "regression": (
            "values",
            {"predictions": np.abs(y + rng.normal(size=n).round(1)) + 0.1, "labels": np.abs(y) + 0.1, **common},
        ),
        "binary": ("logits", {"predictions": z[:, 0], "labels": rng.integers(0, 2, n), **common}),
        "multiclass": ("logits", {"predictions": z, "labels": (z + rng.gumbel(size=z.shape)).argmax(1), **common}),
        "multilabel": ("logits", {"predictions": z, "labels": rng.integers(0, 2, (n, 4)), **common}),
        "segmentation": ("logits", {"predictions": grid, "labels": rng.integers(0, 3, (n, 4, 5)), **common}),
        "ranking": ("scores", {"predictions": rng.integers(0, 5, (n, 6)).astype(float), "labels": grades, **common}),
        "clustering": ("classes", {"predictions": rng.integers(0, 4, n), "labels": rng.integers(0, 3, n), **common}),
    }


def everything(task: str, predictions_are: str, *, exact: bool = True, replicates: int = 12, bins: int = 64) -> Plan:
    """A plan of every metric that the task has, of those that grow with the data only if `exact`."""
    wanted = [
        {"metric": metric.name}
        for metric in METRICS.values()
        if task in metric.tasks and (exact or not any("samples" in item.needs for item in metric.statistics))
    ]
    return metrics_of(task, predictions_are, wanted, curves={"bins": 0 if exact else bins}, replicates=replicates)


def part(data: dict[str, Any], chosen: np.ndarray) -> dict[str, Any]:
    """The chosen samples of a batch."""
    return {
        name: [value[i] for i in chosen] if isinstance(value, list) else value[chosen] for name, value in data.items()
    }
