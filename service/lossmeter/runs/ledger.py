"""The ledger of runs: takes batches as states, and reports on the sum of all states of a run."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any

import orjson

from lossmeter.cost import TEXT_BYTES, Cost
from lossmeter.engine import Engine
from lossmeter.errors import MalformedBody, StoreUnavailable, TooLarge
from lossmeter.evaluation import Plan, Record, measure, merge_all, report
from lossmeter.evaluation.costs import NUMBER, Extent, cost_of
from lossmeter.evaluation.serialization import deserialize, serialize
from lossmeter.metrics.scores import Samples
from lossmeter.runs.edits import RunEdit
from lossmeter.runs.run import StoredRun, new_id
from lossmeter.runs.store import Store, StoredBatch, StoredState, check_same_content, closed_conflict

log = logging.getLogger(__name__)

TIER_BITS = 4
"""States of 1 to 15 batches are folded together, those of 16 to 255, and so on: each batch is merged a few times only."""
FOLDED_STATES = 1 << TIER_BITS
READ_STATES = 8
"""Readers of a run fold more states than these into one, as what is read once is likely to be read again."""
MAX_KEPT_NUMBERS = 1 << 26
"""In a run that keeps every sample: half a gibibyte, of the one that a value in a database may have."""
MAX_PLAN_BYTES = 1 << 18
"""Of the plan of a run, which is part of each of its reports; room for the weights of some 20,000 classes."""
MERGE_COPIES = 3
"""How often the numbers of a record are held while another is merged into it."""
STATE_COPIES = 3
"""How often the text of a state is held while it is written."""
MICROSECONDS_PER_DAY = 86_400_000_000

Sizes = Sequence[tuple[int, int]]
"""Number and batches of each state."""


class Ledger:
    """Runs, kept in a store.

    Args:
        store: where they are kept.
        engine: computes the losses.
        retention_days: how long a run is kept after it was opened, got its last batch or was closed; 0 for ever.
    """

    def __init__(self, store: Store, engine: Engine, retention_days: int = 0) -> None:
        self.store = store
        self.engine = engine
        self.retention_days = retention_days
        self._folding: set[str] = set()
        self._lock = threading.Lock()

    def open(self, name: str, tags: Sequence[str], plan: Plan) -> StoredRun:
        """Opens a run.

        Raises:
            TooLarge: the plan is, with the tensors that are parameters of its losses.
        """
        text = orjson.dumps(plan.to_json()).decode()
        if len(text) > MAX_PLAN_BYTES:
            raise TooLarge(f"The plan of the run has {len(text)} bytes as JSON; at most {MAX_PLAN_BYTES} are kept.")
        age = self.retention_days * MICROSECONDS_PER_DAY
        if self.retention_days and (expired := self.store.expire(age)):
            log.info("%d runs were older than %d days and are gone", expired, self.retention_days)
        return self.store.create(StoredRun(new_id(), name, tuple(sorted(set(tags))), text, plan.classes, 0, None))

    def check_batch(self, run_id: str, batch_id: str, digest: bytes) -> StoredRun | None:
        """Returns the run that a batch is for, with its counts if they matter; None if the run has it already.

        Raises:
            Conflict: the run has it with other content, or is closed.
        """
        run, known = self.store.digest(run_id, batch_id)
        if known is not None:
            check_same_content(run_id, batch_id, known, digest)
            return None
        if run.closed is not None:
            raise closed_conflict(run_id)
        return self.store.run(run_id) if plan_of(run.plan).metrics.keeps_samples else run

    def measure_batch(self, run: StoredRun, batch_id: str, fields: Mapping[str, Any], digest: bytes) -> StoredBatch:
        """Measures a batch; returns what is to be kept of it.

        Raises:
            Invalid: the fields do not suit the run.
            TooLarge: the run keeps every sample, and has as many as it can keep.
        """
        record = measure(plan_of(run.plan), fields, batch_id=batch_id, engine=self.engine)
        _check_size(run, record)
        return StoredBatch(batch_id, digest, record.classes, record.samples, serialize(record))

    def add(self, run_id: str, batch: StoredBatch) -> bool:
        """Keeps a batch; false if the run has it already. When this returns, the batch will not be lost."""
        return self.store.add(run_id, batch)

    def fold(self, run_id: str) -> None:
        """Replaces many states by few. Does nothing if there are few, or if another thread is at it."""
        self._fold_while(run_id, _foldable)

    def gather(self, run_id: str) -> None:
        """Replaces all states by one, if they are not few already; otherwise as `fold`."""
        self._fold_while(run_id, lambda sizes: _all_of(sizes, READ_STATES))

    def join(self, run_id: str) -> None:
        """Replaces all states by one, as no batch will come; otherwise as `fold`."""
        self._fold_while(run_id, lambda sizes: _all_of(sizes, 1))

    def _fold_while(self, run_id: str, choice: Callable[[Sizes], list[int]]) -> None:
        with self._lock:
            if run_id in self._folding:
                return
            self._folding.add(run_id)
        try:
            while (numbers := choice(self.store.sizes(run_id))) and self._fold(run_id, numbers):
                pass
        except StoreUnavailable:
            log.warning("run %s: its states could not be folded; later ones will be", run_id)
        finally:
            with self._lock:
                self._folding.discard(run_id)

    def _fold(self, run_id: str, numbers: Sequence[int]) -> bool:
        states = self.store.contents(numbers)
        if len(states) != len(numbers):
            return False  # another process is at it
        return self.store.replace(run_id, states, serialize(merge_all(_read(run_id, state) for state in states)))

    def record(self, run_id: str) -> tuple[StoredRun, Record | None]:
        """Returns the run and its record; None before the first batch.

        Raises:
            TooLarge: what its batches keep is more than one request may take, found as they are read one after the other.
        """
        with closing(self.store.states(run_id)) as pieces:
            run = next(pieces)
            assert isinstance(run, StoredRun)
            total: Record | None = None
            for piece in pieces:
                assert isinstance(piece, list)
                records = [_read(run_id, state) for state in piece]
                total = merge_all(records if total is None else [total, *records])
                self.engine.budget.check(f"run {run_id}", _held(total))
        return run, total

    def report(self, run_id: str) -> tuple[StoredRun, dict[str, Any]]:
        """Returns the run, and everything that follows from its batches.

        Raises:
            TooLarge, Busy: it takes more than one request may, or than there is room for.
            TookTooLong: its time is over.
        """
        run, record = self.record(run_id)
        plan = plan_of(run.plan)
        if record is None:
            return run, report(plan, record)
        with self.engine.budget.reserve(f"run {run_id}", cost_of(plan, Extent.of_record(record))):
            return run, report(plan, record)

    @contextmanager
    def reading(self, run_id: str) -> Iterator[tuple[StoredRun, Record | None]]:
        """Gives the run and its record, with room for writing it."""
        run, record = self.record(run_id)
        numbers = 0 if record is None else record.numbers
        with self.engine.budget.reserve(
            f"run {run_id}", Cost(STATE_COPIES * numbers * TEXT_BYTES, numbers, "its state")
        ):
            yield run, record

    def close(self, run_id: str) -> StoredRun:
        """Lets no new batch in; the report is final. Closing twice changes nothing."""
        return self.store.close(run_id)

    def edit(self, run_id: str, edit: RunEdit) -> StoredRun:
        """Changes how people call a run, open or closed.

        Raises:
            Invalid: it would have too many tags.
        """
        return self.store.edit(run_id, edit.applied)


def _held(record: Record) -> Cost:
    """Returns what it takes to hold a record, and to merge another into it."""
    return Cost(NUMBER * MERGE_COPIES * record.numbers, record.numbers, "what its batches keep")


def _read(run_id: str, state: StoredState) -> Record:
    try:
        return deserialize(state.content)
    except (zlib.error, ValueError, KeyError, TypeError, MalformedBody) as error:
        log.exception("run %s: state %d cannot be read", run_id, state.number)
        raise StoreUnavailable(f"run {run_id}: what is kept of some of its batches is damaged.") from error


@lru_cache(maxsize=64)
def plan_of(text: str) -> Plan:
    """Reads the plan that a run keeps as text."""
    return Plan.from_json(orjson.loads(text))


def _check_size(run: StoredRun, record: Record) -> None:
    """Refuses a batch after which the samples that the run keeps would not fit a row of the database."""
    kept = [state for part in record.parts for state in part.states.values() if isinstance(state, Samples)]
    numbers = sum(getattr(state, name).size for state in kept for name in state.arrays())
    total = numbers * (run.samples + record.samples) // max(1, record.samples)
    if total > MAX_KEPT_NUMBERS:
        raise TooLarge(
            f"run {run.id}: keeps every sample, {run.samples} so far; with this batch that would be {total} numbers, and at "
            f"most {MAX_KEPT_NUMBERS} are kept. A run with histograms of scores, such as curves with 1000 bins, and without "
            "metrics that need all samples has no such limit; or divide the samples among several runs."
        )


def _all_of(sizes: Sizes, most: int) -> list[int]:
    """Returns the numbers of all states, if there are more than so many."""
    return [number for number, _ in sizes] if len(sizes) > most else []


def _foldable(sizes: Sizes) -> list[int]:
    """Returns the numbers of states that should become one: as many as a tier may not have, of the lowest that has them."""
    tiers: dict[int, list[int]] = {}
    for number, batches in sizes:
        tiers.setdefault((batches.bit_length() - 1) // TIER_BITS, []).append(number)
    full = [tier for tier, numbers in sorted(tiers.items()) if len(numbers) >= FOLDED_STATES]
    return sorted(tiers[full[0]])[:FOLDED_STATES] if full else []
