"""Queues requests until they are begun, and tells when the queue is too long to join.

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

BEGUN_PER_TURN = 64
"""Requests begun in a turn of the event loop; as many as were refused in it, if those are more."""
MAX_WAIT_SECONDS = 0.3
"""Wait above which requests are refused: what is begun takes milliseconds, so more have come than can be answered."""
TARGET_WAIT_SECONDS = 0.03
"""Wait at which the queue is kept once it refuses: enough never to be idle, and longer would help nobody."""
CALM_SECONDS = 1.0
"""Time without a refusal after which the queue may grow again."""


class RequestQueue:
    """Begins requests on the event loop, first come, first served.

    Args:
        clock: tells the time, in seconds.
        processor_clock: tells the processor time of this process.
    """

    def __init__(
        self, clock: Callable[[], float] = monotonic, processor_clock: Callable[[], float] = process_time
    ) -> None:
        self._clock = clock
        self._processor_clock = processor_clock
        self._entries: deque[_Entry] = deque()
        self._begun = 0  # in this turn
        self._refused = 0  # likewise
        self._turn_scheduled = False
        self._strict_until = 0.0
        self._lateness = 0.0  # as measured in this turn

    @property
    def waiting(self) -> int:
        """The number of requests that are not begun yet."""
        return len(self._entries)

    @property
    def overdue_seconds(self) -> float:
        """The wait of the next request, without the time in which the process was not given the processor.

        A process that was stopped, or whose machine did something else, has no more to do than before.
        """
        if not self._entries:
            return 0.0
        first = self._entries[0]
        return min(self._clock() - first.since, self._processor_clock() - first.used)

    def lateness(self) -> float:
        """Returns by how many seconds a request that comes now is too late; 0 if it may join.

        A queue that became too long is too long until it is short: refusing no more than what is too much would leave
        everybody waiting for as long as can be.
        """
        if self._lateness:
            return self._lateness
        overdue = self.overdue_seconds
        if overdue <= TARGET_WAIT_SECONDS:
            return 0.0
        now = self._clock()
        if overdue <= MAX_WAIT_SECONDS and now > self._strict_until:
            return 0.0
        self._strict_until = now + CALM_SECONDS
        self._lateness = overdue
        return overdue

    def note_refusal(self) -> None:
        """Notes that a request was refused in this turn."""
        self._refused += 1

    def join(self, begin: Callable[[], None]) -> None:
        """Calls a function, which begins a request, when it is its turn; at once, if nobody waits."""
        if self._begun < BEGUN_PER_TURN and not self._entries:
            self._begun += 1
            begin()
        else:
            self._entries.append(_Entry(self._clock(), self._processor_clock(), begin))
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Begins those whose turn it is: were more refused than begun, nobody would be answered while enough others come."""
        self._turn_scheduled = False
        turn, self._refused = max(BEGUN_PER_TURN, self._refused), 0
        self._begun = 0
        self._lateness = 0.0
        while self._entries and self._begun < turn:
            self._begun += 1
            self._entries.popleft().begin()
        if self._begun:
            self._schedule_turn()


class _Entry(NamedTuple):
    since: float
    used: float
    begin: Callable[[], None]


def overload_error(seconds: float) -> Busy:
    """The error for a request that came with too many others."""
    return Busy(f"More requests came than this worker can take up: it is {seconds:.1f} s late.")
