"""Pages as Markdown and as HTML that needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from lossmeter.reporting.pages import Cell, Column, Grid, Page, Section

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&])")
MARKS = {"good": "✅ ", "bad": "❌ "}
STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;display:block;overflow-x:auto}th{font-weight:400;color:#667}
th,td{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.strong{font-weight:600}.faint{color:#667}
.good{color:#17692c;font-weight:600}.bad{color:#b00020;font-weight:600}
@media(prefers-color-scheme:dark){body{color:#e4e6eb;background:#18191a}th,.faint{color:#99a}th,td{border-color:#444}
.good{color:#5ccf7c}.bad{color:#ff7b8a}}
"""


def markdown(page: Page) -> str:
    """Writes a page as GitHub and GitLab show it."""
    head = f"## {_escaped(page.headline)}"
    blocks = [head] if page.verdict is None else [head, _marked(page.verdict)]
    for section in page.sections:
        if section.title:
            blocks.append(f"### {_escaped(section.title)}")
        if isinstance(section.content, Grid):
            blocks.append(_table(section.content))
        else:
            blocks.append("\n".join(f"- {_escaped(line)}" for line in section.content))
    return "\n\n".join(blocks) + "\n"


def _table(grid: Grid) -> str:
    titles = [_escaped(column.title) or " " for column in grid.columns]
    rules = ["---:" if column.figures else "---" for column in grid.columns]
    rows = [[_marked(cell) for cell in row] for row in grid.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rules, *rows))


def _marked(cell: Cell) -> str:
    written = _escaped(cell.text)
    bold = f"**{written}**" if cell.style in ("strong", "good", "bad") and written else written
    return MARKS.get(cell.style, "") + bold


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def html(page: Page, *, whole: bool = True) -> str:
    """Writes a page of HTML; without a head where it becomes a part of another, as in a notebook."""
    parts = [f"<h1>{escape(page.headline)}</h1>"]
    if page.verdict is not None:
        parts.append(f"<p>{_element('span', page.verdict)}</p>")
    for section in page.sections:
        if section.title:
            parts.append(f"<h2>{escape(section.title)}</h2>")
        parts.append(_content(section))
    body = "\n".join(parts)
    if not whole:
        return f"<div>{body}</div>"
    head = f'<meta charset="utf-8"><title>{escape(page.headline)}</title><style>{STYLE}</style>'
    meta = '<meta name="viewport" content="width=device-width">'
    return f'<!doctype html>\n<html lang="en"><head>{head}{meta}</head>\n<body>\n{body}\n</body></html>\n'


def _content(section: Section) -> str:
    if not isinstance(section.content, Grid):
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in section.content) + "</ul>"
    columns = section.content.columns
    rows = [_cells("td", row, columns) for row in section.content.rows]
    if any(column.title for column in columns):
        rows.insert(0, _cells("th", [Cell(column.title) for column in columns], columns))
    return "<table>" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _cells(tag: str, cells: Sequence[Cell], columns: Sequence[Column]) -> str:
    return "".join(
        _element(tag, cell, "n" if column.figures else "") for cell, column in zip(cells, columns, strict=True)
    )


def _element(tag: str, cell: Cell, more: str = "") -> str:
    names = " ".join(filter(None, (cell.style, more)))
    return f"<{tag}" + (f' class="{names}"' if names else "") + f">{escape(cell.text)}</{tag}>"
