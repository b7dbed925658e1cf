"""Queues requests until they are begun, and tells when the queue is too long to join.

A few are begun in each turn of the event loop, in the order in which they came. Were all begun that a turn brought, a thousand
would be decoded before the first is computed, and what belongs to each would have left the caches of the processor by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic, process_time

from lossmeter.errors import Busy

BEGUN_PER_TURN = 64
"""Requests begun in a turn of the event loop, and clients that are listened to again in it."""
REST_SECONDS = 1.0
"""Time for which a client that was refused is not listened to while the queue is as long: what its refusal told it to wait."""


class RequestQueue:
    """Begins requests on the event loop, first come, first served.

    Time is that in which the process had the processor, read once in a turn of the event loop: a process that was stopped, or
    whose machine did something else, has no more to do than before.

    Args:
        max_wait_seconds: wait of the next request above which no other may join.
        clock: tells the time, in seconds.
        processor_clock: tells the processor time of this process.
    """

    def __init__(
        self,
        max_wait_seconds: float,
        clock: Callable[[], float] = monotonic,
        processor_clock: Callable[[], float] = process_time,
    ) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._clock = clock
        self._processor_clock = processor_clock
        self._clocks = (0.0, 0.0)  # when they were read last
        self._now = 0.0
        self._entries: deque[tuple[float, Callable[[], None]]] = deque()  # since when, and what begins it
        self._begun = 0  # in this turn
        self._resting: deque[tuple[float, Callable[[], None]]] = deque()  # until when, and what ends it
        self._turn_scheduled = False

    @property
    def waiting(self) -> int:
        """The number of requests that are not begun yet."""
        return len(self._entries)

    @property
    def overdue_seconds(self) -> float:
        """The wait of the next request."""
        return self._now - self._entries[0][0] if self._entries else 0.0

    def lateness(self) -> float:
        """Returns the wait of the next request if it is so long that one that comes now is refused; otherwise 0."""
        overdue = self.overdue_seconds
        return overdue if overdue > self._max_wait_seconds else 0.0

    def rest(self, wake: Callable[[], None]) -> None:
        """Calls a function, which has a client that was refused listened to again, when the queue has room, or in a second."""
        self._resting.append((self._now + REST_SECONDS, wake))
        self._schedule_turn()

    def join(self, begin: Callable[[], None]) -> None:
        """Calls a function, which begins a request, when it is its turn; at once, if nobody waits."""
        if self._begun < BEGUN_PER_TURN and not self._entries:
            self._begun += 1
            begin()
        else:
            if not self._entries:
                self._read_clocks()
            self._entries.append((self._now, begin))
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn_scheduled = False
        self._begun = 0
        if self._entries:
            self._now += self._read_clocks()
        try:
            while self._entries and self._begun < BEGUN_PER_TURN:
                self._begun += 1
                self._entries.popleft()[1]()
            woken = 0
            while self._resting and woken < BEGUN_PER_TURN and (not self._entries or self._resting[0][0] <= self._now):
                woken += 1
                self._resting.popleft()[1]()
        finally:
            if self._begun or self._resting:
                self._schedule_turn()  # whatever one of them raises, the others have their turn

    def _read_clocks(self) -> float:
        """Returns the seconds since it was called last, or those in which the process had the processor, if they are fewer."""
        wall, processor = self._clocks
        self._clocks = self._clock(), self._processor_clock()
        return min(self._clocks[0] - wall, self._clocks[1] - processor)


def overload_error(seconds: float) -> Busy:
    """The error for a request that came with too many others."""
    return Busy(f"More requests came than this worker can take up: it is {seconds:.1f} s late.")
