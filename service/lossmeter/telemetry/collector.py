"""One worker's view of itself and of the others: the counts, what is in flight, memory."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import lossmeter
from lossmeter.engine import Engine, devices
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import Line
from lossmeter.telemetry.counters import Tallies
from lossmeter.telemetry.measures import Reading, merged
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.snapshots import Snapshots

PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True)
class Watch:
    """What `/metrics` is made of.

    Attributes:
        queues: by the names under which they are shown; `requests` among them.
        lag: tells how late the event loop runs, in seconds.
        snapshots: where several workers add up their figures; None for a single one.
    """

    tallies: Tallies
    readiness: Readiness
    engine: Engine
    admission: Admission
    queues: Mapping[str, Line | Pool]
    lag: Callable[[], float]
    snapshots: Snapshots | None

    def reading(self) -> Reading:
        """Of this worker alone, at this moment; on the event loop."""
        device = str(self.engine.device)
        counted = self.tallies.reading()
        refused = sum(count for key, count in counted["requests"].items() if key[-1] == "507")  # type: ignore[misc]
        times = os.times()
        return {
            **counted,
            "requests_in_flight": {(): self.tallies.in_flight + self.queues["requests"].waiting},
            "memory_fallbacks": {("chunked",): self.engine.halvings, ("refused",): refused},
            "processor_seconds": {(): times.user + times.system},
            "workers": {(): 1},
            "ready": {(): int(self.readiness.ready)},
            "bytes_in_flight": {(): self.admission.bytes},
            "elements_in_flight": {(): self.admission.elements},
            "queue_length": {(name,): queue.waiting for name, queue in self.queues.items()},
            "queue_wait_seconds": {(name,): queue.overdue for name, queue in self.queues.items()},
            "loop_lag_seconds": {(): self.lag()},
            "resident_memory_bytes": {(): _resident_bytes()},
            **{name: {(device,): size} for name, size in devices.memory(self.engine.device).items()},
            "build_info": {(lossmeter.__version__, platform.python_version(), torch.__version__, device): 1},
        }

    def publish(self) -> None:
        """Shows the other workers how this one stands.

        Raises:
            OSError: if it cannot be written.
        """
        if self.snapshots is not None:
            self.snapshots.publish(self.reading())

    def whole(self, own: Reading) -> Reading:
        """A reading of this worker, and what the others showed last."""
        return own if self.snapshots is None else merged([own, *self.snapshots.others()])


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:  # not Linux
        return 0
