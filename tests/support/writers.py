"""Processes that write to one run until they are killed, and what they have been told.

`python -m tests.support.writers URL RUN WRITER FOLDER SEED` adds batches without end; each acknowledgement is a line in a file
of the folder, written after it has come.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lossmeter.errors import StoreUnavailable
from lossmeter.runs import Ledger, plan_of
from tests.support.runs import ledger, numbers, put

ROOT = Path(__file__).parents[2]
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


def start(url: str, run_id: str, folder: Path, seed: int) -> list[subprocess.Popen[bytes]]:
    """Four of them."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'service'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.writers", url, run_id]
    return [
        subprocess.Popen([*command, str(writer), str(folder / f"{writer}"), str(seed)], env=environment, cwd=ROOT)
        for writer in range(WRITERS)
    ]


def kill(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends them as a power cut would."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait(30)


def acknowledged(folder: Path) -> set[str]:
    """The batches that a writer was told are kept; a line that was cut off was not told."""
    found = set()
    for file in folder.iterdir():
        found |= {line[:-1] for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")}
    return found


def main() -> None:
    url, run_id, writer, file, seed = sys.argv[1:]
    with ledger(url) as books:
        plan_of(books.store.run(run_id).plan)
        while True:
            try:
                write(books, run_id, int(writer), Path(file), int(seed) * WRITERS + int(writer))
            except StoreUnavailable:
                time.sleep(0.05)


if __name__ == "__main__":
    main()
