"""Prints pages of reports in a terminal, and writes them where CI looks for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from lossmeter.reporting import Page, junit, markdown, text
from lossmeter.reporting.pages import Style
from lossmeter.web.report import report_file

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable by which GitHub Actions names the file that it shows with a job."""
PAINTS: Mapping[Style, dict[str, Any]] = {
    "strong": {"bold": True},
    "faint": {"dim": True},
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
}


def print_page(page: Page) -> None:
    """Prints a page as wide as the terminal is, or 80 columns where there is none; `COLUMNS` decides otherwise."""
    typer.echo(text(page, shutil.get_terminal_size().columns, _paint), nl=False)


def _paint(part: str, style: Style) -> str:
    plain = not style or "NO_COLOR" in os.environ
    return part if plain else typer.style(part, **PAINTS[style])  # click leaves colours out of what is no terminal


def write_page(
    page: Page,
    report: Mapping[str, Any],
    markdown_file: Path | None,
    junit_file: Path | None,
    html_file: Path | None = None,
) -> None:
    """Writes a page as Markdown, JUnit XML and HTML into the files that are wanted, and to the summary of GitHub Actions.

    Raises:
        OSError: a file cannot be written.
    """
    if markdown_file is not None:
        markdown_file.write_text(markdown(page), "utf-8")
    if junit_file is not None:
        junit_file.write_text(junit(report), "utf-8")
    if html_file is not None:
        html_file.write_text(report_file(report), "utf-8")
    if summary := os.environ.get(SUMMARY):
        with Path(summary).open("a", encoding="utf-8") as shown:
            shown.write(markdown(page))
