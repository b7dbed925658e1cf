"""Collects the figures of one worker, and adds those of the others: counts, what is in flight, memory."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

import lossmeter
from lossmeter.engine import Engine, devices
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.measures import Reading, merge
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.snapshots import Snapshots

PAGE_BYTES = resource.getpagesize()


class Queue(Protocol):
    """A queue of work, as `scheduling` has it."""

    @property
    def waiting(self) -> int: ...

    @property
    def overdue_seconds(self) -> float: ...


class InFlight(Protocol):
    """Requests that are admitted and not yet answered, as `scheduling` counts them."""

    bytes: int
    elements: int


@dataclass(frozen=True)
class Collector:
    """Reads everything that `/metrics` shows.

    Attributes:
        queues: by the names under which they are shown; `requests` among them.
        lag_seconds: tells how late the event loop runs.
        snapshots: adds up the figures of several workers; None for a single one.
    """

    counters: Counters
    readiness: Readiness
    engine: Engine
    in_flight: InFlight
    queues: Mapping[str, Queue]
    lag_seconds: Callable[[], float]
    snapshots: Snapshots | None

    def read(self) -> Reading:
        """Reads the figures of this worker alone, at this moment; on the event loop."""
        device = str(self.engine.device)
        counted = self.counters.read()
        refused = sum(count for key, count in counted["requests"].items() if key[-1] == "507")  # type: ignore[misc]
        times = os.times()
        return {
            **counted,
            "requests_in_flight": {(): self.counters.in_flight + self.queues["requests"].waiting},
            "memory_fallbacks": {("chunked",): self.engine.halvings, ("refused",): refused},
            "processor_seconds": {(): times.user + times.system},
            "workers": {(): 1},
            "ready": {(): int(self.readiness.ready)},
            "bytes_in_flight": {(): self.in_flight.bytes},
            "elements_in_flight": {(): self.in_flight.elements},
            "queue_length": {(name,): queue.waiting for name, queue in self.queues.items()},
            "queue_wait_seconds": {(name,): queue.overdue_seconds for name, queue in self.queues.items()},
            "loop_lag_seconds": {(): self.lag_seconds()},
            "resident_memory_bytes": {(): _resident_bytes()},
            **{name: {(device,): size} for name, size in devices.memory(self.engine.device).items()},
            "build_info": {(lossmeter.__version__, platform.python_version(), torch.__version__, device): 1},
        }

    def publish(self) -> None:
        """Shows the figures of this worker to the others.

        Raises:
            OSError: if it cannot be written.
        """
        if self.snapshots is not None:
            self.snapshots.publish(self.read())

    def add_others(self, own: Reading) -> Reading:
        """Adds what the other workers showed last to a reading of this one."""
        return own if self.snapshots is None else merge([own, *self.snapshots.others()])


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:  # not Linux
        return 0
