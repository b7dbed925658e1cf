"""`python -m tests.benchmarks.runs [--samples N] [--store URL]`: how fast and how large long runs are.

Two figures on a ten-class problem with cross entropy and the usual metrics: the report of a run with 10,000 batches, and a run
of N samples in batches of 10,000 beside stateless evaluation of the same batches. All in process, so that HTTP and the parsing
of JSON, which both would share, do not hide the difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from lossmeter.engine import devices
from lossmeter.engine.evaluation import evaluate
from lossmeter.runs import Ledger, digest, plan_of
from lossmeter.runs.ledger import FOLDED_STATES
from tests.support.runs import ENGINE, ledger, opened, tensors

BUILD = Path(__file__).parents[2] / "build"
BATCH = 10_000
CLASSES = 10
BATCHES = 10_000
ROUNDS = 20
PLAN = {"task": "multiclass", "predictions_are": "logits", "curves": {"bins": 1000}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.runs", description=__doc__)
    parser.add_argument("--samples", type=float, default=1e6, help="of the long run; 1e8 takes hours on one core")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of the run whose report is timed")
    parser.add_argument("--store", default="", help="URL of the database; a new SQLite file if left out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    devices.share_one_heap()
    BUILD.mkdir(exist_ok=True)  # on a disk, which /tmp often is not
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        url = arguments.store or f"sqlite:///{folder}/runs.sqlite"
        with ledger(url) as books:
            reading(books, arguments.batches)
            long_run(books, round(arguments.samples / BATCH))


def batch(seed: int) -> dict[str, Any]:
    """Ten thousand samples with ids."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, BATCH)
    logits = rng.normal(size=(BATCH, CLASSES))
    logits[np.arange(BATCH), labels] += 1
    ids = range(seed * BATCH, (seed + 1) * BATCH)
    return tensors({"predictions": logits, "labels": labels, "sample_ids": list(ids)})


def reading(books: Ledger, count: int) -> None:
    """The report of a run with many batches, after they have been folded."""
    run = opened(books, PLAN)
    measured = books.measured(run, "0", batch(0), b"0" * 32)
    begin = perf_counter()
    for number in range(count):
        books.add(run.id, measured._replace(id=str(number)))
        if number % FOLDED_STATES == FOLDED_STATES - 1:
            books.fold(run.id)
    seconds = perf_counter() - begin
    first = timed(books, run.id)
    found = [timed(books, run.id) for _ in range(ROUNDS)]
    print(f"{count} batches of {len(measured.state)} bytes: {seconds / count * 1e3:.2f} ms to keep and fold each")
    print(f"report: {first * 1e3:.1f} ms at first, then {statistics.median(found) * 1e3:.1f} ms (median of {ROUNDS})")


def timed(books: Ledger, run_id: str) -> float:
    """Seconds that a report takes."""
    begin = perf_counter()
    books.report(run_id)
    return perf_counter() - begin


def long_run(books: Ledger, count: int) -> None:
    """A run beside stateless evaluation, batch by batch in turn, and the memory on the way."""
    run = opened(books, PLAN)
    plan = plan_of(run.plan)
    alone, kept = 0.0, 0.0
    marks = []
    for number in range(count):
        fields = batch(number)
        begin = perf_counter()
        evaluate(plan, fields, engine=ENGINE)
        middle = perf_counter()
        content = digest(fields)
        known = books.expected(run.id, str(number), content)
        assert known is not None
        books.add(run.id, books.measured(known, str(number), fields, content))
        books.fold(run.id)
        kept += perf_counter() - middle
        alone += middle - begin
        if (number + 1) % max(1, count // 4) == 0:
            marks.append(f"{resident('VmRSS'):.0f}")
    size = count * BATCH
    print(
        f"{size} samples in batches of {BATCH}: run {size / kept:.0f} samples/s, stateless {size / alone:.0f} samples/s"
    )
    print(
        f"run takes {kept / alone:.2f} times as long; MiB at each quarter: {', '.join(marks)}; peak {resident('VmHWM'):.0f}"
    )


def resident(field: str) -> float:
    """Mebibytes that this process holds, or has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    main()
