"""The report of an evaluation as it is printed in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossmeter.cli.layout import section, table
from lossmeter.losses import find
from lossmeter.metrics import find_metric

LISTED = 12
"""Values of a list that are printed."""

Part = Mapping[str, Any]


def report_page(report: Part) -> RenderableType:
    """Shows losses, metrics, slices, hardest samples and gates."""
    return Group(*_blocks(report))


def _blocks(report: Part) -> Iterator[RenderableType]:
    yield Text(f"{report['samples']:,} samples", "bold")
    figures = [*report["losses"], *report["metrics"]]
    scalars = [one for one in figures if one.get("kind", "scalar") == "scalar"]
    if scalars:
        yield from section("Figures", _scalars(scalars, report["objective"]))
    for one in figures:
        if one.get("kind", "scalar") != "scalar":
            content = _matrix(one["value"]) if one["kind"] == "matrix" else Text(_list(one["value"]))
            yield from section(_title(one), content)
    if report["slices"]:
        yield from section("Slices", _slices(report["slices"]))
    if report["hardest"]:
        yield from section("Hardest samples", _hardest(report["hardest"]))
    if report["gates"]:
        yield from section("Gates", _gates(report["gates"]))
    yield ""


def _title(figure: Part) -> str:
    """Writes the name, with the parameters that are not at their default."""
    declared = find(figure["loss"]).parameters if "loss" in figure else find_metric(figure["metric"]).parameters
    default = {item.name: item.default for item in declared}
    given = {name: value for name, value in figure["parameters"].items() if default.get(name, ...) != value}
    parameters = ", ".join(f"{name}={_short(value)}" for name, value in given.items())
    name = figure.get("loss") or figure["metric"]
    return f"{name}({parameters})" if parameters else str(name)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 20 else text[:19] + "…"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _scalars(figures: Sequence[Part], objective: Part) -> Table:
    level = next((one["interval"]["level"] for one in figures if one["interval"]), None)
    grid = table("", "value", "± error", f"{level:.0%} interval" if level else "", "by", figures=True)
    shown = [(_title(one), one) for one in figures]
    if len([one for one in figures if one.get("weight_in_objective")]) > 1:
        shown.append(("objective", objective))
    for title, one in shown:
        interval = one["interval"]
        error, ends, method = "", "", ""
        if interval:
            error, method = _number(interval["standard_error"]), interval["method"]
            ends = f"{_number(interval['low'])} … {_number(interval['high'])}"
        grid.add_row(title, Text(_number(one["value"]), "bold"), error, ends, Text(method, "dim"))
    return grid


def _slices(slices: Sequence[Part]) -> Table:
    first = slices[0]
    names = [_title(one) for one in first["losses"]]
    names += [_title(one) for one in first["metrics"] if one["kind"] == "scalar"]
    grid = table("", "samples", *names, figures=True)
    for part in slices:
        values = [one["value"] for one in part["losses"]]
        values += [one["value"] for one in part["metrics"] if one["kind"] == "scalar"]
        grid.add_row(f"{part['column']} = {part['value']}", f"{part['samples']:,}", *map(_number, values))
    return grid


def _hardest(samples: Sequence[Part]) -> Table:
    grid = table("sample", "loss", figures=True)
    for one in samples:
        name = one["sample_id"] if one["sample_id"] is not None else f"{one['batch_id']}/{one['position']}"
        grid.add_row(str(name), _number(one["loss"]))
    return grid


def _gates(verdicts: Sequence[Part]) -> Table:
    grid = table("", "", "observed", "where", figures=True)
    for one in verdicts:
        gate = one["gate"]
        bounds = [f">= {gate['minimum']:g}"] if "minimum" in gate else []
        bounds += [f"<= {gate['maximum']:g}"] if "maximum" in gate else []
        name = str(gate.get("metric") or gate.get("loss"))
        at = f"@{gate['at']}" if gate.get("at", "value") != "value" else ""
        where = one["where"]
        grid.add_row(
            Text("passed", "green") if one["passed"] else Text("FAILED", "bold red"),
            f"{name}{at} {' and '.join(bounds)}",
            _number(one["observed"]),
            f"{where['column']} = {where['value']}" if where else "all samples",
        )
    return grid


def _matrix(rows: Sequence[Sequence[float]]) -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for row in rows[:LISTED]:
        grid.add_row(*map(_number, row[:LISTED]), *(["…"] if len(row) > LISTED else []))
    if len(rows) > LISTED:
        grid.add_row("…")
    return grid


def _list(value: Sequence[Any]) -> str:
    if value and isinstance(value[0], dict):
        return "\n".join(", ".join(f"{name}: {len(column)} points" for name, column in one.items()) for one in value)
    return "  ".join(map(_number, value[:LISTED])) + (" …" if len(value) > LISTED else "")
