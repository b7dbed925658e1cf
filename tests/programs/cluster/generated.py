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
LOOK_SECONDS = 3
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
    """Is told how far a runner is, and notes the memory of its nodes on the way."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.spent = processor_seconds(os.getpid())
        self.largest: dict[str, list[int]] = {}
        self.rows = 0
        self.looked = 0.0

    def watch(self, share: float, rows: int) -> None:
        self.rows = rows
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        own = os.getpid()
        raylets = [pid for pid, name in descendants(own).items() if name == "raylet"]
        quarter = min(int(4 * share), 3)
        for name, pids in {"command": [own], **{f"node {one}": list(descendants(one)) for one in raylets}}.items():
            held = self.largest.setdefault(name, [0] * 4)
            held[quarter] = max(held[quarter], sum(map(resident_bytes, pids)) >> 20)

    def told(self) -> str:
        """Says so, while the processes are there."""
        seconds = time.monotonic() - self.begin
        spent = processor_seconds(os.getpid()) - self.spent
        rates = f"{self.rows / seconds:,.0f} a second, {self.rows / spent:,.0f} a second of processor time"
        return f"{self.rows:,} samples in {seconds:.1f} s: {rates}; most MiB in each quarter: {self.largest}"


def main(engine: str, parts: int) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd()), **VARIABLES}
    dataset = Dataset("generated", [Generated(number) for number in range(parts)])
    columns = Columns(("p",), ("y",))
    figures = Figures()
    if engine == "local":
        report = LocalRunner("cpu", figures.watch).report(dataset, columns, PLAN)
        told = figures.told()
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
            told = figures.told()
        finally:
            ray.shutdown()
            cluster.shutdown()
    print(f"{engine}: {told}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(json.dumps({one["metric"]: one["value"] for one in report["metrics"]}))


if __name__ == "__main__":
    from tests.programs.cluster import generated  # whose classes other processes find under its name

    generated.main(sys.argv[1], int(sys.argv[2]))
