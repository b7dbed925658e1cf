"""The pulse of a worker: how late its event loop runs, what must be done each second, and an end if it stands still."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from lossmeter.telemetry.readiness import GAVE_UP

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.05
FADING = 0.9
"""What remains of a peak of the lag after one beat without one."""


class Pulse:
    """Beats on the event loop.

    Args:
        each_second: are called about once a second.
        hang_seconds: ends the process if the event loop has stood still for that long; 0 never does.

    Attributes:
        lag: seconds by which the loop ran late what was due, lately.
    """

    def __init__(self, each_second: Sequence[Callable[[], None]], hang_seconds: float) -> None:
        self.lag = 0.0
        self._each_second = each_second
        self._hang_seconds = hang_seconds
        self._beats = 0
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts on the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._schedule()
        if self._hang_seconds:
            threading.Thread(target=self._watch, name="lossmeter-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()

    def _schedule(self) -> None:
        self._due = monotonic() + BEAT_SECONDS
        self._handle = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        late = max(0.0, monotonic() - self._due)
        self.lag = max(late, self.lag * FADING)
        self._beats += 1
        if self._beats % round(1 / BEAT_SECONDS) == 0:
            try:
                for function in self._each_second:
                    function()
            except OSError as error:
                log.warning("figures could not be shared: %s", error)
        self._schedule()

    def _watch(self) -> None:
        """Counts its own rounds, not time: a process that was stopped as a whole does not hang."""
        step = self._hang_seconds / 10
        still, seen = 0, self._beats
        while not self._stopped.wait(step):
            still = 0 if self._beats != seen else still + 1
            seen = self._beats
            if still >= 10:
                # Not logged: whoever stands still may hold the lock of the log.
                text = f"The event loop has stood still for {self._hang_seconds:g} seconds. This worker ends.\n"
                os.write(sys.stderr.fileno(), text.encode())
                faulthandler.dump_traceback(sys.stderr)
                os._exit(GAVE_UP)
