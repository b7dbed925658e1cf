"""Every metric is declared, documented, and gives what its examples say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest

from lossmeter.errors import Invalid, NotFound
from lossmeter.evaluation.metrics import usual
from lossmeter.metrics import METRICS, TASKS, Example, Metric, find_metric
from lossmeter.metrics.catalogue import metric
from lossmeter.metrics.regression import squared_error
from lossmeter.metrics.states import Quotient
from tests.metrics.evaluations import batches, evaluate, everything, measured, report

FAMILY = "tests"
EXAMPLES = [(entry, example) for entry in METRICS.values() for example in entry.examples]


def split(example: Example) -> tuple[str, dict[str, Any], dict[str, Any]]:
    data = dict(example.batch)
    are = data.pop("predictions_are", "values")
    tensors = {name: data.pop(name) for name in ("predictions", "labels", "classes") if name in data}
    return are, tensors, data


def matches(value: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return all(matches(value[name], column) for name, column in expected.items())
    if isinstance(expected, list):
        return len(value) == len(expected) and all(map(matches, value, expected))
    return bool(np.isclose(value, expected, rtol=1e-12, atol=1e-15))


@pytest.mark.parametrize(("entry", "example"), EXAMPLES, ids=[f"{e.name}-{x.task}" for e, x in EXAMPLES])
def test_examples_give_their_value(entry: Metric, example: Example) -> None:
    are, tensors, parameters = split(example)
    assert matches(evaluate(example.task, are, entry.name, tensors, **parameters), example.value)


def test_an_example_can_fail() -> None:
    assert not matches([{"a": [1.0, 2.0]}], [{"a": [1.0, 2.1]}])


@pytest.mark.parametrize("name", METRICS)
def test_values_stay_within_the_declared_range(name: str) -> None:
    entry = METRICS[name]
    for seed in range(5):
        for task in entry.tasks:
            are, data = batches(np.random.default_rng(seed), 25)[task]
            if entry.kind_for(entry.bind({})) != "scalar":
                continue
            value = evaluate(task, are, name, data)
            assert entry.minimum is None or value >= entry.minimum
            assert entry.maximum is None or value <= entry.maximum


@pytest.mark.parametrize("name", METRICS)
def test_every_parameter_has_a_schema_and_a_description(name: str) -> None:
    for parameter in METRICS[name].parameters:
        schema = parameter.json_schema()
        assert schema["default"] == parameter.default
        assert len(schema["description"]) > 15
        assert "type" in schema or "enum" in schema


def test_aliases_lead_to_their_metric() -> None:
    assert find_metric("iou") is METRICS["jaccard"]
    assert find_metric("dice") is METRICS["f1"]
    with pytest.raises(NotFound, match="Did you mean accuracy"):
        find_metric("acuracy")


def test_usual_sets_work_with_every_kind_of_predictions() -> None:
    for name, task in TASKS.items():
        assert usual(name, task.kinds[0])
    assert [item["metric"] for item in usual("binary", "scores")] == ["auroc"]


def test_parameters_out_of_bounds_are_refused_with_their_place() -> None:
    for given, where in [
        ({"quantile": 1.0}, "quantile"),
        ({"quantil": 0.5}, "quantil"),
        ({"quantile": "a"}, "quantile"),
    ]:
        with pytest.raises(Invalid) as caught:
            METRICS["pinball"].bind(given, ("metrics", 3))
        assert caught.value.flaws[0].pointer == f"/metrics/3/{where}"


def declared(docstring: str, **changes: Any) -> Callable[[], Any]:
    def declare() -> Any:
        def brand_new(error: Annotated[Quotient, squared_error], *, beta: float = 1.0) -> Any:
            return error.mean

        brand_new.__doc__ = docstring
        brand_new.__annotations__ = {"error": Annotated[Quotient, squared_error], "beta": float, "return": Any}
        example = Example("regression", predictions=[1.0], labels=[1.0], value=0.0)
        return metric(**{"tasks": ["regression"], "better": "lower", "examples": [example]} | changes)(brand_new)

    return declare


WHOLE = """A summary.

An explanation.

Formula:
    x

Args:
    error: an error.
    beta: a number.

Returns:
    a number.

Use when:
    testing.

Avoid when:
    not testing.

Source:
    here.
"""


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (declared(WHOLE.replace("Avoid when", "Avoid")), "needs the sections"),
        (declared(WHOLE.replace("beta: a number.", "")), "argument beta is not documented"),
        (declared(WHOLE.replace("beta: a", "beta: a\n    gamma: a")), "documents"),
        (declared(WHOLE, examples=[]), "needs an example"),
        (declared(WHOLE, tasks=["cooking"]), "known tasks"),
        (declared(WHOLE, usual=["binary"]), "does not belong to"),
        (declared(WHOLE, aliases=["mse"]), "this name is taken"),
    ],
)
def test_what_is_undocumented_or_taken_is_refused(declare: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declare()
    METRICS.discard("brand_new")


def test_all_metrics_of_all_tasks_report_an_interval_or_declare_none() -> None:
    for task, (are, data) in batches(np.random.default_rng(5), 200).items():
        evaluation = everything(task, are, replicates=20)
        for item in report(evaluation, measured(evaluation, data)):
            expected = item.kind == "scalar" and METRICS[item.metric].uncertainty != "none"
            assert (item.interval is not None) == expected, item.metric
            if item.interval is not None:
                assert item.interval.low <= item.value <= item.interval.high
                assert item.interval.standard_error >= 0
