"""Pages as text of a given width. Nothing is cut: what is too wide is broken into lines, or into grids under each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from lossmeter.reporting.pages import Cell, Column, Grid, Page, Section, Style

INDENT, GAP = 2, 2
LEAST = 16
"""Characters that a column of texts keeps."""

Paint = Callable[[str, Style], str]
"""Makes a text look like its style, at no width of its own."""


def _plain(text: str, style: Style) -> str:  # noqa: ARG001
    return text


def text(page: Page, width: int = 80, paint: Paint = _plain) -> str:
    """Writes a page in lines of at most that width, as long as no single number is wider."""
    head = paint(page.headline, "strong")
    if page.verdict is not None:
        head += paint("  ", "") + paint(page.verdict.text, page.verdict.style)
    lines = [head]
    for section in page.sections:
        lines += ["", paint(section.title, "strong")] if section.title else [""]
        lines += (" " * INDENT + line for line in _section(section, max(width - INDENT, 2 * LEAST), paint))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _section(section: Section, width: int, paint: Paint) -> Iterator[str]:
    if isinstance(section.content, Grid):
        yield from _grid(section.content, width, paint)
    else:
        for line in section.content:
            yield from wrap(line, width, subsequent_indent=" " * INDENT) or [""]


def _grid(grid: Grid, width: int, paint: Paint) -> Iterator[str]:
    natural = [
        max(map(len, (column.title, *(row[place].text for row in grid.rows))))
        for place, column in enumerate(grid.columns)
    ]
    least = [wide if column.figures else min(wide, LEAST) for wide, column in zip(natural, grid.columns, strict=True)]
    rest = list(range(1, len(natural)))
    first = True
    while rest or first:
        taken, used = [0], least[0]
        while rest and (len(taken) == 1 or used + GAP + least[rest[0]] <= width):
            used += GAP + least[rest[0]]
            taken.append(rest.pop(0))
        if not first:
            yield ""
        first = False
        widths, spare = {}, max(0, width - used)
        for place in taken:
            widths[place] = least[place] + min(spare, natural[place] - least[place])
            spare -= widths[place] - least[place]
        yield from _block(grid, widths, paint)


def _block(grid: Grid, widths: dict[int, int], paint: Paint) -> Iterator[str]:
    columns = [grid.columns[place] for place in widths]
    if any(column.title for column in columns):
        titles = [Cell(column.title, "faint") for column in columns]
        yield from _row(titles, columns, list(widths.values()), paint)
    for row in grid.rows:
        yield from _row([row[place] for place in widths], columns, list(widths.values()), paint)


def _row(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], paint: Paint) -> Iterator[str]:
    broken = [
        wrap(cell.text, width) if len(cell.text) > width else [cell.text]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*broken, fillvalue=""):
        pieces = []
        for part, cell, column, width in zip(parts, cells, columns, widths, strict=True):
            space = " " * (width - len(part))
            shown = paint(part, cell.style) if part else ""
            pieces.append(space + shown if column.figures else shown + space)
        yield (" " * GAP).join(pieces)
