"""`lossmeter evaluate` on this machine: from a file to the report of what it says."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lossmeter.engine import Engine
from lossmeter.errors import Flaw, Invalid
from lossmeter.evaluation import Plan, Record, measure, report
from lossmeter.wire import tables


def report_file(path: Path, columns: tables.Columns, plan: Plan, *, device: str = "auto") -> dict[str, Any]:
    """Reports on all that the file says.

    Raises:
        LossmeterError: the file cannot be read, or its contents do not suit the plan.
    """
    engine = Engine(device)
    record: Record | None = None
    with closing(read_watched(path, columns)) as chunks:
        for chunk in chunks:
            part = _measure(path, chunk, plan, engine)
            record = part if record is None else record.merge(part)
    if record is None:
        raise Invalid.at(path.name, "", "there are no rows")
    return report(plan, record)


def read_watched(path: Path, columns: tables.Columns) -> Generator[tables.Chunk, None, None]:
    """Reads a file, and shows a bar on the way if somebody watches; close it, so that the bar goes before an error is told.

    Raises:
        LossmeterError: the file cannot be read.
    """
    bar = Progress(
        TextColumn("{task.fields[rows]:,} rows"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        shown = bar.add_task("", total=1.0, rows=0)
        for chunk in tables.read(path, columns):
            yield chunk
            bar.update(shown, completed=chunk.read, rows=chunk.row + chunk.rows)


def _measure(path: Path, chunk: tables.Chunk, plan: Plan, engine: Engine) -> Record:
    try:
        return measure(plan, chunk.fields, engine=engine, paired=False)
    except Invalid as error:
        raise located(path, chunk, error.detail, error.flaws) from error


def located(path: Path, chunk: tables.Chunk, detail: str, flaws: Sequence[Flaw] = ()) -> Invalid:
    """Makes the error that names the row of the file, or the rows, where something is wrong."""
    index = next((flaw.index for flaw in flaws if flaw.index), None)
    where = f"row {chunk.row + index[0]}" if index else f"rows {chunk.row} to {chunk.row + chunk.rows - 1}"
    return Invalid(f"{path.name}, {where}: {detail}", flaws)
