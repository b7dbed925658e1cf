"""Curves as an SVG of one panel for each loss, both axes logarithmic; it needs no plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from tests.benchmarks.results import Curve

PANEL_WIDTH, PANEL_HEIGHT = 300, 260
LEFT, TOP, RIGHT, BOTTOM, GAP = 62, 64, 14, 48, 34

# Told apart by people who do not see all colours, too (Okabe and Ito 2008), and by their dashes.
STYLES = (("#0072b2", ""), ("#009e73", "6 3"), ("#d55e00", "2 3"), ("#cc79a7", "8 3 2 3"))

SHEET = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.faint { fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .ground { fill: #0d1117 }
}
"""


def drawn(curves: Sequence[Curve], title: str, vertical: str) -> str:
    """The whole picture."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    subjects = list(dict.fromkeys(curve.subject for curve in curves))
    style = dict(zip(subjects, STYLES, strict=False))
    sizes = [math.log10(size) for curve in curves for size in curve.points]
    values = [math.log10(value) for curve in curves for value in curve.points.values()]
    across, up = (min(sizes), max(sizes)), (math.floor(min(values)), math.ceil(max(values)))
    width = LEFT + len(panels) * (PANEL_WIDTH + GAP) - GAP + RIGHT
    height = TOP + PANEL_HEIGHT + BOTTOM
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{escape(title)}">'
        ),
        f"<style>{SHEET}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    at = LEFT
    for subject in subjects:
        colour, dashes = style[subject]
        lines.append(
            f'<line x1="{at}" x2="{at + 26}" y1="36" y2="36" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        )
        lines.append(f'<text x="{at + 32}" y="40">{escape(subject)}</text>')
        at += 48 + 7 * len(subject)
    middle = TOP + PANEL_HEIGHT / 2
    lines.append(
        f'<text class="faint" x="14" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 14 {middle})">{escape(vertical)}</text>'
    )
    for number, panel in enumerate(panels):
        left = LEFT + number * (PANEL_WIDTH + GAP)
        lines += _axes(left, panel, across, up, labelled=number == 0)
        for curve in curves:
            if curve.panel == panel:
                lines += _line(left, curve, across, up, *style[curve.subject])
    return "\n".join([*lines, "</svg>", ""])


def _axes(
    left: float, panel: str, across: tuple[float, float], up: tuple[float, float], *, labelled: bool
) -> Iterator[str]:
    bottom = TOP + PANEL_HEIGHT
    yield f'<text class="title" x="{left + PANEL_WIDTH / 2}" y="{TOP - 6}" text-anchor="middle">{escape(panel)}</text>'
    yield f'<text class="faint" x="{left + PANEL_WIDTH / 2}" y="{bottom + 38}" text-anchor="middle">elements</text>'
    for power in range(math.ceil(up[0]), math.floor(up[1]) + 1):
        y = _place(power, up, bottom, TOP)
        yield f'<line class="grid" x1="{left}" x2="{left + PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        if labelled:
            yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_power(power)}</text>'
    for power in range(math.ceil(across[0]), math.floor(across[1]) + 1):
        x = _place(power, across, left, left + PANEL_WIDTH)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_power(power)}</text>'


def _line(
    left: float, curve: Curve, across: tuple[float, float], up: tuple[float, float], colour: str, dashes: str
) -> Iterator[str]:
    bottom = TOP + PANEL_HEIGHT
    points = [
        (_place(math.log10(size), across, left, left + PANEL_WIDTH), _place(math.log10(value), up, bottom, TOP))
        for size, value in sorted(curve.points.items())
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _place(value: float, span: tuple[float, float], low: float, high: float) -> float:
    return low + (value - span[0]) / ((span[1] - span[0]) or 1) * (high - low)


def _power(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
