"""The tables and sections that the pages of the terminal are made of."""

from __future__ import annotations

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def table(*titles: str) -> Table:
    """Makes a table without lines; its head is left out if no column has a title."""
    made = Table(box=None, padding=(0, 2, 0, 0), show_header=any(titles))
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


def section(title: str, content: RenderableType) -> tuple[RenderableType, ...]:
    """Puts a bold title above indented content."""
    return "", Text(title, "bold"), Padding(content, (0, 0, 0, 2))
