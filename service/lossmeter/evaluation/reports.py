"""Reports on a record: writes everything that a client is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lossmeter.errors import pointer
from lossmeter.evaluation import intervals
from lossmeter.evaluation.figures import Figure, figures
from lossmeter.evaluation.gates import Place
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.evaluation.statistics import Statistics
from lossmeter.metrics import METRICS, Interval, Ratio, confidence
from lossmeter.stopping import checkpoint
from lossmeter.tensors import Tensor, brackets, coordinates

NOTHING = "nothing counts"
LISTED = 8
"""Figures of one list that are not finite and are named one by one."""


def report(plan: Plan, record: Record | None) -> dict[str, Any]:
    """Writes everything that follows from a record, as the service answers it; what is not finite is NaN or infinite here.

    Without a record, that of no data at all.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        overall = _nothing(plan) if record is None else _part(plan, record.whole)
        slices = [
            {"column": column, "value": json.loads(value), **_part(plan, part)}
            for column, parts in (record.slices if record else {}).items()
            for value, part in sorted(parts.items(), key=_by_value)
        ]
    places: list[tuple[Place, Mapping[str, Any]]] = [(None, overall)]
    places += [({"column": one["column"], "value": one["value"]}, one) for one in slices]
    verdicts = []
    for gate in plan.gates:
        seen = [
            (place, _observed(part[gate.kind][gate.number], gate.at)) for place, part in places if gate.covers(place)
        ]
        verdicts.append(gate.verdict(seen))
    names = None if plan.class_names is None else list(plan.class_names)
    answer = {
        "samples": overall["samples"],
        "class_names": names,
        **overall,
        "slices": slices,
        "hardest": [
            {"sample_id": one.sample_id, "batch_id": one.batch_id, "position": one.position, "loss": one.loss}
            for one in (record.hardest if record else ())
        ],
        "gates": verdicts,
        "passed": all(verdict["passed"] for verdict in verdicts),
    }
    return {**answer, "warnings": list(not_finite(answer))}


def _nothing(plan: Plan) -> dict[str, Any]:
    """Writes the figures of no data: none is defined, and so there is none of any class either."""
    empty = np.asarray(0.0)
    states = {one.key: Ratio(*[empty] * 7) for one in plan.criteria}
    statistics = Statistics(0, False, states, {})
    losses = [_loss(plan, number, statistics) for number in range(len(plan.criteria))]
    metrics = []
    for one in plan.metrics.choices:
        value: Any = math.nan if one.kind == "scalar" else []
        named = {"metric": one.metric.name, "requested": one.requested, "parameters": dict(one.arguments)}
        metrics.append(
            {
                **named,
                "kind": one.kind,
                "value": value,
                "interval": None,
                "error_bound": [] if one.kind == "per_class" else 0.0,
            }
        )
    return {
        "samples": 0,
        "losses": losses,
        "objective": _objective(plan, statistics, losses),
        "metrics": metrics,
    }


def _by_value(item: tuple[str, Any]) -> tuple[str, float, str]:
    value = json.loads(item[0])
    return type(value).__name__, value if isinstance(value, int) else 0, str(value)


def _part(plan: Plan, statistics: Statistics) -> dict[str, Any]:
    checkpoint()
    losses = [_loss(plan, number, statistics) for number in range(len(plan.criteria))]
    return {
        "samples": statistics.samples,
        "losses": losses,
        "objective": _objective(plan, statistics, losses),
        "metrics": [
            {
                "metric": one.metric,
                "requested": one.requested,
                "parameters": dict(one.parameters),
                "kind": one.kind,
                "value": one.value,
                "interval": interval_fields(one.interval),
                "error_bound": _bound(one),
            }
            for one in figures(plan.metrics, statistics)
        ],
    }


def _bound(one: Figure) -> Any:
    """Returns how far the value may be from the exact one; of several values, that of each."""
    if one.kind == "per_class" and not isinstance(one.error_bound, list):
        return [one.error_bound] * len(one.value)
    return one.error_bound


def _loss(plan: Plan, number: int, statistics: Statistics) -> dict[str, Any]:
    one = plan.criteria[number]
    ratio = statistics.states[one.key]
    assert isinstance(ratio, Ratio)
    value = float(ratio.mean)
    interval: Interval | None = None
    if not statistics.clustered:
        interval = confidence.student(ratio, plan.metrics.level, bounds=(one.loss.minimum, None))
    elif one.key in statistics.replicates:
        drawn: Any = statistics.replicates[one.key]
        units = intervals.units_of(one.key, statistics)
        interval = confidence.bootstrap(value, drawn.mean, plan.metrics.level, (one.loss.minimum, None), units=units)
    return {
        "loss": one.loss.name,
        "requested": one.requested,
        "parameters": one.figure,
        "weight_in_objective": one.weight,
        "value": value,
        "sum": float(ratio.numerator),
        "normalizer": float(ratio.denominator),
        "count": int(ratio.elements),
        "standard_error": None if interval is None else interval.standard_error,
        "interval": interval_fields(interval),
    }


def _objective(plan: Plan, statistics: Statistics, losses: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = [(one, loss) for one, loss in zip(plan.criteria, losses, strict=True) if one.weight]
    if not pairs:
        return {"value": None, "interval": None}
    value = math.fsum(one.weight * loss["value"] for one, loss in pairs)
    interval = None
    if all(one.key in statistics.replicates for one, _ in pairs):
        drawn: Any = sum(one.weight * statistics.replicates[one.key].mean for one, _ in pairs)  # type: ignore[attr-defined]
        units = min(intervals.units_of(one.key, statistics) for one, _ in pairs)
        interval = confidence.bootstrap(value, drawn, plan.metrics.level, units=units)
    return {"value": value, "interval": interval_fields(interval)}


def interval_fields(interval: Interval | None) -> dict[str, Any] | None:
    """Writes an interval as the service answers it."""
    names = ("low", "high", "standard_error", "level", "method")
    return None if interval is None else {name: getattr(interval, name) for name in names}


def _observed(figure: Mapping[str, Any], at: str) -> float:
    if at == "value":
        return float(figure["value"])
    interval = figure["interval"]
    return math.nan if interval is None else float(interval["low" if at == "lower" else "high"])


def not_finite(value: Any, path: tuple[str | int, ...] = (), because: str = "") -> Iterator[dict[str, Any]]:
    """Yields a warning for every figure that is not finite: in JSON it is null.

    Args:
        because: why a figure is not defined here, where that is known.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            yield _warning(value, path, None, because)
    elif isinstance(value, dict):
        if value.get("samples", 1) == 0:
            because = NOTHING
        elif "metric" in value and because != NOTHING:
            because = METRICS[value["metric"]].undefined if value["metric"] in METRICS else ""
        for name, item in value.items():
            yield from not_finite(item, (*path, name), "" if name in ("slices", "hardest", "gates") else because)
    elif isinstance(value, list):
        listed = 0
        for number, item in enumerate(value):
            if listed >= LISTED and isinstance(item, float):
                break
            for warning in not_finite(item, (*path, number), because):
                listed += 1
                yield warning


def tensor_warnings(tensor: Tensor, path: tuple[str | int, ...]) -> list[dict[str, Any]]:
    """Warns of the first elements of a tensor that are not finite."""
    places = np.flatnonzero(~np.isfinite(tensor.data))[:LISTED].tolist()
    return [_warning(float(tensor.data[one]), path, coordinates(one, tensor.shape)) for one in places]


def _warning(
    value: float, path: tuple[str | int, ...], index: tuple[int, ...] | None, because: str = ""
) -> dict[str, Any]:
    word = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    message = f"{'.'.join(map(str, path))}{brackets(index or ())} is {word}"
    if because and math.isnan(value):
        message += f" because {because}"
    return {"code": "non_finite", "message": message, "pointer": pointer(*path), "index": index, "value": word}
