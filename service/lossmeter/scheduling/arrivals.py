"""Measures how fast bodies arrive: slow ones give way where others need their room."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

FLOOR_BYTES_PER_SECOND = 1 << 18
"""Pace below which a body gives way: at this one the largest of the default settings is there after 17 minutes."""
GRACE_SECONDS = 1.0
"""Age below which a body is not slow yet, and the least time over which its pace is measured."""


class Arrival:
    """A body on its way.

    Args:
        give_way: called once its room was taken away, in any thread.
        clock: tells the time, in seconds.
    """

    def __init__(self, give_way: Callable[[], object], clock: Callable[[], float] = monotonic) -> None:
        self.give_way = give_way
        self._clock = clock
        self._size = 0
        self._before = self._mark = (clock(), 0)

    def add(self, size: int) -> None:
        """Counts bytes that came."""
        self._size += size
        now = self._clock()
        if now - self._mark[0] >= GRACE_SECONDS:
            self._before, self._mark = self._mark, (now, self._size)

    @property
    def pace(self) -> float:
        """Bytes a second of late; infinite in the first moments."""
        since, size = self._before
        elapsed = self._clock() - since
        return (self._size - size) / elapsed if elapsed >= GRACE_SECONDS else float("inf")


def slowest(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Returns the arrivals that are slow, the slowest first."""
    paces = [(arrival.pace, number, arrival) for number, arrival in enumerate(arrivals)]
    return [arrival for pace, _, arrival in sorted(paces) if pace < FLOOR_BYTES_PER_SECOND]
