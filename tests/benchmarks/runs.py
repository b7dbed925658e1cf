"""`python -m tests.benchmarks.runs [--samples N] [--replicates B] [--postgresql]`: how fast and how large long runs are.

Two figures on a ten-class problem with cross entropy and the usual metrics: the report of a run with 10,000 batches, over HTTP,
and a run of N samples in batches of 10,000 beside stateless evaluation of the same batches. The latter in process, so that HTTP
and the parsing of JSON, which both would share, do not hide the difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import httpx
import numpy as np
import torch

from lossmeter.engine import devices
from lossmeter.evaluation import evaluate
from lossmeter.runs import Ledger, digest, plan_of
from tests.support.postgres import Postgres
from tests.support.runs import ENGINE, ledger, opened, tensors
from tests.support.service import serving

BUILD = Path(__file__).parents[2] / "build"
BATCH = 10_000
CLASSES = 10
BATCHES = 10_000
ROUNDS = 20
PLAN = {"task": "multiclass", "predictions_are": "logits", "curves": {"bins": 1000}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.runs", description=__doc__)
    parser.add_argument("--samples", type=float, default=1e6, help="of the long run")
    parser.add_argument("--replicates", type=int, default=200, help="of the bootstrap, in the long run")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of the run whose report is timed")
    parser.add_argument("--postgresql", action="store_true", help="a server of our own, instead of a file of SQLite")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    devices.share_one_heap()
    BUILD.mkdir(exist_ok=True)  # on a disk, which /tmp often is not
    with ExitStack() as stack:
        if arguments.postgresql:
            url = stack.enter_context(Postgres()).url
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=BUILD))}/runs.sqlite"
        books = stack.enter_context(ledger(url))
        if arguments.batches:
            reading(books, url, arguments.batches)
        if arguments.samples:
            long_run(books, round(arguments.samples / BATCH), arguments.replicates)


def batch(seed: int) -> dict[str, Any]:
    """Ten thousand samples with ids."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, BATCH)
    logits = rng.normal(size=(BATCH, CLASSES))
    logits[np.arange(BATCH), labels] += 1
    ids = range(seed * BATCH, (seed + 1) * BATCH)
    return tensors({"predictions": logits, "labels": labels, "sample_ids": list(ids)})


def reading(books: Ledger, url: str, count: int) -> None:
    """The report of a run with many batches, as a server gives it that has never seen the run."""
    run = opened(books, PLAN)
    measured = books.measure_batch(run, "0", batch(0), b"0" * 32)
    begin = perf_counter()
    for number in range(count):
        books.add(run.id, measured._replace(id=str(number)))
        books.fold(run.id)
    seconds = perf_counter() - begin
    with serving(store_url=url) as address, httpx.Client(base_url=address) as http:
        http.get(f"/v1/runs/{opened(books, PLAN).id}")  # connects
        states = len(books.store.sizes(run.id))
        first, *found = (timed(http, run.id) for _ in range(ROUNDS + 1))
    print(f"{count} batches of {len(measured.state)} bytes: {seconds / count * 1e3:.2f} ms to keep and fold each")
    for place, what in enumerate(("elapsed", "of processor time, server and client")):
        later = [one[place] * 1e3 for one in found]
        print(
            f"report over HTTP, ms {what}: {first[place] * 1e3:.1f} at first, from {states} states; "
            f"then {statistics.median(later):.1f}, at most {max(later):.1f} ({ROUNDS} times)"
        )


def timed(http: httpx.Client, run_id: str) -> np.ndarray:
    """What a report takes, as `now` tells it."""
    begin = now()
    answer = http.get(f"/v1/runs/{run_id}")
    spent = now() - begin
    answer.raise_for_status()
    return spent


def long_run(books: Ledger, count: int, replicates: int) -> None:
    """A run beside stateless evaluation, batch by batch in turn, and the memory on the way."""
    run = opened(books, {**PLAN, "replicates": replicates})
    plan = plan_of(run.plan)
    spent = np.zeros((2, 2))  # stateless and run, by the clock and by the processor
    marks = []
    for number in range(count):
        fields = batch(number)
        begin = now()
        evaluate(plan, fields, engine=ENGINE)
        middle = now()
        content = digest(fields)
        known = books.check_batch(run.id, str(number), content)
        assert known is not None
        books.add(run.id, books.measure_batch(known, str(number), fields, content))
        books.fold(run.id)
        spent += [middle - begin, now() - middle]
        if (number + 1) % max(1, count // 4) == 0:
            marks.append(f"{resident('VmRSS'):.0f}")
    size = count * BATCH
    print(f"{size:,} samples in batches of {BATCH:,}, {replicates} replicates")
    for place, what in enumerate(("elapsed", "of processor time")):
        alone, kept = spent[:, place]
        rates = f"run {size / kept:,.0f}, stateless {size / alone:,.0f}; the run takes {kept / alone:.2f} times as long"
        print(f"samples per second {what}: {rates}")
    print(f"MiB at each quarter: {', '.join(marks)}; peak {resident('VmHWM'):.0f}")


def now() -> np.ndarray:
    """Seconds by the clock, and of processor time."""
    return np.array([perf_counter(), process_time()])


def resident(field: str) -> float:
    """Mebibytes that this process holds, or has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    main()
