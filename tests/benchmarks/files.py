"""`python -m tests.benchmarks.files [--rows N]`: what memory `lossmeter evaluate` takes for a file, and for four times as much.

Each file holds ids, probabilities and labels of a binary task; each is evaluated by a process of its own, with the defaults.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow
from pyarrow import csv, parquet

BUILD = Path(__file__).parents[2] / "build"
PIECE = 250_000
COMMAND = [sys.executable, "-c", "from lossmeter.cli import main; main()", "evaluate"]
COLUMNS = ["--predictions", "p", "--labels", "y", "--id", "id"]
OPTIONS = ["--task", "binary", "--predictions-are", "probabilities", *COLUMNS, "--json"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.files", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the smaller file")
    rows = parser.parse_args().rows
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        for ending in ("csv", "parquet"):
            for count in (rows, 4 * rows):
                path = Path(folder, f"d.{ending}")
                write(path, count)
                seconds, peak = evaluated(path)
                size = path.stat().st_size / 2**20
                print(f"{ending}: {count:,} rows, {size:.0f} MiB: peak {peak:.0f} MiB, {count / seconds:,.0f} rows/s")


def write(path: Path, rows: int) -> None:
    """A file of so many rows, in row groups of 250,000 where it has any."""
    schema = pyarrow.schema([("id", pyarrow.int64()), ("p", pyarrow.float64()), ("y", pyarrow.int64())])
    rng = np.random.default_rng(0)
    with (csv.CSVWriter if path.suffix == ".csv" else parquet.ParquetWriter)(path, schema) as sink:
        for start in range(0, rows, PIECE):
            p = rng.random(min(PIECE, rows - start))
            columns = [np.arange(start, start + len(p)), p, (rng.random(len(p)) < p).astype(np.int64)]
            sink.write_table(pyarrow.table(columns, schema=schema))


def evaluated(path: Path) -> tuple[float, float]:
    """Seconds that it takes, and the mebibytes that its process held at most."""
    begin = perf_counter()
    with subprocess.Popen([*COMMAND, str(path), *OPTIONS], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"lossmeter evaluate {path.name} ended with {process.returncode}")
    return perf_counter() - begin, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
