"""Reports, comparisons and lists of runs as pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lossmeter.reporting.names import gate_title, number, place_title, title
from lossmeter.reporting.pages import Cell, Column, Grid, Page, Section

LISTED = 12
"""Values of a list, or of a row of a matrix, that are shown."""

Part = Mapping[str, Any]


def report_page(report: Part) -> Page:
    """Lays out the report of an evaluation, or of a run."""
    return Page(f"{report['samples']:,} samples", verdict(report), list(_report_sections(report)))


def verdict(report: Part) -> Cell | None:
    """Sums up the gates."""
    count = len(report["gates"])
    if not count:
        return None
    failed = sum(not one["passed"] for one in report["gates"])
    gates = f"{count} gate{'s' * (count > 1)}"
    return Cell(f"FAILED: {failed} of {gates}", "bad") if failed else Cell(f"passed: {gates}", "good")


def _report_sections(report: Part) -> Iterator[Section]:
    figures = [*report["losses"], *report["metrics"]]
    if any(map(_is_scalar, figures)):
        yield Section("Figures", figure_grid(report))
    for one in figures:
        if not _is_scalar(one):
            yield Section(title(one), _values(one, report.get("class_names")))
    if report["slices"]:
        yield Section("Slices", _slices(report["slices"]))
    if report["hardest"]:
        rows = [[Cell(_sample(one)), Cell(number(one["loss"]))] for one in report["hardest"]]
        yield Section("Hardest samples", Grid([Column("sample"), Column("loss", True)], rows))
    if report["gates"]:
        yield Section("Gates", _gates(report["gates"]))
    if report["warnings"]:
        yield Section("Warnings", [one["message"] for one in report["warnings"]])


def figure_grid(report: Part) -> Grid:
    """Lists the figures that are one number, with their intervals."""
    figures = [one for one in (*report["losses"], *report["metrics"]) if _is_scalar(one)]
    shown = [(title(one), one) for one in figures]
    if len([one for one in figures if one.get("weight_in_objective")]) > 1:
        shown.append(("objective", report["objective"]))
    level = next((one["interval"]["level"] for one in figures if one["interval"]), None)
    columns = [Column(), Column("value", True), Column("± error", True)]
    columns += [Column("" if level is None else f"{100 * level:g}% interval", True), Column("by")]
    rows = []
    for name, one in shown:
        interval = one["interval"]
        error, ends, method = "", "", ""
        if interval:
            error, method = number(interval["standard_error"]), interval["method"]
            ends = f"{number(interval['low'])} … {number(interval['high'])}"
        rows.append([Cell(name), Cell(number(one["value"]), "strong"), Cell(error), Cell(ends), Cell(method, "faint")])
    return Grid(columns, rows)


def _is_scalar(figure: Part) -> bool:
    return bool(figure.get("kind", "scalar") == "scalar")


def _values(figure: Part, class_names: Sequence[str] | None) -> Grid | list[str]:
    value = figure["value"]
    if figure["kind"] == "matrix":
        names = [str(place) for place in range(len(value))] if class_names is None else class_names
        rows = [[Cell(name), *map(Cell, _listed(row))] for name, row in zip(names, value[:LISTED], strict=False)]
        width = max((len(row) for row in rows), default=1)
        if len(value) > LISTED:
            rows.append([Cell("…"), *[Cell("")] * (width - 1)])
        return Grid(
            [Column("label"), *(Column(names[place] if place < LISTED else "", True) for place in range(width - 1))],
            rows,
        )
    if figure["kind"] == "curve":
        return [", ".join(f"{name}: {len(column)} points" for name, column in one.items()) for one in value[:LISTED]]
    listed = _listed(value)
    if class_names is not None and len(class_names) == len(value):
        listed[:LISTED] = [f"{name} {one}" for name, one in zip(class_names, listed[:LISTED], strict=False)]
    return ["  ".join(listed)]


def _listed(values: Sequence[Any]) -> list[str]:
    return [*map(number, values[:LISTED]), *(["…"] if len(values) > LISTED else [])]


def _slices(slices: Sequence[Part]) -> Grid:
    names = [title(one) for one in _scalars(slices[0])]
    columns = [Column(), Column("samples", True), *(Column(name, True) for name in names)]
    rows = [
        [Cell(place_title(part)), Cell(f"{part['samples']:,}"), *(Cell(number(one["value"])) for one in _scalars(part))]
        for part in slices
    ]
    return Grid(columns, rows)


def _scalars(part: Part) -> list[Part]:
    return [one for one in (*part["losses"], *part["metrics"]) if _is_scalar(one)]


def _sample(one: Part) -> str:
    return str(one["sample_id"] if one["sample_id"] is not None else f"{one['batch_id']}/{one['position']}")


def _gates(verdicts: Sequence[Part]) -> Grid:
    seen = "observed" if "observed" in verdicts[0] else "worse_by_at_most"
    rows = []
    for one in verdicts:
        more = len(one["failed_slices"]) - 1
        where = place_title(one["where"]) + (f" (and {more} more)" if more > 0 else "")
        passed = Cell("passed", "good") if one["passed"] else Cell("FAILED", "bad")
        rows.append([Cell(gate_title(one["gate"])), passed, Cell(number(one[seen])), Cell(where)])
    return Grid([Column(), Column(), Column(seen.replace("_", " "), True), Column("where")], rows)


def comparison_page(comparison: Part) -> Page:
    """Lays out the comparison of two runs."""
    sections = [Section("Differences (candidate minus baseline)", _differences(comparison))]
    sections += [Section(place_title(part), _differences(part)) for part in comparison["slices"]]
    if comparison["left_out"]:
        sections.append(Section("Left out, as not both measure it", list(map(title, comparison["left_out"]))))
    if comparison["gates"]:
        sections.append(Section("Gates", _gates(comparison["gates"])))
    if comparison["warnings"]:
        sections.append(Section("Warnings", [one["message"] for one in comparison["warnings"]]))
    names = [comparison[side]["name"] or comparison[side]["id"] for side in ("candidate", "baseline")]
    return Page(f"{names[0]} against {names[1]}", verdict(comparison), sections)


def _differences(part: Part) -> Grid:
    figures = [*part["losses"], *part["metrics"]]
    columns = ["baseline", "candidate", "difference", "interval", "p"]
    rows = []
    for one in figures:
        interval = one["interval"]
        ends = f"{number(interval['low'])} … {number(interval['high'])}" if interval else ""
        numbers = [number(one["baseline"]), number(one["candidate"])]
        difference = "–" if one["difference"] is None else f"{one['difference']:+.6g}"
        p_value = "" if one["p_value"] is None else f"{one['p_value']:.2g}"
        rows.append([Cell(title(one)), *map(Cell, numbers), Cell(difference, "strong"), Cell(ends), Cell(p_value)])
    return Grid([Column(), *(Column(name, True) for name in columns)], rows)


def run_list_page(runs: Sequence[Part]) -> Page:
    """Lays out a list of runs."""
    rows = []
    for one in runs:
        task = one["plan"].get("task") if one.get("plan") else one.get("task")
        what = [one["name"], task, f"{one['samples']:,} samples", "closed" if one["closed"] else "open", *one["tags"]]
        rows.append([Cell(one["id"], "strong"), Cell(str(one["created"])[:16]), Cell(" · ".join(filter(None, what)))])
    count = f"{len(runs):,} run{'s' * (len(runs) != 1)}"
    return Page(
        count, None, [Section("", Grid([Column("id"), Column("created"), Column("what")], rows))] if rows else []
    )
