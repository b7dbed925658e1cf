"""The metrics of a plan: chooses them, and makes the states of a batch that they need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation.names import choose_metric
from lossmeter.metrics import METRICS, ClassCounts, Curves, Metric, Ratio, Statistic
from lossmeter.metrics.batches import Batch
from lossmeter.metrics.draws import SLAB_DRAWS, Draws
from lossmeter.metrics.scores import Samples
from lossmeter.metrics.states import State, joined
from lossmeter.metrics.tasks import KINDS, Task
from lossmeter.stopping import checkpoint

BOTH_CLASSES = ("macro", "weighted", "micro")
"""Averages that take the negative class of two for a class like any other."""
BLOCK = 1 << 15
"""Elements that are measured at a time, where they need not be measured together: what fits the cache of a core."""
LEVEL = 0.95
REPLICATE_BINS = 100
"""Bins of the scores of a replicate: enough for its spread."""


@dataclass(frozen=True, eq=False)
class ChosenMetric:
    """A metric of a plan with its parameters.

    Attributes:
        requested: the name under which it was asked for.
        arguments: all parameters with their values.
        settings: what the plan as a whole decides for it.
    """

    metric: Metric
    requested: str
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the states that it reads."""
        return self.metric.keys({**self.settings, **self.arguments})

    @property
    def kind(self) -> str:
        return self.metric.kind_for(self.arguments)

    @property
    def identity(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """Equal for two choices that measure the same in the same way."""
        return self.metric.name, self.keys, dict(self.arguments)

    def value(self, states: Mapping[str, Any]) -> Any:
        """Returns the result; of replicates, results have their leading axis."""
        return self.result(*(states[key] for key in self.keys))

    def result(self, *states: Any) -> Any:
        """Returns the result of these states, in their order."""
        if self.settings["both"] and self.arguments.get("average") in BOTH_CLASSES:
            states = tuple(one.both() if isinstance(one, ClassCounts) else one for one in states)
        value = self.metric.function(*states, **self.arguments)
        if self.kind not in ("scalar", "per_class"):
            return value
        return np.clip(value, self.metric.minimum, self.metric.maximum)

    @property
    def scattered(self) -> bool:
        """Tells whether it is a number with a known spread."""
        return self.kind == "scalar" and self.metric.uncertainty != "none"

    @property
    def of_scores(self) -> bool:
        """Tells whether it needs no more of the samples than the order of their scores."""
        return "scores" in self.metric.statistics[0].needs

    def has_formula(self, states: Mapping[str, Any]) -> bool:
        """Tells whether its interval follows from the states themselves, where samples do not come in groups."""
        state = states[self.keys[0]]
        if self.metric.linearised is not None:
            return self.metric.linearised(state, LEVEL) is not None
        if isinstance(state, Ratio):
            return self.metric.uncertainty in {"mean", "proportion"}
        return self.metric.uncertainty == "proportion" and self.counts_trials(state) and state.squares.shape[-1] == 1

    def counts_trials(self, state: State) -> bool:
        """Tells whether it is, or follows, a share of the decisions on a single label."""
        if self.metric.trials is None or not isinstance(state, ClassCounts) or state.seen.shape[-1] != 1:
            return False
        return not (self.settings["both"] and self.arguments.get("average") in BOTH_CLASSES)


@dataclass(frozen=True, eq=False)
class MetricSet:
    """The metrics of a plan. Make one with `of`.

    Attributes:
        choices: the metrics, in the order in which they were asked for.
        curves: how score distributions are kept; exactly, unless it has bins.
        replicates: of the bootstrap; 0 for none, and then no interval of what needs it.
        level: of the intervals.
    """

    choices: tuple[ChosenMetric, ...]
    curves: Curves
    replicates: int
    level: float

    @classmethod
    def of(
        cls,
        task: Task,
        measured_as: str,
        wanted: Sequence[Mapping[str, Any]],
        curves: Curves,
        replicates: int,
        level: float,
    ) -> MetricSet:
        """Chooses metrics, `{"metric": name, parameter: value, …}` each, for a task and what its predictions are measured as.

        Raises:
            Invalid: there is no such metric, or it does not suit the task, or its parameters are wrong.
        """
        choices = tuple(_choice(task, measured_as, curves, place, one) for place, one in enumerate(wanted))
        return cls(choices, curves, replicates, level)

    @property
    def scalars(self) -> list[ChosenMetric]:
        """Those that are one number."""
        return [one for one in self.choices if one.kind == "scalar"]

    @property
    def statistics(self) -> dict[str, tuple[Statistic, dict[str, Any]]]:
        """By the name of the state, the statistic that makes it, with its arguments."""
        return {
            key: (item, {**choice.settings, **choice.arguments})
            for choice in self.choices
            for key, item in zip(choice.keys, choice.metric.statistics, strict=True)
        }

    @property
    def keeps_samples(self) -> bool:
        """Tells whether a state holds every sample, and so grows with the data."""
        statistics = [item for item, _ in self.statistics.values()]
        return any(
            "samples" in one.needs or ("curves" in one.parameters and not self.curves.bins) for one in statistics
        )

    def states(self, batch: Batch) -> dict[str, State]:
        """Returns the states of a batch as it is."""
        wanted = self.statistics
        several = {key for key, (item, _) in wanted.items() if item.blocks}
        if batch.unit is not None or batch.units <= BLOCK or not several:
            return _states(batch, wanted)
        whole = _states(batch, {key: one for key, one in wanted.items() if key not in several})
        by_block = {key: one for key, one in wanted.items() if key in several}
        parts = [_states(block, by_block) for block in batch.blocks(BLOCK)]
        return {key: joined([part[key] for part in parts]) if key in several else whole[key] for key in wanted}

    def replicated(self, states: Mapping[str, State], *, clustered: bool, paired: bool) -> frozenset[str]:
        """Names the states of which replicates are kept: those of scalars whose interval only the bootstrap knows.

        Samples have none: they draw their own, from their ids, when the report asks for them.
        """
        if not self.replicates:
            return frozenset()
        wanted = {
            key
            for choice in self.choices
            if choice.scattered and (paired or clustered or not choice.has_formula(states))
            for key, item in zip(choice.keys, choice.metric.statistics, strict=True)
            if item.replicated and not isinstance(states[key], Samples)
        }
        return frozenset(wanted)

    def levelled(self, states: Mapping[str, State]) -> dict[str, Samples]:
        """Returns the samples whose replicates need only the levels of their scores, by the name of the state."""
        wanted = {choice.keys[0] for choice in self.choices if choice.scattered and choice.of_scores}
        return {key: state for key in wanted if isinstance(state := states[key], Samples)}

    def drawn(self, batch: Batch, drawn: Draws, names: Collection[str]) -> dict[str, State]:
        """Returns the states of those names in the replicates that draw the units of the batch so often; (n, B)."""
        coarse = replace(self.curves, bins=min(self.curves.bins, REPLICATE_BINS))
        return {
            key: _state(item, batch, drawn, {**arguments, "curves": coarse})
            for key, (item, arguments) in self.statistics.items()
            if key in names
        }


def _choice(task: Task, measured_as: str, curves: Curves, place: int, wanted: Mapping[str, Any]) -> ChosenMetric:
    given = dict(wanted)
    at = pointer("metrics", place, "metric")
    requested = str(given.pop("metric", ""))
    metric = choose_metric(requested, at)
    if task.name not in metric.tasks:
        raise Invalid.at(metric.name, at, f"not for the task {task.name}; for {', '.join(metric.tasks)}")
    for need in {need for item in metric.statistics for need in item.needs}:
        if need == "samples" and curves.bins:
            raise Invalid.at(metric.name, at, "needs all samples at hand, and only statistics of a fixed size are kept")
        if need != "samples" and need not in KINDS[measured_as].gives:
            raise Invalid.at(metric.name, at, f"needs {need}; predictions_are is {measured_as}")
    binary = task.name == "binary"
    arguments = metric.bind(given, ("metrics", place))
    if binary and "average" in arguments and "average" not in given:
        arguments["average"] = "binary"
    if arguments.get("average") == "binary" and not binary:
        message = f"average is 'binary', the positive class alone; the task {task.name} has none"
        raise Invalid.at(metric.name, pointer("metrics", place, "average"), message)
    return ChosenMetric(metric, requested, arguments, {"curves": curves, "both": binary})


def usual(task: str, predictions_are: str) -> list[dict[str, Any]]:
    """Lists the metrics of a task that are reported if none are asked for, as far as these predictions allow them."""
    return [
        {"metric": metric.name} for metric in METRICS.values() if task in metric.usual and metric.takes(predictions_are)
    ]


def slabs(batch: Batch, replicates: int) -> Iterator[Batch]:
    """Cuts the batch so that the draws of each part fit the memory; there is at least one part, which may be empty."""
    step = max(1, SLAB_DRAWS // max(1, replicates))
    if batch.units <= step:
        yield batch
        return
    for start in range(0, batch.units, step):
        chosen = np.zeros(batch.units, bool)
        chosen[start : start + step] = True
        yield batch.take(chosen)


def _states(batch: Batch, wanted: Mapping[str, tuple[Statistic, dict[str, Any]]]) -> dict[str, State]:
    return {key: _state(item, batch, None, arguments) for key, (item, arguments) in wanted.items()}


def _state(item: Statistic, batch: Batch, drawn: Draws | None, arguments: Mapping[str, Any]) -> State:
    checkpoint()
    state: State = item.function(batch, batch.weighting(drawn), **{name: arguments[name] for name in item.parameters})
    return state
