"""Runs reports and comparisons in threads of their own: nobody who looks up keys or asks how the service is waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lossmeter.errors import Busy
from lossmeter.scheduling.admission import Admission, Reservation
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.store_threads import StoreThreads

THREADS = 2
MAX_WAITING = 64
"""Reports that wait for their turn; beyond them callers are told to come back."""

T = TypeVar("T")


class ReportThreads(StoreThreads):
    """Bounds how many reports wait, and how long each may take.

    Args:
        seconds: for waiting and computing together.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(THREADS)
        self.seconds = seconds
        self._admission = Admission(0, 0)  # their memory is reserved where they are computed

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Returns the result of the function.

        Raises:
            Busy: too many wait already.
            TookTooLong: it is not there in time.
        """
        if self.pool.waiting >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} reports wait to be computed.")
        return await run_with_deadline(self.seconds, self.pool, Reservation(self._admission), 0, function, *arguments)
