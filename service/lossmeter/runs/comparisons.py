"""Two runs side by side: by how much each figure differs, how sure that is, and whether it is enough."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation import Plan, Record
from lossmeter.evaluation.criteria import Criterion
from lossmeter.metrics import Difference, Evaluation, Statistics, confidence
from lossmeter.metrics.evaluation import Choice
from lossmeter.runs.margins import Margin, verdict
from lossmeter.runs.pairs import mcnemar

Sides = tuple[Statistics, Statistics]


def compare(
    plans: tuple[Plan, Plan], records: tuple[Record, Record], margins: Sequence[Margin] = (), level: float = 0.95
) -> dict[str, Any]:
    """Candidate minus baseline, for every loss and every scalar metric that both measured, in all samples and in each slice.

    Replicate b of the one draws the same samples as replicate b of the other, by their ids: what is common to both cancels.

    Args:
        plans, records: of the baseline and of the candidate.
        margins: how much worse than the baseline the candidate may be.
        level: of the intervals.

    Raises:
        Invalid: the two have nothing in common, or a margin is about what they do not both measure.
    """
    losses, evaluation, left_out = _common(plans, level)
    for number, margin in enumerate(margins):
        margin.check(number, losses, evaluation, plans)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        whole = _part(losses, evaluation, (records[0].whole, records[1].whole))
        slices = [
            {"column": column, "value": value, **_part(losses, evaluation, sides)}
            for column, value, sides in _slices(records)
        ]
    gates = [verdict(margin, [({}, whole), *((_place(one), one) for one in slices)]) for margin in margins]
    return {
        **whole,
        "slices": slices,
        "left_out": left_out,
        "gates": gates,
        "passed": all(gate["passed"] for gate in gates),
    }


def _place(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"column": part["column"], "value": part["value"]}


def _slices(records: tuple[Record, Record]) -> Iterable[tuple[str, Any, Sides]]:
    """The slices that both have."""
    first, second = (record.slices for record in records)
    for column in (one for one in first if one in second):
        for value in sorted(first[column].keys() & second[column].keys()):
            yield column, json.loads(value), (first[column][value], second[column][value])


def _common(plans: tuple[Plan, Plan], level: float) -> tuple[list[Criterion], Evaluation, list[dict[str, Any]]]:
    """The losses and metrics that both plans measure in the same way, and what else there is."""
    first, second = plans
    if first.task != second.task:
        raise Invalid.at(
            "comparison", pointer("candidate"), f"the task is {second.task}; expected {first.task}, the baseline's"
        )
    theirs, alike = {one.key for one in second.criteria}, _settings(first) == _settings(second)
    losses = [one for one in first.criteria if one.key in theirs]
    known = [(one.metric.name, one.keys, dict(one.arguments)) for one in second.evaluation.choices]
    # Replicates pair only if there are as many, and scores only if they were kept alike.
    choices = [one for one in first.evaluation.choices if alike and _identity(one) in known]
    left_out: list[dict[str, Any]] = []
    for plan in plans:
        rest = [one for one in plan.criteria if one.key not in {item.key for item in losses}]
        left_out += [{"loss": one.loss.name, "metric": None, "parameters": dict(one.given)} for one in rest]
        others = [one for one in plan.evaluation.choices if _identity(one) not in [_identity(item) for item in choices]]
        left_out += [{"loss": None, "metric": one.metric.name, "parameters": dict(one.arguments)} for one in others]
    if not losses and not choices:
        raise Invalid.at("comparison", pointer("candidate"), "there is no loss and no metric that both runs measure")
    metrics = [{"metric": one.metric.name, **one.arguments} for one in choices]
    unique = [one for number, one in enumerate(left_out) if one not in left_out[:number]]
    return losses, replace(first.evaluation, metrics=metrics, level=level), unique


def _settings(plan: Plan) -> tuple[Any, int]:
    return plan.evaluation.curves, plan.evaluation.replicates


def _identity(choice: Choice) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    return choice.metric.name, choice.keys, dict(choice.arguments)


def _part(losses: Sequence[Criterion], evaluation: Evaluation, sides: Sides) -> dict[str, Any]:
    metrics = zip(evaluation.compare(*sides), _scalars(evaluation), strict=True)
    return {
        "samples": {"baseline": sides[0].samples, "candidate": sides[1].samples},
        "losses": [_loss(one, evaluation, sides) for one in losses],
        "metrics": [
            {
                "metric": found.metric,
                "parameters": dict(found.parameters),
                "better": choice.metric.better,
                **_figures(found.first, found.second, found.difference),
                **mcnemar(choice, sides),
            }
            for found, choice in metrics
        ],
    }


def _scalars(evaluation: Evaluation) -> list[Choice]:
    return [one for one in evaluation.choices if one.metric.kind_for(one.arguments) == "scalar"]


def _loss(one: Criterion, evaluation: Evaluation, sides: Sides) -> dict[str, Any]:
    first, second = (float(side.states[one.key].mean) for side in sides)  # type: ignore[attr-defined]
    difference = Difference(second - first, None, float("nan"))
    if all(one.key in side.replicates for side in sides):
        drawn: list[Any] = [side.replicates[one.key].mean for side in sides]  # type: ignore[attr-defined]
        if drawn[0].shape == drawn[1].shape:
            difference = confidence.paired_bootstrap(first, second, (drawn[0], drawn[1]), evaluation.level)
    parameters = {**one.parameters, **one.given}
    return {"loss": one.loss.name, "parameters": parameters, "better": "lower", **_figures(first, second, difference)}


def _figures(baseline: float, candidate: float, difference: Difference) -> dict[str, Any]:
    found = difference.interval
    names = ("low", "high", "standard_error", "level", "method")
    return {
        "baseline": baseline,
        "candidate": candidate,
        "difference": difference.value,
        "interval": None if found is None else {name: getattr(found, name) for name in names},
        "p_value": difference.p_value,
    }
