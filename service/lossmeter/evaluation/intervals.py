"""Intervals of figures: chooses the method by what is known of the data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lossmeter.evaluation.metrics import ChosenMetric
from lossmeter.evaluation.statistics import States, Statistics
from lossmeter.metrics import Interval, Ratio, confidence, quotient_with_prior
from lossmeter.metrics.scores import Samples
from lossmeter.metrics.states import Quotient, State
from lossmeter.metrics.weighting import Array

FEW = 2
"""Up to so many decisions that tell anything, half counts are too sure."""


def interval(
    choice: ChosenMetric, value: float, states: States, statistics: Statistics, drawn: Array | None, level: float
) -> Interval | None:
    """Returns the interval of a scalar metric; None where nothing is known.

    Args:
        value: of the metric.
        states: of the data, samples in order.
        statistics: that they are of.
        drawn: the values of the replicates; None where there are none.
        level: of the interval.
    """
    metric, state = choice.metric, states[choice.keys[0]]
    bounds = (metric.minimum, metric.maximum)
    if metric.uncertainty == "none" or math.isnan(value):
        return None
    if metric.interval is not None:
        replicates = statistics.replicates.get(choice.keys[0])
        if drawn is None:
            return None
        found: Interval | None = metric.interval(state, replicates, drawn, level, **choice.arguments)
        return found
    if not statistics.clustered and choice.has_formula(states):
        return _formula(choice, value, state, level)
    if drawn is None:
        return None
    believed = with_prior(choice, states, statistics, "")
    count = units(choice, states, statistics)
    if believed is not None:
        few = count if statistics.clustered else math.inf
        posterior = confidence.bootstrap(value, believed, level, bounds, units=few, prior=True)
        return None if posterior is None else _of_few(choice, posterior, states, statistics)
    if isinstance(state, Ratio) and value in bounds and None not in bounds:
        return confidence.wilson_of_bounded(value, count, level, bounds)
    return confidence.bootstrap(value, drawn, level, bounds, units=count)


def _formula(choice: ChosenMetric, value: float, state: State, level: float) -> Interval | None:
    metric = choice.metric
    if metric.linearised is not None:
        found: Interval | None = metric.linearised(state, level)
        return found
    if not isinstance(state, Ratio):
        assert metric.trials is not None
        successes, trials, effective = (float(part) for part in metric.trials(state, **choice.arguments))
        found = confidence.wilson(successes, trials, level, effective)
        return None if found is None else confidence.settled(found, value)
    if metric.uncertainty == "proportion" and state.units == state.elements:
        part = (float(state.numerator), float(state.denominator), level, float(state.effective_units))
        found = confidence.wilson(*part)
        return None if found is None else confidence.settled(found, value)
    # All means of errors are of numbers that are not negative; the value is a function of the mean.
    bounds = (None if metric.minimum is None else 0.0, metric.maximum)
    return confidence.student(state, level, lambda q: metric.function(q, **choice.arguments), bounds)


def _of_few(choice: ChosenMetric, found: Interval, states: States, statistics: Statistics) -> Interval:
    """Returns the wider of the interval and of the exact one, side by side, where hardly a decision tells anything."""
    key, metric = choice.keys[0], choice.metric
    if metric.ends is None or metric.trials is None or not choice.counts_trials(states[key]):
        return found
    right, told, number = (float(part) for part in metric.trials(states[key], **choice.arguments))
    if statistics.clustered or math.isnan(number):
        _, drawn, _ = metric.trials(statistics.replicates[key], **choice.arguments)
        number = effective_units(np.asarray(told), drawn)
    if round(number) > FEW:
        return found
    share = min(right / told, 1.0) if told > 0 else 0.0
    low, high = metric.ends(*confidence.clopper_pearson(share * number, number, found.level), **choice.arguments)
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def with_prior(choice: ChosenMetric, states: States, statistics: Statistics, name: str) -> Array | None:
    """Returns the values in replicates of counts that were given half counts; None for what is no function of counts."""
    metric = choice.metric
    if not all(key in statistics.replicates for key in choice.keys):
        return None
    points, drawn = (tuple(of[key] for key in choice.keys) for of in (states, statistics.replicates))
    if metric.prior is not None:
        more: tuple[Any, ...] = metric.prior(points, drawn, name, **choice.arguments)
    elif metric.uncertainty == "proportion" and isinstance(points[0], Quotient):
        more = (quotient_with_prior(points[0], drawn[0], name),)  # type: ignore[arg-type]
    else:
        return None
    return np.asarray(choice.result(*more))


def units(choice: ChosenMetric, states: States, statistics: Statistics) -> float:
    """Returns how many units were drawn: samples; or of groups, how many of equal weight would say as much (Kish)."""
    if not statistics.clustered:
        return float(statistics.samples)
    state = states[choice.keys[0]]
    return state.groups if isinstance(state, Samples) else units_of(choice.keys[0], statistics)


def units_of(key: str, statistics: Statistics) -> float:
    """Returns the same of any state of which there are replicates; NaN where there are none."""
    if not statistics.clustered:
        return float(statistics.samples)
    drawn = statistics.replicates.get(key)
    return math.nan if drawn is None else effective_units(statistics.states[key].mass, drawn.mass)


def effective_units(whole: Array, drawn: Array) -> float:
    """Returns (Σ W)² / Σ W² of the units, from the variance of their weight in replicates, which is Σ W²."""
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = float(((drawn / whole - 1) ** 2).mean())
    return 1 / squares if squares > 0 else 0.0
