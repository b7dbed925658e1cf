"""`lossmeter evaluate --server`: from a file to a run of a service, and the report of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from lossmeter.cli.measurement import read_watched
from lossmeter.client import Client, InvalidRequest, Report, Run
from lossmeter.errors import Invalid
from lossmeter.evaluation import Plan, SlicedFields
from lossmeter.evaluation.files import located, with_class_names
from lossmeter.evaluation.labels import indices
from lossmeter.tensors import Tensor, elements
from lossmeter.wire import tables

ELEMENTS = 1 << 22
"""Most elements of the predictions of one batch, so that no body comes near to what a service takes."""


def report_run(
    source: tables.Source, columns: tables.Columns, plan: SlicedFields, client: Client, name: str, tags: Sequence[str]
) -> Report:
    """Sends all that the file says to a new run, closes the run, and returns its report.

    Raises:
        LossmeterError: the file cannot be read, or its contents do not suit the plan.
        ServiceError: the service refuses, or cannot be reached.

    Whatever breaks it off has a note that says which run holds what came before.
    """
    known = with_class_names(source, columns, Plan.of(plan))
    names = {} if known.class_names is None else {"class_names": list(known.class_names)}
    run = client.run(name, tags=tags, **plan.model_dump(exclude_unset=True) | names)
    with closing(read_watched(source, columns)) as chunks:
        first = next(chunks, None)  # so that a file that cannot be read leaves no run behind
        if first is None:
            raise Invalid.at(source.name, "", "there are no rows")
        sent = 0
        with run:
            try:
                for chunk in chain([first], chunks):
                    for part in split(replace(chunk, fields=indices(known, chunk.fields))):
                        _add(run, source.name, part)
                        sent += part.rows
            except BaseException as error:
                error.add_note(_partial(run.id, sent, client))
                raise
    return run.report()


def _partial(run_id: str, rows: int, client: Client) -> str:
    return (
        f"Run {run_id} holds the first {rows:,} rows, and is not closed. A new attempt opens a new run; "
        f"if this one is of no use, delete it: lossmeter runs delete {run_id} --server {client.base_url}"
    )


def _add(run: Run, name: str, part: tables.Chunk) -> None:
    try:
        run.add(**part.fields, batch_id=str(part.row))
    except InvalidRequest as error:
        raise located(name, part, error.detail, error.errors) from error
    except (TypeError, ValueError) as error:
        raise located(name, part, str(error)) from error


def split(chunk: tables.Chunk) -> Iterator[tables.Chunk]:
    """Cuts a chunk into parts that are small enough to be sent."""
    rows = max(1, ELEMENTS * chunk.rows // max(1, elements(chunk.fields["predictions"].shape)))
    for start in range(0, chunk.rows, rows):
        chosen = slice(start, min(start + rows, chunk.rows))
        fields = {name: _chosen(value, chosen) for name, value in chunk.fields.items()}
        yield tables.Chunk(chunk.row + start, chosen.stop - start, fields, chunk.read)


def _chosen(value: Any, rows: slice) -> Any:
    """Picks these rows of a tensor, a list, or the columns of an object."""
    if isinstance(value, dict):
        return {name: _chosen(column, rows) for name, column in value.items()}
    if isinstance(value, Tensor):
        shape = (rows.stop - rows.start, *value.shape[1:])
        width = elements(value.shape[1:])
        return Tensor(value.datatype, shape, value.data[rows.start * width : rows.stop * width])
    return value[rows]
