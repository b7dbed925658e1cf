"""Finds datasets for `lossmeter evaluate`, and evaluates them on this machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmeter.errors import Invalid, UnsupportedFormat
from lossmeter.evaluation import Plan, SlicedFields, report
from lossmeter.evaluation.files import measure_chunks, no_rows, with_class_names
from lossmeter.evaluation.runners import MergeTree, Reading, Watch, unwatched
from lossmeter.wire import datasets, tables
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.sources import Source, recognized

if TYPE_CHECKING:
    from lossmeter.engine import Engine

STANDARD_INPUT = ("-", "/dev/stdin")


@contextmanager
def opened(location: str, form: str | None) -> Iterator[Dataset]:
    """Gives what is to be read; standard input is kept in a temporary file meanwhile.

    Args:
        location: a file, a folder, a pattern or a URL; `-` for standard input.
        form: the format; None for what the ending says, or the first bytes where there is none.

    Raises:
        NotFound: there is no such file.
        UnsupportedFormat: its format is none of those known here.
    """
    if form is not None and form not in tables.READERS:
        raise UnsupportedFormat(f"--format is {form!r}; expected one of {', '.join(tables.READERS)}.")
    if location in STANDARD_INPUT:
        with tempfile.NamedTemporaryFile(prefix="lossmeter-") as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.flush()
            yield Dataset.of(_chosen(recognized(Source("standard input", "csv", Path(kept.name))), form))
    elif not datasets.is_local_file(location):
        yield datasets.find(location, form)
    elif form is not None:
        file = Path(location)
        yield Dataset.of(Source(file.name, form, file, zipped=file.suffix == ".gz"))
    else:
        yield Dataset.of(Source.of_file(Path(location)))


def _chosen(source: Source, form: str | None) -> Source:
    return source if form is None else replace(source, form=form)


@dataclass(frozen=True)
class LocalRunner:
    """Evaluates in this process.

    Attributes:
        device: of torch, for the losses.
        watch: is told how far it is.
    """

    device: str = "auto"
    watch: Watch = unwatched

    def report(self, dataset: Dataset, columns: tables.Columns, plan: SlicedFields) -> Mapping[str, Any]:
        return self.measure(dataset, columns, Plan.of(plan))

    def measure(self, dataset: Dataset, columns: tables.Columns, plan: Plan) -> dict[str, Any]:
        """Reports as `report` does, by a plan that has been checked."""
        plan = with_class_names(dataset, columns, plan)
        engine = _engine(self.device) if plan.criteria else None
        reading, tree = Reading(dataset, columns, self.watch), MergeTree(len(dataset.parts))
        for number, part in enumerate(dataset.parts):
            with closing(reading.part(number)) as chunks:
                tree.add((0, number), measure_chunks(part.name, chunks, plan, engine))
        if tree.record is None:
            raise no_rows(dataset.name)
        return report(plan, tree.record)


def _engine(device: str) -> Engine:
    from lossmeter.engine import Engine  # with torch, which takes seconds: metrics do without

    try:
        return Engine(device)
    except ValueError as error:
        raise Invalid.at("--device", "", str(error).partition("\n")[0]) from None


@contextmanager
def progress() -> Iterator[Watch]:
    """Shows a bar if somebody watches; it is gone before an error is told."""
    if not sys.stderr.isatty():
        yield unwatched
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
        yield lambda share, rows: bar.update(shown, completed=share, rows=rows)
