"""Evaluates a dataset on a Ray cluster: parts become records where there is room, and the records one."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lossmeter.cluster.extra import imported
from lossmeter.errors import Invalid, LossmeterError
from lossmeter.evaluation import Plan, Record, SlicedFields, report
from lossmeter.evaluation.files import class_names, measure_chunks, named, no_rows, unnamed
from lossmeter.evaluation.runners import MergeTree, Reading, Watch, unwatched
from lossmeter.evaluation.serialization import deserialize, serialize
from lossmeter.wire.datasets import Dataset, Part
from lossmeter.wire.tables import Columns

if TYPE_CHECKING:
    from lossmeter.engine import Engine

FAN = 16
"""Records that one task merges; a power of two, so that neighbours meet."""
FEW = 64
"""Records up to which the driver merges by itself."""

Rows = dict[str, Any]
"""A batch of Ray Data: columns of arrays."""


@dataclass(frozen=True)
class RayRunner:
    """Evaluates on the cluster that `RAY_ADDRESS` names; without one, on a cluster of this machine for as long as it takes.

    Attributes:
        device: of torch, for the losses; any but `auto` and `cpu` asks Ray for a GPU for each task.
        watch: is told how far it is.
    """

    device: str = "auto"
    watch: Watch = unwatched

    def report(self, dataset: Dataset, columns: Columns, plan: SlicedFields) -> Mapping[str, Any]:
        ray = imported("ray")
        imported("ray.data")
        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
            logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            return self._report(dataset, columns, Plan.of(plan))
        finally:
            if started:
                ray.shutdown()

    def _report(self, dataset: Dataset, columns: Columns, plan: Plan) -> dict[str, Any]:
        context = imported("ray.data").DataContext.get_current()
        context.enable_progress_bars = False  # ours knows rows
        parts = [pickle.dumps(part) for part in dataset.parts]
        # Most have numbers, as their first rows tell: only texts are worth reading everything for.
        if unnamed(plan) and class_names(dataset.parts[0], columns, plan) is not None:
            plan = self._with_class_names(parts, columns, plan)
        tree = MergeTree(len(parts))
        rows = done = 0
        work = Work(json.dumps(plan.to_json()), columns, self.device, len(parts))
        for row in self._rows(parts, work.measure, merged=work.merge if len(parts) > FEW else None):
            tree.add((int(row["level"]), int(row["number"])), _record(row["record"]))
            rows, done = rows + int(row["rows"]), done + int(row["parts"])
            self.watch(done / len(parts), rows)
        if tree.record is None:
            raise no_rows(dataset.name)
        return report(plan, tree.record)

    def _with_class_names(self, parts: Sequence[bytes], columns: Columns, plan: Plan) -> Plan:
        names: set[str] = set()
        for row in self._rows(parts, Names(json.dumps(plan.to_json()), columns).look):
            if not row["names"]:
                return plan
            names.update(json.loads(row["names"]))
        return named(plan, columns, names)

    def _rows(self, parts: Sequence[bytes], map_part: Any, merged: Any = None) -> Iterator[Rows]:
        """Maps the parts, and gives the rows that come of them, in whatever order they are there.

        A block whose node is lost is computed again, as often as it takes.

        Raises:
            LossmeterError: a part is not usable.
        """
        data = imported("ray.data")
        items = [{"number": number, "part": part} for number, part in enumerate(parts)]
        options = {"num_cpus": 1, "max_retries": -1, "retry_exceptions": False}
        if self.device not in ("auto", "cpu"):
            options["num_gpus"] = 1
        rows = data.from_items(items, override_num_blocks=len(items)).map(map_part, **options)
        if merged is not None:
            rows = rows.map_batches(merged, batch_size=FAN, batch_format="numpy", num_cpus=1, max_retries=-1)
        for row in rows.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])  # noqa: S301  # of this program
            yield row


@dataclass(frozen=True)
class Names:
    """Looks for the names of classes, in a task.

    Attributes:
        plan: as JSON.
        columns: as for `read`.
    """

    plan: str
    columns: Columns

    def look(self, row: Rows) -> Rows:
        """Returns the names in a part as JSON; an empty text where there are none, but numbers: nulls do not travel well."""
        try:
            names = class_names(pickle.loads(row["part"]), self.columns, _plan(self.plan))  # noqa: S301
        except LossmeterError as error:
            return {"names": "", "error": _told(error)}
        return {"names": "" if names is None else json.dumps(sorted(names)), "error": b""}


@dataclass(frozen=True)
class Work:
    """Measures parts and merges records, in tasks.

    Attributes:
        plan: as JSON.
        columns: as for `read`.
        device: of torch.
        parts: how many there are.
    """

    plan: str
    columns: Columns
    device: str
    parts: int

    def measure(self, row: Rows) -> Rows:
        """Measures a part."""
        part: Part = pickle.loads(row["part"])  # noqa: S301
        plan = _plan(self.plan)
        reading = Reading(Dataset(part.name, [part]), self.columns, unwatched)
        try:
            with closing(reading.part(0)) as chunks:
                record = measure_chunks(part.name, chunks, plan, _engine(self.device) if plan.criteria else None)
        except LossmeterError as error:
            return {**_row(0, row["number"], None, 0, 1), "error": _told(error)}
        return _row(0, row["number"], record, reading.rows, 1)

    def merge(self, batch: Rows) -> Rows:
        """Merges those records of a batch that are neighbours; what is left goes on as it is."""
        tree = MergeTree(self.parts)
        failed = next((error for error in batch["error"] if error), b"")
        try:
            for level, number, record in zip(batch["level"], batch["number"], batch["record"], strict=True):
                tree.add((int(level), int(number)), _record(record))
        except LossmeterError as error:
            failed = failed or _told(error)
        left = [_row(*node, record, 0, 0) for node, record in tree.nodes.items()] or [_row(0, 0, None, 0, 0)]
        left[0] |= {"rows": int(batch["rows"].sum()), "parts": int(batch["parts"].sum()), "error": failed}
        return {name: np.array([row[name] for row in left], dtype=_DTYPES.get(name)) for name in left[0]}


_DTYPES: dict[str, Any] = {"record": object, "error": object}


def _row(level: int, number: int, record: Record | None, rows: int, parts: int) -> Rows:
    """Makes a row; what it has not is empty bytes: a column of nothing but None comes out of Ray as numbers that are none."""
    content = b"" if record is None else serialize(record)
    return {"level": level, "number": number, "record": content, "rows": rows, "parts": parts, "error": b""}


def _record(content: bytes) -> Record | None:
    return deserialize(content) if content else None


def _told(error: LossmeterError) -> bytes:
    """Writes an error as bytes; what is not known to be plain is told by its text alone."""
    plain = type(error)(error.detail, error.flaws) if isinstance(error, Invalid) else Invalid(error.detail, error.flaws)
    return pickle.dumps(plain)


@lru_cache(maxsize=8)
def _plan(text: str) -> Plan:
    return Plan.from_json(json.loads(text))


@cache
def _engine(device: str) -> Engine:
    from lossmeter.engine import Engine

    return Engine(device)
