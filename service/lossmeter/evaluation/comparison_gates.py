"""Gates of a comparison (non-inferiority): the candidate is surely not worse than the baseline by more than a margin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation.criteria import Criterion
from lossmeter.evaluation.gates import reaches
from lossmeter.evaluation.metrics import MetricSet
from lossmeter.evaluation.names import choose_loss, choose_metric
from lossmeter.evaluation.plan import Plan

Part = Mapping[str, Any]


@dataclass(frozen=True)
class ComparisonGate:
    """The amount by which a figure may be worse than the baseline.

    Attributes:
        kind: `loss` or `metric`.
        name: of the loss or metric, as it was asked for.
        proper: its name in the catalogue.
        better: whether a higher or a lower figure is better, or neither.
        parameters: those that tell it from others of the same name.
        margin: in the unit of the figure, not negative; 0 for not worse at all.
        column: the column of slices in each of which it must hold; None for all samples.
    """

    kind: str
    name: str
    proper: str
    better: str
    parameters: Mapping[str, Any]
    margin: float
    column: str | None

    @classmethod
    def of(cls, given: Mapping[str, Any], number: int) -> ComparisonGate:
        """Makes the gate that a client described.

        Raises:
            Invalid: it names not exactly one of a metric and a loss, or none that exists.
        """
        if ("metric" in given) == ("loss" in given):
            raise Invalid.at("comparison", pointer("gates", number), "a gate names either a metric or a loss")
        kind = "loss" if "loss" in given else "metric"
        parameters = {name: value for name, value in given.items() if name not in (kind, "margin", "slice")}
        at = pointer("gates", number, kind)
        if kind == "loss":
            proper, better = choose_loss(given[kind], at).name, "lower"
        else:
            metric = choose_metric(given[kind], at)
            proper, better = metric.name, metric.better
        return cls(kind, given[kind], proper, better, parameters, given["margin"], given.get("slice"))

    def to_json(self) -> dict[str, Any]:
        place = {} if self.column is None else {"slice": self.column}
        return {self.kind: self.name, **self.parameters, "margin": self.margin, **place}

    def fits(self, figure: Mapping[str, Any]) -> bool:
        """Tells whether a figure of a comparison is the one that is meant."""
        given = figure["parameters"]
        return bool(figure[self.kind] == self.proper) and all(
            name in given and given[name] == value for name, value in self.parameters.items()
        )

    def check(self, number: int, losses: Sequence[Criterion], metrics: MetricSet, plans: tuple[Plan, Plan]) -> None:
        """Checks that there is exactly one figure that it is about, and that this can be worse.

        Raises:
            Invalid: otherwise.
        """
        if self.kind == "loss":
            figures = [{"loss": one.loss.name, "parameters": one.figure} for one in losses]
        else:
            figures = [{"metric": one.metric.name, "parameters": one.arguments} for one in metrics.scalars]
        fitting = [figure for figure in figures if self.fits(figure)]
        count = sum(figure not in fitting[:place] for place, figure in enumerate(fitting))
        if count != 1:
            much = (
                "not measured by both runs" if count == 0 else f"measured {count} times; say which, by its parameters"
            )
            raise Invalid.at("comparison", pointer("gates", number, self.kind), f"{self.name} is {much}")
        if self.better == "neither":
            message = f"{self.name} is neither better when higher nor when lower"
            raise Invalid.at("comparison", pointer("gates", number, self.kind), message)
        if self.column is not None and not all(self.column in plan.slices for plan in plans):
            message = f"{self.column!r} is no column of slices of both runs"
            raise Invalid.at("comparison", pointer("gates", number, "slice"), message)


def verdict(margin: ComparisonGate, parts: Iterable[tuple[Mapping[str, Any], Part]]) -> dict[str, Any]:
    """Answers whether the candidate keeps within the margin, by the worse end of the interval, and where it comes nearest.

    Args:
        parts: the figures, by place; an empty place for all samples.
    """
    worst, where, failed, seen, held = -math.inf, None, [], 0, True
    for place, part in parts:
        if place.get("column") != margin.column:
            continue
        seen += 1
        # Of one metric under two names there are two figures, which are the same.
        figure = next(one for one in part["losses" if margin.kind == "loss" else "metrics"] if margin.fits(one))
        loss = _worsening(figure)
        size = max(abs(figure["baseline"]), abs(figure["candidate"]))
        held = held and reaches(margin.margin, loss, size)
        if not reaches(margin.margin, loss, size) and place:
            failed.append({**place, "worse_by_at_most": loss})
        if not loss <= worst:
            worst, where = loss, dict(place) or None
        if math.isnan(loss):
            break
    return {
        "gate": margin.to_json(),
        "passed": bool(seen) and held,
        "worse_by_at_most": worst if seen else math.nan,
        "margin": margin.margin,
        "where": where,
        "failed_slices": failed,
    }


def _worsening(figure: Mapping[str, Any]) -> float:
    """Returns by how much the candidate may be worse, as far as the interval tells; NaN if that is not known."""
    interval = figure["interval"]
    if interval is None:
        return math.nan
    return float(interval["high"]) if figure["better"] == "lower" else -float(interval["low"])
