"""Reads files for `lossmeter evaluate`, and evaluates them on this machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmeter.errors import Invalid, UnsupportedFormat
from lossmeter.evaluation import Plan
from lossmeter.evaluation.files import evaluate_chunks, with_class_names
from lossmeter.wire import tables

if TYPE_CHECKING:
    from lossmeter.engine import Engine

STANDARD_INPUT = ("-", "/dev/stdin")


@contextmanager
def opened(file: Path, form: str | None) -> Iterator[tables.Source]:
    """Gives what a file is to be read from; standard input is kept in a temporary file meanwhile.

    Args:
        file: a path; `-` for standard input.
        form: its format; None for what its ending says, or its first bytes where it has none.

    Raises:
        NotFound: there is no such file.
        UnsupportedFormat: its format is none of those known here.
    """
    if form is not None and form not in tables.READERS:
        raise UnsupportedFormat(f"--format is {form!r}; expected one of {', '.join(tables.READERS)}.")
    if str(file) in STANDARD_INPUT:
        with tempfile.NamedTemporaryFile(prefix="lossmeter-") as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.flush()
            yield _chosen(tables.recognized(tables.Source("standard input", "csv", Path(kept.name))), form)
    elif form is not None:
        yield tables.Source(file.name, form, file, zipped=file.suffix == ".gz")
    else:
        yield tables.Source.of_file(file)


def _chosen(source: tables.Source, form: str | None) -> tables.Source:
    return source if form is None else replace(source, form=form)


def report_file(source: tables.Source, columns: tables.Columns, plan: Plan, *, device: str = "auto") -> dict[str, Any]:
    """Reports on all that the file says.

    Raises:
        LossmeterError: the file cannot be read, or its contents do not suit the plan.
    """
    plan = with_class_names(source, columns, plan)
    engine = _engine(device) if plan.criteria else None
    with closing(read_watched(source, columns)) as chunks:
        return evaluate_chunks(source.name, chunks, plan, engine)


def _engine(device: str) -> Engine:
    from lossmeter.engine import Engine  # with torch, which takes seconds: metrics do without

    try:
        return Engine(device)
    except ValueError as error:
        raise Invalid.at("--device", "", str(error).partition("\n")[0]) from None


def read_watched(source: tables.Source, columns: tables.Columns) -> Generator[tables.Chunk, None, None]:
    """Reads a file, and shows a bar on the way if somebody watches; close it, so that the bar goes before an error is told.

    Raises:
        LossmeterError: the file cannot be read.
    """
    if not sys.stderr.isatty():
        yield from tables.read(source, columns)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.fields[rows]:,} rows"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        shown = bar.add_task("", total=1.0, rows=0)
        for chunk in tables.read(source, columns):
            yield chunk
            bar.update(shown, completed=chunk.read, rows=chunk.row + chunk.rows)
