"""Processes that write to one run until they are killed, and what they have been told.

Each adds batches without end; each acknowledgement is a line in a file of its own, written after it has come. They are forked
from a process that has imported everything, so that a hundred rounds do not take hours.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

from lossmeter.errors import StoreUnavailable
from lossmeter.runs import Ledger, plan_of
from tests.support.runs import ledger, numbers, put

WRITERS = 4
SHARED = 5
"""Of as many batches one is added by every writer."""


def value(batch_id: str) -> float:
    """What a batch adds to the sum of squares: a power of two for itself would not do for thousands, a hash does."""
    return float(1 + sum((place + 1) * letter for place, letter in enumerate(batch_id.encode())) % 1000)


def write(books: Ledger, run_id: str, writer: int, acknowledged: Path, seed: int) -> None:
    """Adds batches, some of them twice, some also added by others."""
    rng = random.Random(seed)
    with acknowledged.open("a") as told:
        for number in range(1_000_000):
            batch_id = f"all {number}" if number % SHARED == 0 else f"{writer} {number}"
            for _ in range(1 + (rng.random() < 0.2)):
                put(books, run_id, batch_id, numbers(np.sqrt(value(batch_id))))
            told.write(batch_id + "\n")
            told.flush()
            if rng.random() < 0.2:
                books.fold(run_id)
            if rng.random() < 0.05:
                books.record(run_id)
                books.gather(run_id)


def start(url: str, run_id: str, folder: Path, seed: int) -> list[ForkServerProcess]:
    """Four of them."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    processes = []
    for writer in range(WRITERS):
        arguments = (url, run_id, writer, folder / f"{writer}", seed * WRITERS + writer)
        processes.append(context.Process(target=work, args=arguments, daemon=True))
        processes[-1].start()
    return processes


def kill(processes: list[ForkServerProcess]) -> None:
    """Ends them as a power cut would."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join(60)
        assert process.exitcode is not None


def acknowledged(folder: Path) -> set[str]:
    """The batches that a writer was told are kept; a line that was cut off was not told."""
    found = set()
    for file in folder.iterdir():
        found |= {line[:-1] for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")}
    return found


def work(url: str, run_id: str, writer: int, told: Path, seed: int) -> None:
    """Writes for ever, also when the database is away for a while."""
    with ledger(url) as books:
        plan_of(books.store.run(run_id).plan)
        while True:
            try:
                write(books, run_id, writer, told, seed)
            except StoreUnavailable:
                time.sleep(0.05)
