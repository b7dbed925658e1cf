"""Batches of every task for the tests, and short ways to evaluate them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmeter import metrics
from lossmeter.metrics import Curves, Evaluation, Statistics

SEED = 20260708


def evaluate(task: str, predictions_are: str, metric: str, data: dict[str, Any], **parameters: Any) -> Any:
    """The value of one metric on one batch."""
    evaluation = Evaluation(task, predictions_are, [{"metric": metric, **parameters}], replicates=0)
    return evaluation.report(evaluation.measure(metrics.batch(task, predictions_are, **data)))[0].value


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


def everything(task: str, predictions_are: str, *, exact: bool = True, replicates: int = 12) -> Evaluation:
    """An evaluation of every metric that the task has."""
    curves = Curves() if exact else Curves(bins=64)
    wanted = [
        {"metric": metric.name}
        for metric in metrics.METRICS.values()
        if task in metric.tasks and (exact or not any("samples" in item.needs for item in metric.statistics))
    ]
    return Evaluation(task, predictions_are, wanted, curves=curves, replicates=replicates)


def part(data: dict[str, Any], chosen: np.ndarray) -> dict[str, Any]:
    """The chosen samples of a batch."""
    return {
        name: [value[i] for i in chosen] if isinstance(value, list) else value[chosen] for name, value in data.items()
    }


def measured(evaluation: Evaluation, data: dict[str, Any]) -> Statistics:
    return evaluation.measure(metrics.batch(evaluation.task, evaluation.predictions_are, **data))
