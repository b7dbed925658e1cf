"""Checks the timeouts of all connections from one timer: over thousands of connections, timers cost as much as refusals do."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from lossmeter.serving.bounds import Bounds

STEPS = 10
"""Steps in which all connections are checked, so that no request waits for the check of thousands of them."""


class Monitored(Protocol):
    """A connection with timeouts."""

    loop: asyncio.AbstractEventLoop

    def check_timeouts(self, now: float) -> None:
        """Called with the time by the clock of the loop."""


class ConnectionMonitor:
    """Checks each connection of a server once in `Bounds.check_seconds`.

    Args:
        bounds: of all its connections.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._connections: set[Monitored] = set()
        self._unchecked: list[Monitored] = []  # of this round
        self._share = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Monitored) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._schedule(connection.loop)

    def remove(self, connection: Monitored) -> None:
        self._connections.discard(connection)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.bounds.check_seconds / STEPS, self._take_step, loop)

    def _take_step(self, loop: asyncio.AbstractEventLoop) -> None:
        """Checks a share of those that were there when the round began."""
        if not self._connections:
            self._timer = None
            self._unchecked.clear()
            return
        self._schedule(loop)
        if not self._unchecked:
            self._unchecked = list(self._connections)
            self._share = math.ceil(len(self._unchecked) / STEPS)
        now = loop.time()
        for _ in range(min(self._share, len(self._unchecked))):
            connection = self._unchecked.pop()
            if connection in self._connections:
                connection.check_timeouts(now)
