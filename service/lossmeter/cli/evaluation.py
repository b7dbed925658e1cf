"""`lossmeter evaluate`: from a file and options to a record, on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lossmeter import files
from lossmeter.api import problems
from lossmeter.engine import Engine
from lossmeter.errors import Flaw, Invalid
from lossmeter.evaluation import Plan, Record, SlicedFields, measure
from lossmeter.metrics import PREDICTIONS_ARE

BINS = 10_000
"""Of the histograms of probabilities, so that memory does not grow with the file."""


def plan_of(config: Path | None, options: Mapping[str, Any]) -> Plan:
    """The plan in a file, with what the options say put in: single values replace, lists are appended.

    Raises:
        NotFound, Invalid: the plan does not fit together.
    """
    fields = {} if config is None else _read(config)
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, list) and isinstance(fields.get(name), list):
            fields[name] = fields[name] + value
        elif value != []:
            fields[name] = value
    task, only = fields.get("task"), PREDICTIONS_ARE.get(str(fields.get("task")), ())
    if "predictions_are" not in fields and len(only) == 1:
        fields["predictions_are"] = only[0]
    if "curves" not in fields and fields.get("predictions_are") in ("logits", "probabilities", "log_probabilities"):
        fields["curves"] = {"bins": BINS if task != "regression" else 0}
    try:
        return Plan.of(SlicedFields.model_validate(fields))
    except ValidationError as error:
        raise problems.invalid("plan", error, list(SlicedFields.model_fields)) from None


def _read(config: Path) -> dict[str, Any]:
    try:
        fields = json.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise Invalid.at(str(config), "", f"is no JSON file: {error}") from None
    if not isinstance(fields, dict):
        raise Invalid.at(str(config), "", "holds no object; expected the fields of a plan")
    return {name: value for name, value in fields.items() if name not in ("format", "version")}


def record_of(path: Path, columns: files.Columns, plan: Plan, *, device: str = "auto") -> Record:
    """All that the file says.

    Raises:
        LossmeterError: the file cannot be read, or its contents do not suit the plan.
    """
    engine = Engine(device)
    record: Record | None = None
    with closing(watched(path, columns)) as pieces:
        for piece in pieces:
            part = _measured(path, piece, plan, engine)
            record = part if record is None else record.merge(part)
    if record is None:
        raise Invalid.at(path.name, "", "there are no rows")
    return record


def watched(path: Path, columns: files.Columns) -> Generator[files.Piece, None, None]:
    """The rows of a file, with a bar on the way if somebody watches; close it, so that the bar goes before an error is told.

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
        for piece in files.pieces(path, columns):
            yield piece
            bar.update(shown, completed=piece.read, rows=piece.row + piece.rows)


def _measured(path: Path, piece: files.Piece, plan: Plan, engine: Engine) -> Record:
    try:
        return measure(plan, piece.fields, engine=engine, paired=False)
    except Invalid as error:
        raise located(path, piece, error.detail, error.flaws) from error


def located(path: Path, piece: files.Piece, detail: str, flaws: Sequence[Flaw] = ()) -> Invalid:
    """The error that names the row of the file, or the rows, where something is wrong."""
    index = next((flaw.index for flaw in flaws if flaw.index), None)
    where = f"row {piece.row + index[0]}" if index else f"rows {piece.row} to {piece.row + piece.rows - 1}"
    return Invalid(f"{path.name}, {where}: {detail}", flaws)
