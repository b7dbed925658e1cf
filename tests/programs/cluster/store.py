"""What it takes to keep a batch, by the size of its state, on each database; and how large states are.

Processor time, which holds on a busy machine too, and batches a second, which do not.

python -m tests.programs.cluster.store
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from itertools import count

import numpy as np

from lossmeter.database import Database
from lossmeter.evaluation import Plan, SlicedFields, measure
from lossmeter.evaluation.serialization import serialize
from lossmeter.runs import SqlStore, StoredBatch, StoredRun
from lossmeter.runs.run import new_id
from lossmeter.tensors import Datatype, Tensor
from lossmeter.validation import validate
from tests.programs.cluster.proxy import processor_seconds
from tests.support.postgres import Postgres

SECONDS = 8.0
SIZES = (1_000, 20_000, 200_000)
THREADS = 8
SAMPLES = 20_000
BINARY = {"task": "binary", "predictions_are": "probabilities", "losses": []}
PLANS = {
    "accuracy": {**BINARY, "metrics": ["accuracy"]},
    "accuracy, no replicates": {**BINARY, "metrics": ["accuracy"], "replicates": 0},
    "usual, 1,000 bins": {**BINARY, "curves": {"bins": 1000}},
    "usual, 10,000 bins, no replicates": {**BINARY, "curves": {"bins": 10_000}, "replicates": 0},
    "usual, 1,000 bins, slices of ten": {**BINARY, "curves": {"bins": 1000}, "slices": ["site"]},
    "usual, every score kept": BINARY,
}


def rate(url: str, size: int, threads: int, server: int = 0) -> str:
    """Batches a second that threads keep, each in a transaction of its own, all of one run; and processor time of each.

    Args:
        server: the process of the database, if it has one.
    """
    database = Database(url)
    database.upgrade()
    store = SqlStore(database)
    run = store.create(StoredRun(new_id(), "", (), "{}", None, 0, None))
    state, numbers = os.urandom(size), count()
    until = time.monotonic() + SECONDS
    added = [0] * threads

    def add(place: int) -> None:
        while time.monotonic() < until:
            store.add(run.id, StoredBatch(str(next(numbers)), b"digest", None, 1, state))
            added[place] += 1

    begin, spent, there = time.monotonic(), time.process_time(), _spent(server)
    workers = [threading.Thread(target=add, args=(place,)) for place in range(threads)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    spent, there = time.process_time() - spent, _spent(server) - there
    database.close()
    total = sum(added)
    return f"{1e3 * spent / total:.2f} + {1e3 * there / total:.2f} ms, {total / (time.monotonic() - begin):,.0f}/s"


def _spent(server: int) -> float:
    return processor_seconds(server) if server else 0.0


def state_bytes(fields: dict[str, object]) -> int:
    """Bytes of the state of one batch."""
    rng = np.random.default_rng(3)
    predictions = rng.random(SAMPLES)
    labels = (rng.random(SAMPLES) < predictions).astype(np.int64)
    batch = {
        "predictions": Tensor(Datatype.FP64, (SAMPLES,), predictions),
        "labels": Tensor(Datatype.INT64, (SAMPLES,), labels),
        "slices": {column: [number % 10 for number in range(SAMPLES)] for column in fields.get("slices", ())},  # type: ignore[attr-defined]
    }
    return len(serialize(measure(Plan.of(validate(SlicedFields, "plan", fields)), batch, batch_id="b")))


def main() -> None:
    print(f"| plan | bytes of a state of {SAMPLES:,} samples |\n|---|---|")
    for name, fields in PLANS.items():
        print(f"| {name} | {state_bytes(fields):,} |", flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| bytes of a state | SQLite | PostgreSQL, worker + server |\n|---|---|---|")
    with Postgres() as postgres:
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                sqlite = rate(f"sqlite:///{folder}/runs.db", size, THREADS)
            assert postgres.process is not None
            print(f"| {size:,} | {sqlite} | {rate(postgres.url, size, THREADS, postgres.process.pid)} |", flush=True)


if __name__ == "__main__":
    main()
