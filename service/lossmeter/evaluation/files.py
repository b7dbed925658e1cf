"""Evaluates a table a chunk at a time, so that memory does not grow with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lossmeter.budget import spend
from lossmeter.cost import Cost
from lossmeter.errors import Flaw, Invalid
from lossmeter.evaluation.fields import SlicedFields
from lossmeter.evaluation.labels import texts_of, with_names
from lossmeter.evaluation.measurement import measure
from lossmeter.evaluation.plan import Plan
from lossmeter.evaluation.record import Record
from lossmeter.evaluation.reports import report
from lossmeter.metrics import TASKS
from lossmeter.stopping import checkpoint
from lossmeter.validation import validate
from lossmeter.wire.datasets import Dataset, Part
from lossmeter.wire.tables import Chunk, Columns

if TYPE_CHECKING:
    from lossmeter.engine.compute import Engine


BINS = 10_000
"""Of the histograms of probabilities, so that memory does not grow with the table."""
NAME_OPERATIONS = 400
"""What it takes to look for the names of the classes in a row: a text of Python, and its place in a set."""


def table_fields(subject: str, fields: Mapping[str, Any]) -> SlicedFields:
    """Checks the fields of a plan for a table; what goes without saying may be left out, and curves come from histograms.

    Raises:
        Invalid: with all that is wrong with them.
    """
    fields = dict(fields)
    task = fields.get("task")
    only = TASKS[str(task)].kinds if str(task) in TASKS else ()
    if "predictions_are" not in fields and len(only) == 1:
        fields["predictions_are"] = only[0]
    if "curves" not in fields and fields.get("predictions_are") in ("logits", "probabilities", "log_probabilities"):
        fields["curves"] = {"bins": BINS if task != "regression" else 0}
    return validate(SlicedFields, subject, fields)


def column_names(text: str) -> tuple[str, ...]:
    """Reads names of columns, between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def with_class_names(dataset: Dataset, columns: Columns, plan: Plan) -> Plan:
    """Returns the plan with the names of all classes that a dataset has, if they are texts and it has none.

    Raises:
        LossmeterError: the dataset cannot be read, or has not as many as there have to be.
    """
    names: set[str] = set()
    for part in dataset.parts if unnamed(plan) else ():
        more = class_names(part, columns, plan)
        if more is None:
            return plan
        names |= more
    return named(plan, columns, names)


def unnamed(plan: Plan) -> bool:
    """Tells whether the names of the classes have to be looked for in the data."""
    return plan.class_names is None and plan.task.named


def class_names(part: Part, columns: Columns, plan: Plan) -> set[str] | None:
    """Returns the names of the classes in a part; None where they are numbers.

    Raises:
        LossmeterError: the part cannot be read.
    """
    predictions = columns.predictions if plan.predictions_are == "classes" else columns.labels
    names: set[str] = set()
    with closing(part.read(Columns(predictions, columns.labels))) as chunks:
        for chunk in chunks:
            checkpoint()
            spend(part.name, Cost(0, NAME_OPERATIONS * chunk.rows, "the names of its classes"))
            more = texts_of(chunk.fields)
            if not more:
                return None
            names |= more
    return names


def named(plan: Plan, columns: Columns, names: Collection[str]) -> Plan:
    """Returns the plan with these names of classes, if there are any.

    Raises:
        Invalid: there are not as many as there have to be.
    """
    if not names:
        return plan
    return with_names(plan, names, len(columns.predictions) if len(columns.predictions) > 1 else None)


def evaluate_chunks(name: str, chunks: Iterable[Chunk], plan: Plan, engine: Engine | None = None) -> dict[str, Any]:
    """Reports on all rows of a table.

    Args:
        name: of the table, for messages.
        chunks: its rows, in order.
        plan, engine: as for `measure`.

    Raises:
        Invalid: with the row where something is wrong; or there are none.
        DoesNotFit: as `measure`.
    """
    record = measure_chunks(name, chunks, plan, engine)
    if record is None:
        raise no_rows(name)
    return report(plan, record)


def measure_chunks(name: str, chunks: Iterable[Chunk], plan: Plan, engine: Engine | None = None) -> Record | None:
    """Measures rows that are read together; None if there are none.

    Raises:
        Invalid, DoesNotFit: as `evaluate_chunks`.
    """
    record: Record | None = None
    for chunk in chunks:
        checkpoint()
        try:
            part = measure(plan, chunk.fields, engine=engine, paired=False)
        except Invalid as error:
            raise located(name, chunk, error.detail, error.flaws) from error
        record = part if record is None else record.merge(part)
    return record


def no_rows(name: str) -> Invalid:
    """Makes the error of a table without rows."""
    return Invalid.at(name, "", "there are no rows")


def located(name: str, chunk: Chunk, detail: str, flaws: Sequence[Flaw] = ()) -> Invalid:
    """Makes the error that names the row of the table, or the rows, where something is wrong."""
    index = next((flaw.index for flaw in flaws if flaw.index), None)
    where = f"row {chunk.row + index[0]}" if index else f"rows {chunk.row} to {chunk.row + chunk.rows - 1}"
    return Invalid(f"{name}, {where}: {detail}", flaws)
