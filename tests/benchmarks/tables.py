"""Results as tables, for a terminal and for the docs: the same text serves both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.benchmarks.results import Curve, Ratio, Result


def figures(result: Result) -> str:
    """What was measured."""
    timed = any(m.processor for m in result.measurements)
    rows = []
    for m in result.measurements:
        cost = m.processor_median
        processor = ("" if cost is None else f"{number(cost)} ms",) if timed else ()
        rows.append((m.subject, f"{number(m.median)} {m.unit}", _spread(m.rounds), *processor))
    return table(("subject", "median", "range", *(("processor time per request",) if timed else ())), rows)


def curves(result: Result) -> str:
    """The points of the curves: one table for each panel."""
    panels = dict.fromkeys(curve.panel for curve in result.curves)
    return "\n\n".join(_panel(panel, [curve for curve in result.curves if curve.panel == panel]) for panel in panels)


def _panel(panel: str, found: Sequence[Curve]) -> str:
    sizes = sorted({size for curve in found for size in curve.points})
    rows = [
        (f"{size:,}", *(number(curve.points[size]) if size in curve.points else "" for curve in found))
        for size in sizes
    ]
    return table((f"{panel}: elements", *(f"{curve.subject}, ns" for curve in found)), rows)


def ratios(found: Iterable[Ratio]) -> str:
    """How it compares with what was aimed at."""
    found = list(found)
    timed = any(r.processor is not None for r in found)
    rows = []
    for r in found:
        processor = ("" if r.processor is None else f"{number(r.processor)} ×",) if timed else ()
        rows.append((r.what, measured(r), _spread(r.rounds), *processor, aim(r), verdict(r)))
    by = ("by processor time",) if timed else ()
    return table(("comparison", "measured", "range", *by, "aim", "met"), rows)


def measured(ratio: Ratio) -> str:
    return f"{number(ratio.median)} {ratio.unit}" if ratio.rounds else "not served"


def aim(ratio: Ratio) -> str:
    return "" if ratio.aim is None else f"{ratio.sense} {ratio.aim:g} {ratio.unit}"


def verdict(ratio: Ratio) -> str:
    return {None: "", True: "yes", False: "**no**"}[ratio.met]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def number(value: float) -> str:
    """Three digits that count, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    places = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{places}f}"


def _spread(rounds: Sequence[float]) -> str:
    return f"{number(min(rounds))} … {number(max(rounds))}" if len(rounds) > 1 else ""
