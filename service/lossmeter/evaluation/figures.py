"""Figures: computes the value of every metric from statistics, its interval, and by how much two of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmeter.evaluation import intervals
from lossmeter.evaluation.metrics import ChosenMetric, MetricSet
from lossmeter.evaluation.statistics import States, Statistics
from lossmeter.metrics import Difference, Interval, confidence
from lossmeter.metrics.levels import levelled
from lossmeter.metrics.scores import Samples
from lossmeter.metrics.weighting import Array
from lossmeter.stopping import checkpoint


@dataclass(frozen=True)
class Figure:
    """The result of one metric.

    Attributes:
        metric: its name.
        requested: the name under which it was asked for.
        parameters: all of them, with their values.
        kind: `scalar`, `per_class`, `matrix` or `curve`.
        value: a number, a list, a list of rows, or a list of curves (columns by name); NaN where undefined.
        interval: of a scalar, where one is known.
        error_bound: how far the value can be from the exact one (histograms), otherwise 0.
    """

    metric: str
    requested: str
    parameters: Mapping[str, Any]
    kind: str
    value: Any
    interval: Interval | None
    error_bound: Any


@dataclass(frozen=True)
class Contrast:
    """A scalar metric on two parts of data, and by how much the second differs from the first."""

    choice: ChosenMetric
    first: float
    second: float
    difference: Difference


def figures(metrics: MetricSet, statistics: Statistics) -> list[Figure]:
    """Returns every metric with its uncertainty, in the order in which they were asked for."""
    states = _ordered(statistics.states)
    drawn = replicate_values(metrics, states, statistics)
    results = []
    for number, choice in enumerate(metrics.choices):
        checkpoint()
        value, kind = choice.value(states), choice.kind
        bound: Any = 0.0
        if choice.metric.error_bound is not None:
            parts = (states[key] for key in choice.keys)
            bound = np.asarray(choice.metric.error_bound(*parts, **choice.arguments)).tolist()
        interval = None
        if kind == "scalar":
            # Where nothing counts there is no figure, whatever a class that is absent has.
            value = value if statistics.samples else math.nan
            interval = intervals.interval(choice, float(value), states, statistics, drawn.get(number), metrics.level)
        results.append(
            Figure(choice.metric.name, choice.requested, dict(choice.arguments), kind, _plain(value), interval, bound)
        )
    return results


def contrasts(metrics: MetricSet, first: Statistics, second: Statistics) -> list[Contrast]:
    """Subtracts the first from the second, for every scalar metric, in pairs.

    Replicate b of both draws the same samples by their ids. Samples that only one of them has are drawn independently, so the
    intervals hold for them too, only wider.
    """
    both = [(_ordered(one.states), one) for one in (first, second)]
    drawn = [replicate_values(metrics, states, one) for states, one in both]
    results = []
    for number, choice in enumerate(metrics.choices):
        if choice.kind != "scalar":
            continue
        checkpoint()
        a, b = (float(choice.value(states)) if one.samples else math.nan for states, one in both)
        difference = Difference(b - a, None, math.nan)
        if number in drawn[0] and number in drawn[1]:
            names = ("baseline", "candidate")
            believed = [
                intervals.with_prior(choice, states, one, name) for name, (states, one) in zip(names, both, strict=True)
            ]
            difference = confidence.paired_bootstrap(
                a,
                b,
                (drawn[0][number], drawn[1][number]),
                metrics.level,
                units=min(intervals.units(choice, states, one) for states, one in both),
                believed=None if believed[0] is None or believed[1] is None else (believed[0], believed[1]),
            )
        results.append(Contrast(choice, a, b, difference))
    return results


def replicate_values(metrics: MetricSet, states: States, statistics: Statistics) -> dict[int, Array]:
    """Returns, by number of the choice, the values of each scalar metric in every replicate."""
    drawn: dict[int, Array] = {}
    exact: dict[tuple[str, bool], list[int]] = {}
    for number, choice in enumerate(metrics.choices):
        if not choice.scattered or not metrics.replicates:
            continue
        if all(key in statistics.replicates for key in choice.keys):
            drawn[number] = np.asarray(choice.value(statistics.replicates))
        elif isinstance(states[choice.keys[0]], Samples):
            exact.setdefault((choice.keys[0], choice.arguments.get("average") == "micro"), []).append(number)
    for (key, micro), places in exact.items():
        parts: dict[int, list[Array]] = {number: [] for number in places}
        kept = states[key]
        assert isinstance(kept, Samples)
        samples = kept.pooled() if micro else kept
        replicated = levelled if metrics.choices[places[0]].of_scores else Samples.replicated
        found = [statistics.levels[key]] if key in statistics.levels else replicated(samples, metrics.replicates)
        for some in found:
            for number in places:
                checkpoint()
                parts[number].append(metrics.choices[number].value({key: some}))
        drawn |= {number: np.concatenate(values) for number, values in parts.items()}
    return drawn


def _ordered(states: States) -> dict[str, Any]:
    return {key: state.ordered() if isinstance(state, Samples) else state for key, state in states.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: np.asarray(column).tolist() for name, column in curve.items()} for curve in value]
    return np.asarray(value).tolist()
