"""The line that requests stand in until they are begun, and when it is too long to join.

A few are begun in each turn of the event loop, in the order in which they came. Were all begun that a turn brought, a thousand
would be decoded before the first is computed, and what belongs to each would have left the caches of the processor by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic, process_time
from typing import NamedTuple

from lossmeter.errors import Busy

SHARE = 64
"""Requests begun in a turn."""
MAX_WAIT_SECONDS = 0.3
"""What is begun here takes milliseconds: a line as long as this is one of more requests than can be answered."""
SHORT_SECONDS = 0.03
"""How long the line is kept from then on: enough never to be idle, and longer would help nobody."""
CALM_SECONDS = 1.0
"""Without a refusal for that long, the line may grow again."""


class Line:
    """Begins requests on the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[_Place] = deque()
        self._begun = 0  # in this turn
        self._turning = False
        self._strict_until = 0.0
        self._late = 0.0  # as found in this turn

    @property
    def waiting(self) -> int:
        """Requests that are not begun yet."""
        return len(self._waiting)

    @property
    def overdue(self) -> float:
        """Seconds for which the next request has waited; without those in which the process was not given the processor.

        A process that was stopped, or whose machine did something else, has no more to do than before.
        """
        if not self._waiting:
            return 0.0
        first = self._waiting[0]
        return min(monotonic() - first.since, process_time() - first.used)

    def late(self) -> float:
        """By how many seconds a request that comes now comes too late; 0 if it may join.

        A line that became too long is too long until it is short: refusing no more than what is too much would leave
        everybody waiting for as long as can be.
        """
        if self._late:
            return self._late
        overdue = self.overdue
        if overdue <= SHORT_SECONDS:
            return 0.0
        now = monotonic()
        if overdue <= MAX_WAIT_SECONDS and now > self._strict_until:
            return 0.0
        self._strict_until = now + CALM_SECONDS
        self._late = overdue
        return overdue

    def join(self, begin: Callable[[], None]) -> None:
        """Calls a function, which begins a request, when it is its turn; at once, if nobody waits."""
        if self._begun < SHARE and not self._waiting:
            self._begun += 1
            begin()
        else:
            self._waiting.append(_Place(monotonic(), process_time(), begin))
        self._go_on()

    def _go_on(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        self._begun = 0
        self._late = 0.0
        while self._waiting and self._begun < SHARE:
            self._begun += 1
            self._waiting.popleft().begin()
        if self._begun:
            self._go_on()


class _Place(NamedTuple):
    since: float
    used: float
    begin: Callable[[], None]


def too_late(seconds: float) -> Busy:
    """The error for a request that came with too many others."""
    return Busy(f"More requests came than this worker can take up: it is {seconds:.1f} s late.")
