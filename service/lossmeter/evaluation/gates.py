"""Gates: bounds on figures that must hold for the data to pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation.criteria import Criterion
from lossmeter.evaluation.metrics import ChosenMetric
from lossmeter.evaluation.names import choose_loss, choose_metric

GATE_FIELDS = ("metric", "loss", "minimum", "maximum", "baseline", "margin", "slice", "at")
ULPS = 4
"""Units in the last place that a figure may lie beyond its threshold."""
Place = Mapping[str, Any] | None
"""Where a figure was observed: None for all samples, or a column and a value."""


@dataclass(frozen=True)
class Gate:
    """A bound on one figure.

    Attributes:
        given: the gate as it was written.
        kind: `losses` or `metrics`.
        number: place of the figure among those of the plan.
        column: the column in each of whose slices it must hold; None for all samples.
        value: the one slice that it is about, in a list; None for every one.
        at: `value`, `lower` or `upper`.
        minimum, maximum: thresholds; None where there is none.
    """

    given: Mapping[str, Any]
    kind: str
    number: int
    column: str | None
    value: list[Any] | None
    at: str
    minimum: float | None
    maximum: float | None

    def to_json(self) -> dict[str, Any]:
        return dict(self.given)

    def covers(self, place: Place) -> bool:
        """Tells whether it is about the samples of that place."""
        if place is None or self.column is None:
            return place is None and self.column is None
        if place["column"] != self.column:
            return False
        # True equals 1 in Python, but is another value of a column
        return self.value is None or (type(place["value"]), place["value"]) == (type(self.value[0]), self.value[0])

    def holds(self, observed: float) -> bool:
        """Tells whether a figure passes; one that is not defined does not."""
        if math.isnan(observed):
            return False
        above = self.minimum is None or reaches(observed, self.minimum)
        return above and (self.maximum is None or reaches(self.maximum, observed))

    def verdict(self, observations: Iterable[tuple[Place, float]]) -> dict[str, Any]:
        """Answers whether it passed, and where it came nearest to failing, or failed most.

        Args:
            observations: the figure in every place that the gate covers.
        """
        seen = list(observations)
        worst, where = math.nan, None
        if seen:
            where, worst = min(seen, key=lambda item: self._slack(item[1]))
        threshold = self.maximum if self.minimum is None else self.minimum
        if self.minimum is not None and self.maximum is not None:
            threshold = self.minimum if worst - self.minimum <= self.maximum - worst else self.maximum
        failed = [dict(place, observed=value) for place, value in seen if place is not None and not self.holds(value)]
        return {
            "gate": self.to_json(),
            "passed": bool(seen) and all(self.holds(value) for _, value in seen),
            "observed": worst,
            "threshold": threshold,
            "where": where,
            "failed_slices": failed,
        }

    def _slack(self, observed: float) -> float:
        if math.isnan(observed):
            return -math.inf
        below = math.inf if self.minimum is None else observed - self.minimum
        return min(below, math.inf if self.maximum is None else self.maximum - observed)


def gate(
    given: Mapping[str, Any],
    at: tuple[str | int, ...],
    columns: Sequence[str],
    losses: Sequence[Criterion],
    choices: Sequence[ChosenMetric],
) -> Gate | dict[str, Any]:
    """Makes the gate that a client described; if it names what is not measured yet, returns the choice of that instead.

    Raises:
        Invalid: it names a loss or metric that does not exist, or says too little or too much.
    """
    flaws = list(_flaws(given, at, columns))
    if flaws:
        raise Invalid.of("gates", flaws)
    parameters = {name: value for name, value in given.items() if name not in GATE_FIELDS}
    if "loss" in given:
        name = choose_loss(given["loss"], pointer(*at, "loss")).name
        measured: list[tuple[str, Any]] = [(one.loss.name, one.figure) for one in losses]
        kind = "loss"
    else:
        metric = choose_metric(given["metric"], pointer(*at, "metric"))
        name, kind = metric.name, "metric"
        bound = metric.bind(parameters, at)
        if metric.kind_for(bound) != "scalar":
            raise Invalid.at("gates", pointer(*at, "metric"), f"{name} is no single number that could be compared")
        measured = [(one.metric.name, dict(one.arguments)) for one in choices]
    fitting = [
        number
        for number, (candidate, values) in enumerate(measured)
        if candidate == name and all(item in values and values[item] == value for item, value in parameters.items())
    ]
    if kind == "metric":
        fitting = [one for one in fitting if choices[one].kind == "scalar"]
    fitting = [
        one for place, one in enumerate(fitting) if measured[one] not in map(measured.__getitem__, fitting[:place])
    ]
    if not fitting:
        return {kind: given[kind], **parameters}
    if len(fitting) > 1:
        message = f"{name} is measured {len(fitting)} times; say which is meant, by its parameters"
        raise Invalid.at("gates", pointer(*at, kind), message)
    place = given.get("slice")
    better = choices[fitting[0]].metric.better if kind == "metric" else "lower"
    if "baseline" in given and better == "neither":
        message = f"{name} is neither better when higher nor when lower; expected a minimum or a maximum"
        raise Invalid.at("gates", pointer(*at, kind), message)
    minimum, maximum = _bounds(given, better)
    return Gate(
        dict(given),
        "losses" if kind == "loss" else "metrics",
        fitting[0],
        place["column"] if isinstance(place, dict) else place,
        [place["value"]] if isinstance(place, dict) else None,
        given.get("at", "value"),
        minimum,
        maximum,
    )


def _bounds(given: Mapping[str, Any], better: str) -> tuple[float | None, float | None]:
    """Returns the least and the largest value that pass; a baseline with its margin is one of the two."""
    if "baseline" not in given:
        return given.get("minimum"), given.get("maximum")
    # In decimals, as they were written: 0.8 - 0.1 is 0.7, and not 0.7000000000000001.
    baseline, margin = (Decimal(repr(float(one))) for one in (given["baseline"], given.get("margin", 0.0)))
    return (float(baseline - margin), None) if better == "higher" else (None, float(baseline + margin))


def reaches(larger: float, smaller: float, size: float = 0.0) -> bool:
    """Tells whether a figure is at least as large as another, but for the rounding of figures of that size or of their own."""
    rounding = ULPS * math.ulp(max(abs(larger), abs(smaller), size)) if math.isfinite(larger + smaller) else 0.0
    return larger >= smaller - rounding


def _flaws(given: Mapping[str, Any], at: tuple[str | int, ...], columns: Sequence[str]) -> Iterable[Flaw]:
    here = pointer(*at)
    if ("metric" in given) == ("loss" in given):
        yield Flaw(here, "a gate names either a metric or a loss")
    if "baseline" in given:
        if "minimum" in given or "maximum" in given:
            yield Flaw(here, "a gate has a minimum and a maximum, or else a baseline")
    elif "margin" in given:
        yield Flaw(pointer(*at, "margin"), "a margin needs a baseline: the figure from which it is measured")
    elif "minimum" not in given and "maximum" not in given:
        yield Flaw(here, "a gate needs a minimum, a maximum or a baseline")
    elif given.get("minimum", -math.inf) > given.get("maximum", math.inf):
        yield Flaw(here, f"minimum {given['minimum']} is above maximum {given['maximum']}")
    place = given.get("slice")
    one = isinstance(place, dict) and set(map(str, place)) == {"column", "value"}
    parts = place if isinstance(place, dict) else {}
    if one and not (isinstance(parts["column"], str) and type(parts["value"]) in (str, int, bool)):
        one = False
    if not (place is None or isinstance(place, str) or one):
        yield Flaw(pointer(*at, "slice"), "slice is neither a column nor an object of a column and a value")
        return
    column = place["column"] if isinstance(place, dict) else place
    if column is not None and column not in columns:
        expected = f"expected one of {', '.join(columns)}" if columns else f"slices is empty; expected {column!r} in it"
        yield Flaw(pointer(*at, "slice"), f"{column!r} is no column of slices; {expected}")
