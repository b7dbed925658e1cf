"""Lays out what commands print: tables and sections of pages, and JSON."""

from __future__ import annotations

from typing import Any

import orjson
import typer
from rich.console import OverflowMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def table(*titles: str, figures: bool = False) -> Table:
    """Makes a table without lines, and without a head if no column has a title; all columns but the first may be figures."""
    overflow: OverflowMethod = "ellipsis" if figures else "fold"
    made = Table(box=None, padding=(0, 2, 0, 0), show_header=any(titles))
    for number, title in enumerate(titles):
        made.add_column(title, justify="right" if figures and number else "left", no_wrap=figures, overflow=overflow)
    return made


def section(title: str, content: RenderableType) -> tuple[RenderableType, ...]:
    """Puts a bold title above indented content."""
    return "", Text(title, "bold"), Padding(content, (0, 0, 0, 2))
