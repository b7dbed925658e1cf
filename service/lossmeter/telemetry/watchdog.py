"""Watches the event loop: measures its lag, runs what is due each second, ends a worker whose loop stands still."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from lossmeter.telemetry.readiness import EXIT_STATUS

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
DECAY = 0.9
"""Share of a peak of the lag that remains after one tick without one."""


class Watchdog:
    """Ticks on the event loop, and watches from a thread that it does.

    Args:
        each_second: functions that are called about once a second.
        hang_seconds: ends the process if the event loop has stood still for that long; 0 never does.
        end: ends the process at once, with a status.

    Attributes:
        lag_seconds: how late the loop ran what was due, lately.
    """

    def __init__(
        self,
        each_second: Sequence[Callable[[], None]],
        hang_seconds: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self.lag_seconds = 0.0
        self._each_second = each_second
        self._hang_seconds = hang_seconds
        self._end = end
        self._ticks = 0
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._schedule()
        if self._hang_seconds:
            threading.Thread(target=self._watch, name="lossmeter-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()

    def _schedule(self) -> None:
        self._due = monotonic() + TICK_SECONDS
        self._handle = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        late = max(0.0, monotonic() - self._due)
        self.lag_seconds = max(late, self.lag_seconds * DECAY)
        self._ticks += 1
        if self._ticks % round(1 / TICK_SECONDS) == 0:
            try:
                for function in self._each_second:
                    function()
            except OSError as error:
                log.warning("figures could not be shared: %s", error)
        self._schedule()

    def _watch(self) -> None:
        """Counts its own rounds, not time: a process that was stopped as a whole does not hang."""
        step = self._hang_seconds / 10
        still, seen = 0, self._ticks
        while not self._stopped.wait(step):
            still = 0 if self._ticks != seen else still + 1
            seen = self._ticks
            if still >= 10:
                # Not logged: whoever stands still may hold the lock of the log.
                text = f"The event loop has stood still for {self._hang_seconds:g} seconds. This worker ends.\n"
                os.write(sys.stderr.fileno(), text.encode())
                faulthandler.dump_traceback(sys.stderr)
                self._end(EXIT_STATUS)
                return
