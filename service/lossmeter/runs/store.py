"""Stores of runs: the protocol, and the one that keeps them in a database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import accumulate, islice
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lossmeter.database import Database
from lossmeter.database.tables import BATCHES, RUNS, STATES, TAGS
from lossmeter.errors import Conflict, Invalid, NotFound, StoreUnavailable, pointer
from lossmeter.runs.run import StoredRun

PIECE = 64
"""States that are fetched at a time."""
PAGE_BYTES = 1 << 22
"""Of the plans in a page of runs."""
NAMED_ROWS = 1000
"""Rows that one statement names."""


class StoredState(NamedTuple):
    """The record of some batches: a row of `states`."""

    number: int
    batches: int
    samples: int
    content: bytes


class StoredBatch(NamedTuple):
    """The part of one batch that is kept.

    Attributes:
        id: chosen by the client; a run has each id once.
        digest: of its content.
        classes: number of classes or labels that it has; None where the task has none.
        samples: how many samples count.
        state: what is known from it.
    """

    id: str
    digest: bytes
    classes: int | None
    samples: int
    state: bytes


class Store(Protocol):
    """Keeps runs. What has returned is durable; what has raised has not happened.

    What is asked of one run raises `NotFound` if there is none, but what folds its states; all raise `StoreUnavailable`.
    """

    def create(self, run: StoredRun) -> StoredRun:
        """Keeps a new run, and returns it with the time at which that happened."""

    def find(
        self, tags: Sequence[str], before: str, limit: int, name: str = "", task: str = ""
    ) -> tuple[list[StoredRun], bool]:
        """Returns runs that have all the tags, newest first, from the one before the id on; from the newest if it is empty.

        Of this name and this task alone, where they are not empty. Returns fewer than the limit if their plans are large; and
        whether there are more runs.
        """

    def run(self, run_id: str) -> StoredRun:
        """Returns the run of that id."""

    def digest(self, run_id: str, batch_id: str) -> tuple[StoredRun, bytes | None]:
        """Returns the run, and the digest of that batch; None if it is new."""

    def add(self, run_id: str, batch: StoredBatch) -> bool:
        """Keeps a batch; false if it was there already.

        Raises:
            Conflict: it was there with other content, or the run is closed.
            Invalid: the run has another number of classes.
        """

    def states(self, run_id: str) -> Generator[StoredRun | list[StoredState]]:
        """Yields the run, and then piece by piece all its states, as they are at one moment."""

    def sizes(self, run_id: str) -> list[tuple[int, int]]:
        """Returns number and batches of each of its states."""

    def contents(self, numbers: Sequence[int]) -> list[StoredState]:
        """Returns those of the states that are still there."""

    def replace(self, run_id: str, states: Sequence[StoredState], content: bytes) -> bool:
        """Puts one state in the place of some; false, and nothing has changed, if one of these is not there any more."""

    def close(self, run_id: str) -> StoredRun:
        """Lets no new batch in from now on."""

    def edit(self, run_id: str, change: Callable[[StoredRun], StoredRun]) -> StoredRun:
        """Gives a run the name and the tags that the function says, which nobody else changes meanwhile."""

    def delete(self, run_id: str) -> None:
        """Forgets it."""

    def expire(self, age: int) -> int:
        """Forgets the runs to which nothing has happened for so many microseconds; says how many."""


class SqlStore:
    """A store in a database. Nothing but `add` and `replace` meets with others, and these never wait for each other."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, run: StoredRun) -> StoredRun:
        columns = ("id", "name", "plan", "classes", "created", "closed")
        with self.database.writing() as connection:
            run = replace(run, created=self.database.now(connection))
            connection.execute(sa.insert(RUNS).values({name: getattr(run, name) for name in columns}))
            if run.tags:
                connection.execute(sa.insert(TAGS), [{"run": run.id, "tag": tag} for tag in run.tags])
        return run

    def find(
        self, tags: Sequence[str], before: str, limit: int, name: str = "", task: str = ""
    ) -> tuple[list[StoredRun], bool]:
        query = sa.select(RUNS.c.id, sa.func.length(RUNS.c.plan)).order_by(RUNS.c.id.desc()).limit(limit + 1)
        if before:
            query = query.where(RUNS.c.id < before)
        if name:
            query = query.where(RUNS.c.name == name)
        if task:
            query = query.where(RUNS.c.plan.contains(f'"task":"{task}"', autoescape=True))
        for tag in tags:
            query = query.where(RUNS.c.id.in_(sa.select(TAGS.c.run).where(TAGS.c.tag == tag)))
        with self.database.reading() as connection:
            found = list(connection.execute(query))
            sizes = accumulate(size for _, size in found)
            page = [one for (one, _), size in zip(found[:limit], sizes, strict=False) if size <= PAGE_BYTES]
            page = page or [one for one, _ in found[:1]]
            return _runs(connection, page), len(page) < len(found)

    def run(self, run_id: str) -> StoredRun:
        with self.database.reading() as connection:
            return _run(connection, run_id)

    def digest(self, run_id: str, batch_id: str) -> tuple[StoredRun, bytes | None]:
        with self.database.reading() as connection:
            row = connection.execute(sa.select(RUNS).where(RUNS.c.id == run_id)).one_or_none()
            if row is None:
                raise _unknown(run_id)
            return _made(row, (), 0, 0), _digest(connection, run_id, batch_id)

    def add(self, run_id: str, batch: StoredBatch) -> bool:
        for alone in (False, True, True):
            try:
                return self._add(run_id, batch, alone)
            except (IntegrityError, _Alone):
                # Somebody else has just added a batch of this id, and now it is seen; or nobody else must meanwhile.
                continue
        raise StoreUnavailable(f"run {run_id}: too many add batch {batch.id!r} at once.")

    def _add(self, run_id: str, batch: StoredBatch, alone: bool) -> bool:
        query = sa.select(RUNS.c.closed, RUNS.c.classes).where(RUNS.c.id == run_id)
        # Shared among writers, so that closing waits for them, and they for nobody.
        with self.database.writing() as connection:
            row = connection.execute(query.with_for_update(read=not alone, key_share=alone)).one_or_none()
            if row is None:
                raise _unknown(run_id)
            known = _digest(connection, run_id, batch.id)
            if known is not None:
                check_same_content(run_id, batch.id, known, batch.digest)
                return False
            if row.closed is not None:
                raise closed_conflict(run_id)
            if row.classes is None and batch.classes is not None:
                if not (alone or self.database.sqlite):
                    raise _Alone
                connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(classes=batch.classes))
            elif batch.classes not in (None, row.classes):
                message = f"predictions has {batch.classes} classes; expected {row.classes}, those of the run"
                raise Invalid.at(f"run {run_id}", pointer("predictions"), message)
            added = {"run": run_id, "batch": batch.id, "digest": batch.digest, "added": self.database.clock}
            connection.execute(sa.insert(BATCHES).values(added))
            state = {"run": run_id, "batches": 1, "samples": batch.samples, "state": batch.state}
            connection.execute(sa.insert(STATES).values(state))
        return True

    def states(self, run_id: str) -> Generator[StoredRun | list[StoredState]]:
        columns = (STATES.c.number, STATES.c.batches, STATES.c.samples, STATES.c.state)
        query = sa.select(*columns).where(STATES.c.run == run_id)
        with self.database.reading() as connection:
            yield _run(connection, run_id)
            with connection.execution_options(yield_per=PIECE).execute(query) as rows:
                for piece in rows.partitions():
                    yield [StoredState(*row) for row in piece]

    def sizes(self, run_id: str) -> list[tuple[int, int]]:
        query = sa.select(STATES.c.number, STATES.c.batches).where(STATES.c.run == run_id)
        with self.database.reading() as connection:
            return [(row.number, row.batches) for row in connection.execute(query)]

    def contents(self, numbers: Sequence[int]) -> list[StoredState]:
        columns = (STATES.c.number, STATES.c.batches, STATES.c.samples, STATES.c.state)
        query = sa.select(*columns).where(STATES.c.number.in_(numbers))
        with self.database.reading() as connection:
            return [StoredState(*row) for row in connection.execute(query)]

    def replace(self, run_id: str, states: Sequence[StoredState], content: bytes) -> bool:
        try:
            self._replace(run_id, states, content)
        except _Gone:
            return False
        return True

    def _replace(self, run_id: str, states: Sequence[StoredState], content: bytes) -> None:
        rest = iter([state.number for state in states])
        batches, samples = (sum(getattr(state, name) for state in states) for name in ("batches", "samples"))
        with self.database.writing() as connection:
            while some := list(islice(rest, NAMED_ROWS)):
                # Rows that somebody else is replacing are skipped, and so missed, rather than waited for.
                there = sa.select(STATES.c.number).where(STATES.c.number.in_(some)).with_for_update(skip_locked=True)
                if connection.execute(sa.delete(STATES).where(STATES.c.number.in_(there))).rowcount != len(some):
                    raise _Gone
            merged = {"run": run_id, "batches": batches, "samples": samples, "state": content}
            connection.execute(sa.insert(STATES).values(merged))

    def close(self, run_id: str) -> StoredRun:
        still_open = sa.update(RUNS).where(RUNS.c.id == run_id, RUNS.c.closed.is_(None))
        with self.database.writing() as connection:
            connection.execute(still_open.values(closed=self.database.clock))
            return _run(connection, run_id)

    def edit(self, run_id: str, change: Callable[[StoredRun], StoredRun]) -> StoredRun:
        row = sa.select(RUNS.c.id).where(RUNS.c.id == run_id)
        with self.database.writing() as connection:
            connection.execute(row.with_for_update(key_share=True))
            before = _run(connection, run_id)
            after = change(before)
            if after.name != before.name:
                connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(name=after.name))
            gone, new = (sorted({*one.tags} - {*other.tags}) for one, other in ((before, after), (after, before)))
            if gone:
                connection.execute(sa.delete(TAGS).where(TAGS.c.run == run_id, TAGS.c.tag.in_(gone)))
            if new:
                connection.execute(sa.insert(TAGS), [{"run": run_id, "tag": tag} for tag in new])
        return after

    def delete(self, run_id: str) -> None:
        with self.database.writing() as connection:
            if not connection.execute(sa.delete(RUNS).where(RUNS.c.id == run_id)).rowcount:
                raise _unknown(run_id)

    def expire(self, age: int) -> int:
        with self.database.reading() as connection:
            before = self.database.now(connection) - age
        later = sa.select(BATCHES.c.batch).where(BATCHES.c.run == RUNS.c.id, BATCHES.c.added >= before)
        still = sa.func.coalesce(RUNS.c.closed >= before, sa.false())
        old = sa.and_(RUNS.c.created < before, ~still, ~later.exists())
        with self.database.reading() as connection:
            expired = list(connection.execute(sa.select(RUNS.c.id).where(old).limit(NAMED_ROWS)).scalars())
        if not expired:
            return 0
        with self.database.writing() as connection:
            # Asked once more: a batch may have come since.
            return connection.execute(sa.delete(RUNS).where(RUNS.c.id.in_(expired), old)).rowcount


class _Alone(Exception):
    """Raised where the run is to be changed, and nobody else may read it meanwhile."""


class _Gone(Exception):
    """Raised where a state is not there any more."""


def check_same_content(run_id: str, batch_id: str, known: bytes, digest: bytes) -> None:
    """Lets a repeated batch pass.

    Raises:
        Conflict: if its content is not what it was.
    """
    if known != digest:
        raise Conflict(f"run {run_id}: batch {batch_id!r} was added before, with other content.")


def closed_conflict(run_id: str) -> Conflict:
    """Makes the error that a new batch of a closed run gets."""
    return Conflict(f"run {run_id}: it is closed, and takes no new batch.")


def _unknown(run_id: str) -> NotFound:
    return NotFound(f"{run_id!r} is not a run.")


def _digest(connection: Connection, run_id: str, batch_id: str) -> bytes | None:
    query = sa.select(BATCHES.c.digest).where(BATCHES.c.run == run_id, BATCHES.c.batch == batch_id)
    digest = connection.execute(query).scalar()
    return None if digest is None else bytes(digest)


def _run(connection: Connection, run_id: str) -> StoredRun:
    runs = _runs(connection, [run_id])
    if not runs:
        raise _unknown(run_id)
    return runs[0]


def _runs(connection: Connection, ids: Sequence[str]) -> list[StoredRun]:
    """Returns the runs, in the order of the ids."""
    counts = sa.select(STATES.c.run, sa.func.sum(STATES.c.batches), sa.func.sum(STATES.c.samples))
    sums = {row[0]: row[1:] for row in connection.execute(counts.where(STATES.c.run.in_(ids)).group_by(STATES.c.run))}
    tags: dict[str, list[str]] = {}
    for run, tag in connection.execute(sa.select(TAGS.c.run, TAGS.c.tag).where(TAGS.c.run.in_(ids))):
        tags.setdefault(run, []).append(tag)
    rows = {row.id: row for row in connection.execute(sa.select(RUNS).where(RUNS.c.id.in_(ids)))}
    return [_made(rows[one], tags.get(one, ()), *sums.get(one, (0, 0))) for one in ids if one in rows]


def _made(row: Any, tags: Sequence[str], batches: Any, samples: Any) -> StoredRun:
    fixed = (row.id, row.name, tuple(sorted(tags)), row.plan, row.classes, row.created, row.closed)
    return StoredRun(*fixed, int(batches), int(samples))
