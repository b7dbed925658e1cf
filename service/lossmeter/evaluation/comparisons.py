"""Compares two records: by how much each figure differs, how sure that is, and whether it is enough."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation import intervals
from lossmeter.evaluation.comparison_gates import ComparisonGate, verdict
from lossmeter.evaluation.criteria import Criterion
from lossmeter.evaluation.figures import contrasts
from lossmeter.evaluation.mcnemar import mcnemar
from lossmeter.evaluation.metrics import MetricSet
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.evaluation.reports import interval_fields
from lossmeter.evaluation.statistics import Statistics
from lossmeter.metrics import Difference, confidence

Sides = tuple[Statistics, Statistics]


def compare(
    plans: tuple[Plan, Plan],
    records: tuple[Record, Record],
    margins: Sequence[ComparisonGate] = (),
    level: float = 0.95,
) -> dict[str, Any]:
    """Subtracts the baseline from the candidate: every loss and scalar metric of both, in all samples and in each slice.

    Replicate b of the one draws the same samples as replicate b of the other, by their ids: what is common to both cancels.

    Args:
        plans, records: of the baseline and of the candidate.
        margins: how much worse than the baseline the candidate may be.
        level: of the intervals.

    Raises:
        Invalid: the two have nothing in common, or a margin is about what they do not both measure.
    """
    losses, metrics, left_out = _common(plans, level)
    for number, margin in enumerate(margins):
        margin.check(number, losses, metrics, plans)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        whole = _part(losses, metrics, (records[0].whole, records[1].whole))
        slices = [
            {"column": column, "value": value, **_part(losses, metrics, sides)}
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
    """Yields the slices that both have."""
    first, second = (record.slices for record in records)
    for column in (one for one in first if one in second):
        for value in sorted(first[column].keys() & second[column].keys()):
            yield column, json.loads(value), (first[column][value], second[column][value])


def _common(plans: tuple[Plan, Plan], level: float) -> tuple[list[Criterion], MetricSet, list[dict[str, Any]]]:
    """Returns the losses and metrics that both plans measure in the same way, and all others."""
    first, second = plans
    if first.task is not second.task:
        message = f"the task is {second.task.name}; expected {first.task.name}, the baseline's"
        raise Invalid.at("comparison", pointer("candidate"), message)
    theirs, alike = {one.key for one in second.criteria}, _settings(first) == _settings(second)
    losses = [one for one in first.criteria if one.key in theirs]
    others = [one.identity for one in second.metrics.choices]
    # Replicates pair only if there are as many, and scores only if they were kept alike.
    choices = tuple(one for one in first.metrics.choices if alike and one.identity in others)
    if not losses and not choices:
        raise Invalid.at("comparison", pointer("candidate"), "there is no loss and no metric that both runs measure")
    shared_losses, shared = {one.key for one in losses}, [one.identity for one in choices]
    left_out: list[dict[str, Any]] = []
    for plan in plans:
        left_out += [
            {"loss": one.loss.name, "metric": None, "parameters": dict(one.given)}
            for one in plan.criteria
            if one.key not in shared_losses
        ]
        left_out += [
            {"loss": None, "metric": one.metric.name, "parameters": dict(one.arguments)}
            for one in plan.metrics.choices
            if one.identity not in shared
        ]
    unique = [one for number, one in enumerate(left_out) if one not in left_out[:number]]
    return losses, replace(first.metrics, choices=choices, level=level), unique


def _settings(plan: Plan) -> tuple[Any, int]:
    return plan.metrics.curves, plan.metrics.replicates


def _part(losses: Sequence[Criterion], metrics: MetricSet, sides: Sides) -> dict[str, Any]:
    return {
        "samples": {"baseline": sides[0].samples, "candidate": sides[1].samples},
        "losses": [_loss(one, metrics.level, sides) for one in losses],
        "metrics": [
            {
                "metric": one.choice.metric.name,
                "requested": one.choice.requested,
                "parameters": dict(one.choice.arguments),
                "better": one.choice.metric.better,
                **_figures(one.first, one.second, one.difference),
                **mcnemar(one.choice, sides),
            }
            for one in contrasts(metrics, *sides)
        ],
    }


def _loss(one: Criterion, level: float, sides: Sides) -> dict[str, Any]:
    first, second = (float(side.states[one.key].mean) if side.samples else math.nan for side in sides)  # type: ignore[attr-defined]
    difference = Difference(second - first, None, math.nan)
    if all(one.key in side.replicates for side in sides):
        drawn: list[Any] = [side.replicates[one.key].mean for side in sides]  # type: ignore[attr-defined]
        if drawn[0].shape == drawn[1].shape:
            units = min(intervals.units_of(one.key, side) for side in sides)
            difference = confidence.paired_bootstrap(first, second, (drawn[0], drawn[1]), level, units=units)
    named = {"loss": one.loss.name, "requested": one.requested, "parameters": one.figure}
    return {**named, "better": "lower", **_figures(first, second, difference)}


def _figures(baseline: float, candidate: float, difference: Difference) -> dict[str, Any]:
    return {
        "baseline": baseline,
        "candidate": candidate,
        "difference": difference.value,
        "interval": interval_fields(difference.interval),
        "p_value": difference.p_value,
    }
