"""As many samples as there is time for, generated as they are read: one process, and a Ray cluster of two nodes.

build/ray/bin/python -m tests.programs.cluster.generated local|ray PARTS
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossmeter.cli.measurement import LocalRunner
from lossmeter.evaluation import SlicedFields
from lossmeter.tensors import Datatype, Tensor
from lossmeter.validation import validate
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.tables import ROWS, Chunk, Columns
from tests.programs.cluster.proxy import descendants, processor_seconds
from tests.support.ray import VARIABLES, add_node, be_patient

CHUNKS = 16
"""Of one part, which has about a million samples."""
STORE_BYTES = 200_000_000
PLAN = validate(
    SlicedFields,
    "plan",
    {
        "task": "binary",
        "predictions_are": "probabilities",
        "losses": [],
        "metrics": ["accuracy", "f1", "auroc", "log_loss"],
        "replicates": 0,
        "curves": {"bins": 10_000},
    },
)


@dataclass(frozen=True)
class Generated:
    """Probabilities and labels that agree with them, from a seed."""

    number: int

    @property
    def name(self) -> str:
        return f"part {self.number}"

    def read(self, columns: Columns) -> Generator[Chunk, None, None]:
        """Makes the rows."""
        rng = np.random.default_rng(self.number)
        for chunk in range(CHUNKS):
            predictions = rng.random(ROWS)
            labels = (rng.random(ROWS) < predictions).astype(np.int64)
            fields = {
                "predictions": Tensor(Datatype.FP64, (ROWS,), predictions),
                "labels": Tensor(Datatype.INT64, (ROWS,), labels),
                "slices": {},
            }
            yield Chunk(chunk * ROWS, ROWS, fields, (chunk + 1) / CHUNKS)


def resident_bytes(pid: int) -> int:
    """How much memory of its own a process has at present, and what it shares."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Figures:
    """Is told how far a runner is, and notes the memory of its processes on the way."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.spent = processor_seconds(os.getpid())
        self.largest: dict[str, int] = {}
        self.rows = 0
        self.looked = 0.0

    def watch(self, share: float, rows: int) -> None:
        self.rows = rows
        if time.monotonic() - self.looked < 1:
            return
        self.looked = time.monotonic()
        for pid, name in descendants(os.getpid()).items():
            self.largest[name] = max(self.largest.get(name, 0), resident_bytes(pid))

    def told(self) -> str:
        seconds = time.monotonic() - self.begin
        held = {name: f"{size >> 20} MiB" for name, size in self.largest.items() if size > 50 << 20}
        spent = processor_seconds(os.getpid()) - self.spent
        rates = f"{self.rows / seconds:,.0f} a second, {self.rows / spent:,.0f} a second of processor time"
        return f"{self.rows:,} samples in {seconds:.1f} s: {rates}; most memory: {held}"


def main(engine: str, parts: int) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", **VARIABLES}
    dataset = Dataset("generated", [Generated(number) for number in range(parts)])
    columns = Columns(("p",), ("y",))
    figures = Figures()
    if engine == "local":
        report = LocalRunner("cpu", figures.watch).report(dataset, columns, PLAN)
    else:
        import ray
        from ray.cluster_utils import Cluster

        from lossmeter.cluster import RayRunner

        be_patient()
        cluster = Cluster()
        try:
            for cpus in (0, 1, 1):
                add_node(cluster, num_cpus=cpus, object_store_memory=STORE_BYTES)
            ray.init(address=cluster.address, log_to_driver=False)
            figures = Figures()
            report = RayRunner("cpu", figures.watch).report(dataset, columns, PLAN)
        finally:
            ray.shutdown()
            cluster.shutdown()
    print(f"{engine}: {figures.told()}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(json.dumps({one["metric"]: one["value"] for one in report["metrics"]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
