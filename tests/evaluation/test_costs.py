"""Evaluations take what the model of cost says: no more, and not much less where it is enough to matter."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lossmeter.engine import Engine
from lossmeter.evaluation import Plan, PlanFields, evaluate
from lossmeter.evaluation.costs import Extent, cost_of
from lossmeter.metrics import METRICS, TASKS, Metric
from lossmeter.tensors import Datatype, Tensor
from tests.support.costs import least

ENGINE = Engine("cpu")
LEAST_BYTES = 1 << 20
"""Estimates below these are fixed overhead: answers, and the blocks in which draws are worked on."""
every_metric = pytest.mark.parametrize("metric", [pytest.param(one, id=name) for name, one in METRICS.items()])


def tensor(array: Any) -> Tensor:
    array = np.asarray(array)
    datatype = next(one for one in Datatype if one.dtype == array.dtype and one is not Datatype.BF16)
    return Tensor(datatype, array.shape, array.reshape(-1))


def batch(task: str, samples: int, classes: int) -> tuple[str, dict[str, Tensor]]:
    """Returns what the predictions are, and a batch."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.1, 1.0, (samples, classes))
    if task == "multiclass":
        data: tuple[Any, Any] = scores / scores.sum(axis=1, keepdims=True), rng.integers(0, classes, samples)
    elif task == "segmentation":
        images = samples // 16
        data = rng.integers(0, classes, (images, 4, 4)), rng.integers(0, classes, (images, 4, 4))
    elif task == "multilabel":
        data = scores, (scores > 0.5).astype(np.int64)
    elif task == "ranking":
        data = scores, rng.integers(0, 3, scores.shape).astype(np.float64)
    elif task == "binary":
        data = scores[:, 0], rng.integers(0, 2, samples)
    elif task == "clustering":
        data = rng.permutation(samples), rng.permutation(samples)  # the most pairs that there can be
    else:
        data = scores[:, 0], rng.uniform(0.1, 1.0, samples)
    others = {"segmentation": "classes", "regression": "values", "clustering": "classes", "ranking": "scores"}
    return others.get(task, "probabilities"), {"predictions": tensor(data[0]), "labels": tensor(data[1])}


def peak_bytes(compute: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def declaration(
    metric: Metric, task: str, samples: int, classes: int, replicates: int
) -> tuple[Callable[[], Any], int]:
    """Returns an evaluation, and the bytes that it declares."""
    are, fields = batch(task, samples, classes)
    declared = {"classes": classes} if task == "segmentation" else {}
    wanted = {"losses": [], "metrics": [{"metric": metric.name}], "replicates": replicates, **declared}
    plan = Plan.of(PlanFields.model_validate({"task": task, "predictions_are": are, **wanted}))
    cost = cost_of(plan, Extent.of_batch(plan, fields))
    return lambda: evaluate(plan, fields, engine=ENGINE), cost.memory


@every_metric
def test_no_metric_takes_more_than_it_declares(metric: Metric) -> None:
    for samples, classes, replicates in ((6000, 4, 0), (800, 40, 50), (16, 3000, 0)):
        compute, declared = declaration(metric, metric.tasks[0], samples, classes, replicates)
        most = max(1.25 * declared, LEAST_BYTES)
        assert least(lambda compute=compute: peak_bytes(compute), enough=most) <= most  # type: ignore[misc]


@pytest.mark.parametrize("task", TASKS)
def test_the_usual_evaluation_takes_at_least_half_of_what_is_declared(task: str) -> None:
    are, fields = batch(task, 4000, 10)
    declared = {"classes": 10} if task == "segmentation" else {}
    plan = Plan.of(PlanFields.model_validate({"task": task, "predictions_are": are, "replicates": 20, **declared}))
    cost = cost_of(plan, Extent.of_batch(plan, fields))
    measured = least(lambda: peak_bytes(lambda: evaluate(plan, fields, engine=ENGINE)), enough=2 * cost.memory)
    assert cost.memory / 2 <= measured <= 2 * cost.memory, (measured, cost)


def test_levels_that_are_too_many_to_be_counted_take_no_more_for_further_replicates() -> None:
    are, fields = batch("binary", 6000, 2)
    wanted = {"losses": [], "metrics": [{"metric": "auroc"}], "predictions_are": are}
    memory = []
    for replicates in (1000, 2000):
        plan = Plan.of(PlanFields.model_validate({"task": "binary", **wanted, "replicates": replicates}))
        memory.append(cost_of(plan, Extent.of_batch(plan, fields)).memory)
    drawn = 3 * 6000 * 1000  # draws of the further replicates, a byte each
    assert memory[1] - memory[0] <= drawn


def test_a_wrong_declaration_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmeter.evaluation.costs.SLAB_COPIES", 1)
    with pytest.raises(AssertionError):
        test_no_metric_takes_more_than_it_declares(METRICS["spearman"])
