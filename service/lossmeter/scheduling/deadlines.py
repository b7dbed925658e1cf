"""Runs pool jobs under a deadline.

A thread cannot be stopped: what has begun goes on to its next checkpoint (`lossmeter.stopping`), and keeps its room until
it ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, TypeVar

from lossmeter.errors import TookTooLong
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.pool import Pool
from lossmeter.stopping import until

T = TypeVar("T")


class _AbandonableCall(Generic[T]):
    """A call that does not begin once it is abandoned, and that gives its room back by itself if it had begun."""

    def __init__(
        self, seconds: float, reservation: Reservation, function: Callable[..., T], arguments: tuple[Any, ...]
    ) -> None:
        self.end = monotonic() + seconds
        self.reservation = reservation
        self.function = function
        self.arguments = arguments
        self.lock = threading.Lock()
        self.running = False
        self.abandoned = False

    def __call__(self) -> T:
        with self.lock:
            if self.abandoned:
                raise TookTooLong("Nobody waits for this any more.")
            self.running = True
        try:
            with until(self.end):
                return self.function(*self.arguments)
        finally:
            del self.arguments
            with self.lock:
                self.running = False
                if self.abandoned:
                    self.reservation.kept = False
                    self.reservation.close()

    def abandon(self) -> None:
        with self.lock:
            self.abandoned = True
            self.reservation.kept = self.running


async def run_with_deadline(
    seconds: float, pool: Pool, reservation: Reservation, cost: int, function: Callable[..., T], *arguments: Any
) -> T:
    """Runs a function in the pool and returns its result.

    Raises:
        TookTooLong: if it is not there in time; the reservation then keeps its room until the function ends.
    """
    call = _AbandonableCall(seconds, reservation, function, arguments)
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await pool.run(cost, call)
    except TimeoutError:
        if not deadline.expired():
            raise
        call.abandon()
        raise TookTooLong(f"The answer was not there within {seconds:g} s (LOSSMETER_COMPUTE_SECONDS).") from None
