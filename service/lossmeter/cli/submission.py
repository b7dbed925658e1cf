"""`lossmeter evaluate --server`: from a file to a run of a service, and the report of the run."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from lossmeter.client import Client, InvalidRequest, Report, Run
from lossmeter.evaluation import Plan, SlicedFields
from lossmeter.evaluation.files import located, no_rows, with_class_names
from lossmeter.evaluation.labels import indices
from lossmeter.evaluation.runners import Reading, Watch, unwatched
from lossmeter.tensors import Tensor, elements
from lossmeter.wire import tables
from lossmeter.wire.datasets import Dataset

ELEMENTS = 1 << 22
"""Most elements of the predictions of one batch, so that no body comes near to what a service takes."""


@dataclass(frozen=True)
class ServiceRunner:
    """Evaluates in a new run of a service, which stays there.

    Whatever breaks it off has a note that says which run holds what came before.

    Attributes:
        client: of the service.
        name, tags: of the run.
        watch: is told how far it is.
    """

    client: Client
    name: str = ""
    tags: Sequence[str] = ()
    watch: Watch = unwatched

    def report(self, dataset: Dataset, columns: tables.Columns, plan: SlicedFields) -> Report:
        """Sends all rows to a new run, closes the run, and returns its report.

        Raises:
            LossmeterError: the dataset cannot be read, or does not suit the plan.
            ServiceError: the service refuses, or cannot be reached.
        """
        known = with_class_names(dataset, columns, Plan.of(plan))
        names = {} if known.class_names is None else {"class_names": list(known.class_names)}
        run = self.client.run(self.name, tags=self.tags, **plan.model_dump(exclude_unset=True) | names)
        with closing(_read(dataset, columns, self.watch)) as pieces:
            first = next(pieces, None)  # so that a file that cannot be read leaves no run behind
            if first is None:
                raise no_rows(dataset.name)
            sent = 0
            with run:
                try:
                    for name, chunk in chain([first], pieces):
                        for part in split(replace(chunk, fields=indices(known, chunk.fields))):
                            _add(run, name, part, f"{name}/{part.row}" if len(dataset.parts) > 1 else str(part.row))
                            sent += part.rows
                except BaseException as error:
                    error.add_note(_partial(run.id, sent, self.client))
                    raise
        return run.report()


def _read(dataset: Dataset, columns: tables.Columns, watch: Watch) -> Generator[tuple[str, tables.Chunk], None, None]:
    """Reads all parts, and gives each chunk with the name of its file."""
    reading = Reading(dataset, columns, watch)
    for number, part in enumerate(dataset.parts):
        with closing(reading.part(number)) as chunks:
            for chunk in chunks:
                yield part.name, chunk


def _partial(run_id: str, rows: int, client: Client) -> str:
    return (
        f"Run {run_id} holds the first {rows:,} rows, and is not closed. A new attempt opens a new run; "
        f"if this one is of no use, delete it: lossmeter runs delete {run_id} --server {client.base_url}"
    )


def _add(run: Run, name: str, part: tables.Chunk, batch_id: str) -> None:
    try:
        run.add(**part.fields, batch_id=batch_id)
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
