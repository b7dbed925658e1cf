"""An evaluation: which metrics of which task. It turns batches into statistics, and merged statistics into a report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, MalformedBody, pointer
from lossmeter.metrics import confidence
from lossmeter.metrics._batches import Batch
from lossmeter.metrics._catalogue import GIVES, METRICS, TASKS, Metric, Statistic, find_metric
from lossmeter.metrics._draws import SLAB_DRAWS, Draws, draws
from lossmeter.metrics._scores import Samples, levelled
from lossmeter.metrics._states import Ratio, Reader, State, Writer, from_json, numbers, spelled
from lossmeter.metrics._weighting import Array
from lossmeter.metrics.confidence import Difference, Interval
from lossmeter.metrics.curves import Curves
from lossmeter.metrics.tasks import PREDICTIONS_ARE

VERSION = 1
REPLICATE_BINS = 100


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that is known of the data so far; adds up in any order.

    Attributes:
        samples: number of units that count.
        clustered: whether units were drawn in groups, so that only the bootstrap knows their spread.
        states: by name, of the data as they are.
        replicates: by name, of the bootstrap replicates.
    """

    samples: int
    clustered: bool
    states: Mapping[str, State]
    replicates: Mapping[str, State]

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of the data of both.

        Raises:
            Invalid: they are of different evaluations.
        """
        for mine, theirs in ((self.states, other.states), (self.replicates, other.replicates)):
            if mine.keys() != theirs.keys():
                raise Invalid.at("merge", "/states", f"states {sorted(theirs)} cannot be added to {sorted(mine)}")
        return Statistics(
            self.samples + other.samples,
            self.clustered or other.clustered,
            {name: state.merge(other.states[name]) for name, state in self.states.items()},
            {name: state.merge(other.replicates[name]) for name, state in self.replicates.items()},
        )

    def to_json(self, write: Writer = spelled) -> dict[str, Any]:
        """Plain numbers and lists, unless `write` makes something else of arrays; see docs/statistics.md."""
        return {
            "format": "lossmeter.statistics",
            "version": VERSION,
            "samples": self.samples,
            "clustered": self.clustered,
            "states": {name: state.to_json(write) for name, state in self.states.items()},
            "replicates": {name: state.to_json(write) for name, state in self.replicates.items()},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], read: Reader = numbers) -> Statistics:
        """What `to_json` wrote.

        Raises:
            MalformedBody: it is not that, or of a version that is not known here.
        """
        if record.get("format") != "lossmeter.statistics" or record.get("version") != VERSION:
            raise MalformedBody("statistics: the format or its version is not known")
        try:
            parts = [
                {name: from_json(state, read) for name, state in record[part].items()}
                for part in ("states", "replicates")
            ]
            return cls(int(record["samples"]), bool(record["clustered"]), *parts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedBody(f"statistics: {error!r}") from error


@dataclass(frozen=True, eq=False)
class Choice:
    """A metric with its parameters."""

    metric: Metric
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def keys(self) -> tuple[str, ...]:
        return self.metric.keys({**self.settings, **self.arguments})

    def value(self, states: Mapping[str, Any]) -> Any:
        return self.metric.function(*(states[key] for key in self.keys), **self.arguments)

    @property
    def scattered(self) -> bool:
        """Whether it is a number of which it is known how far it scatters."""
        return self.metric.kind_for(self.arguments) == "scalar" and self.metric.uncertainty != "none"

    def has_formula(self, states: Mapping[str, Any]) -> bool:
        """Whether its interval follows from the states themselves, where samples do not come in groups."""
        state = states[self.keys[0]]
        if isinstance(state, Ratio):
            return self.metric.uncertainty in {"mean", "proportion"}
        return self.metric.trials is not None and state.squares.shape[-1] == 1


@dataclass(frozen=True)
class Measurement:
    """The result of one metric.

    Attributes:
        metric: its name.
        parameters: all of them, with their values.
        kind: `scalar`, `per_class`, `matrix` or `curve`.
        value: a number, a list, a list of rows, or a list of curves (columns by name); NaN where undefined.
        interval: of a scalar, where one is known.
        error_bound: how far the value can be from the exact one (histograms), otherwise 0.
    """

    metric: str
    parameters: Mapping[str, Any]
    kind: str
    value: Any
    interval: Interval | None
    error_bound: Any


@dataclass(frozen=True)
class Comparison:
    """One scalar metric on two evaluations of the same samples."""

    metric: str
    parameters: Mapping[str, Any]
    first: float
    second: float
    difference: Difference


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A task with its metrics.

    Attributes:
        task: one of TASKS.
        predictions_are: what the predictions are.
        metrics: `{"metric": name, parameter: value, …}` each; None for the usual set of the task.
        curves: how score distributions are kept; exactly, unless it has bins.
        replicates: of the bootstrap; 0 for none, and then no interval of what needs it.
        level: of the intervals.
    """

    task: str
    predictions_are: str
    metrics: Sequence[Mapping[str, Any]] | None = None
    curves: Curves = field(default_factory=Curves)
    replicates: int = 200
    level: float = 0.95
    choices: tuple[Choice, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise Invalid.at("task", "/task", f"{self.task!r} is not a task; expected one of {', '.join(TASKS)}")
        if self.predictions_are not in PREDICTIONS_ARE[self.task]:
            expected = ", ".join(PREDICTIONS_ARE[self.task])
            raise Invalid.at(
                self.task,
                "/predictions_are",
                f"predictions_are is {self.predictions_are!r}; expected one of {expected}",
            )
        if not 0 < self.level < 1:
            raise Invalid.at(
                self.task, "/confidence", f"confidence is {self.level}; expected more than 0 and less than 1"
            )
        wanted = usual(self.task, self.predictions_are) if self.metrics is None else self.metrics
        object.__setattr__(self, "choices", tuple(self._chosen(place, one) for place, one in enumerate(wanted)))

    def _chosen(self, place: int, wanted: Mapping[str, Any]) -> Choice:
        given = dict(wanted)
        metric = find_metric(str(given.pop("metric", "")))
        at = pointer("metrics", place, "metric")
        if self.task not in metric.tasks:
            raise Invalid.at(metric.name, at, f"not for the task {self.task}; for {', '.join(metric.tasks)}")
        for need in {need for item in metric.statistics for need in item.needs}:
            if need == "samples" and self.curves.bins:
                raise Invalid.at(
                    metric.name, at, "needs all samples at hand, and only statistics of a fixed size are kept"
                )
            if need != "samples" and need not in GIVES[self.predictions_are]:
                raise Invalid.at(metric.name, at, f"needs {need}; predictions_are is {self.predictions_are}")
        return Choice(metric, metric.bind(given, ("metrics", place)), {"curves": self.curves})

    def measure(self, batch: Batch, *, clustered: bool = False, paired: bool = True) -> Statistics:
        """The statistics of a batch.

        Args:
            batch: what counts.
            clustered: whether its ids name groups of samples.
            paired: whether the statistics may be compared with others, which takes replicates of every metric; a report
                alone does without those of metrics whose interval has a formula.
        """
        states = self.states(batch)
        names = self.replicated(states, clustered=clustered, paired=paired)
        merged: dict[str, State] = {}
        for part in slabs(batch, self.replicates) if names else ():
            found = self.drawn(part, draws(part.hashes, 0, self.replicates), names)
            merged = {key: merged[key].merge(state) for key, state in found.items()} if merged else found
        return Statistics(batch.units, clustered, states, merged)

    @property
    def keeps_samples(self) -> bool:
        """Whether a state of it holds every sample, and so grows with the data."""
        statistics = [item for item, _ in self._statistics().values()]
        return any(
            "samples" in one.needs or ("curves" in one.parameters and not self.curves.bins) for one in statistics
        )

    def states(self, batch: Batch) -> dict[str, State]:
        """The states of a batch as it is."""
        return {key: _state(item, batch, None, arguments) for key, (item, arguments) in self._statistics().items()}

    def replicated(self, states: Mapping[str, State], *, clustered: bool, paired: bool) -> frozenset[str]:
        """The names of the states of which replicates are kept: of scalars whose interval only the bootstrap knows.

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

    def drawn(self, batch: Batch, drawn: Draws, names: Collection[str]) -> dict[str, State]:
        """The states of those names in the replicates that draw the units of the batch so often; (n, B)."""
        coarse = replace(self.curves, bins=min(self.curves.bins, REPLICATE_BINS))
        return {
            key: _state(item, batch, drawn, {**arguments, "curves": coarse})
            for key, (item, arguments) in self._statistics().items()
            if key in names
        }

    def _statistics(self) -> dict[str, tuple[Statistic, dict[str, Any]]]:
        """By the name of the state, the statistic that makes it, with its arguments."""
        return {
            key: (item, {**choice.settings, **choice.arguments})
            for choice in self.choices
            for key, item in zip(choice.keys, choice.metric.statistics, strict=True)
        }

    def report(self, statistics: Statistics) -> list[Measurement]:
        """Every metric with its uncertainty, in the order in which they were asked for."""
        states = _ordered(statistics.states)
        drawn = self._drawn(states, statistics)
        results = []
        for number, choice in enumerate(self.choices):
            value = choice.value(states)
            kind = choice.metric.kind_for(choice.arguments)
            bound: Any = 0.0
            if choice.metric.error_bound is not None:
                bound = np.asarray(
                    choice.metric.error_bound(*(states[key] for key in choice.keys), **choice.arguments)
                ).tolist()
            interval = None
            if kind == "scalar":
                interval = self._interval(choice, float(value), states, drawn.get(number), statistics.clustered)
            results.append(
                Measurement(choice.metric.name, dict(choice.arguments), kind, _plain(value), interval, bound)
            )
        return results

    def _interval(
        self, choice: Choice, value: float, states: Mapping[str, Any], drawn: Array | None, clustered: bool
    ) -> Interval | None:
        metric, state = choice.metric, states[choice.keys[0]]
        bounds = (metric.minimum, metric.maximum)
        if metric.uncertainty == "none":
            return None
        if clustered or not choice.has_formula(states):
            return None if drawn is None else confidence.bootstrap(value, drawn, self.level, bounds)
        if not isinstance(state, Ratio):
            assert metric.trials is not None
            successes, trials, effective = (float(part) for part in metric.trials(state, **choice.arguments))
            return confidence.wilson(successes, trials, self.level, effective)
        if metric.uncertainty == "proportion" and state.units == state.elements:
            part = (float(state.numerator), float(state.denominator), self.level, float(state.effective_units))
            return confidence.wilson(*part)
        return confidence.student(state, self.level, lambda q: metric.function(q, **choice.arguments), bounds)

    def _drawn(self, states: Mapping[str, Any], statistics: Statistics) -> dict[int, Array]:
        """By number of the choice, the values of each scalar metric in every replicate."""
        drawn: dict[int, Array] = {}
        exact: dict[tuple[str, bool], list[int]] = {}
        for number, choice in enumerate(self.choices):
            if not choice.scattered or not self.replicates:
                continue
            if all(key in statistics.replicates for key in choice.keys):
                drawn[number] = np.asarray(choice.value(statistics.replicates))
            elif isinstance(states[choice.keys[0]], Samples):
                exact.setdefault((choice.keys[0], choice.arguments.get("average") == "micro"), []).append(number)
        for (key, micro), places in exact.items():
            parts: dict[int, list[Array]] = {number: [] for number in places}
            samples = states[key].pooled() if micro else states[key]
            of_scores = "scores" in self.choices[places[0]].metric.statistics[0].needs
            for some in (levelled if of_scores else Samples.replicated)(samples, self.replicates):
                for number in places:
                    parts[number].append(self.choices[number].value({key: some}))
            drawn |= {number: np.concatenate(values) for number, values in parts.items()}
        return drawn

    def compare(self, first: Statistics, second: Statistics) -> list[Comparison]:
        """Second minus first, for every scalar metric, in pairs: replicate b of both draws the same samples by their ids.

        Samples that only one of them has are drawn independently, so the intervals hold for them too, only wider.
        """
        both = [(_ordered(one.states), one) for one in (first, second)]
        drawn = [self._drawn(states, one) for states, one in both]
        results = []
        for number, choice in enumerate(self.choices):
            if choice.metric.kind_for(choice.arguments) != "scalar":
                continue
            a, b = (float(choice.value(states)) for states, _ in both)
            difference = Difference(b - a, None, float("nan"))
            if number in drawn[0]:
                difference = confidence.paired_bootstrap(a, b, (drawn[0][number], drawn[1][number]), self.level)
            results.append(Comparison(choice.metric.name, dict(choice.arguments), a, b, difference))
        return results


def usual(task: str, predictions_are: str) -> list[dict[str, Any]]:
    """The metrics of a task that are reported if none are asked for, as far as these predictions allow them."""
    return [
        {"metric": metric.name} for metric in METRICS.values() if task in metric.usual and metric.takes(predictions_are)
    ]


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of all parts together, of which there is at least one; merged in pairs, so that sums stay balanced."""
    level = list(parts)
    while len(level) > 1:
        level = [one.merge(other) for one, other in zip(level[::2], level[1::2], strict=False)] + level[
            len(level) & ~1 :
        ]
    return level[0]


def slabs(batch: Batch, replicates: int) -> Iterator[Batch]:
    """The batch in parts, so that the draws of each fit the memory; at least one, which may be empty."""
    step = max(1, SLAB_DRAWS // max(1, replicates))
    if batch.units <= step:
        yield batch
        return
    for start in range(0, batch.units, step):
        chosen = np.zeros(batch.units, bool)
        chosen[start : start + step] = True
        yield batch.take(chosen)


def _ordered(states: Mapping[str, State]) -> dict[str, Any]:
    return {key: state.ordered() if isinstance(state, Samples) else state for key, state in states.items()}


def _state(item: Statistic, batch: Batch, drawn: Draws | None, arguments: Mapping[str, Any]) -> State:
    state: State = item.function(batch, batch.weighting(drawn), **{name: arguments[name] for name in item.parameters})
    return state


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: np.asarray(column).tolist() for name, column in curve.items()} for curve in value]
    return np.asarray(value).tolist()
