"""Work with an end to waiting. A thread cannot be stopped: what has begun goes on, and keeps its room until it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lossmeter.errors import TookTooLong
from lossmeter.scheduling.admission import Ticket
from lossmeter.scheduling.pool import Pool

T = TypeVar("T")


class _Errand(Generic[T]):
    """A function that may be given up: before it begins it will not, and afterwards it ends for nobody."""

    def __init__(self, ticket: Ticket, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self.ticket = ticket
        self.function = function
        self.arguments = arguments
        self.lock = threading.Lock()
        self.running = False
        self.given_up = False

    def __call__(self) -> T:
        with self.lock:
            if self.given_up:
                raise TookTooLong("Nobody waits for this any more.")
            self.running = True
        try:
            return self.function(*self.arguments)
        finally:
            del self.arguments
            with self.lock:
                self.running = False
                if self.given_up:
                    self.ticket.kept = False
                    self.ticket.close()

    def give_up(self) -> None:
        with self.lock:
            self.given_up = True
            self.ticket.kept = self.running


async def run_within(
    seconds: float, pool: Pool, ticket: Ticket, cost: int, function: Callable[..., T], *arguments: Any
) -> T:
    """The result of the function, computed in the pool.

    Raises:
        TookTooLong: if it is not there in time; the ticket then keeps its room until the function ends.
    """
    errand = _Errand(ticket, function, arguments)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await pool.run(cost, errand)
    except TimeoutError:
        if not limit.expired():
            raise
        errand.give_up()
        raise TookTooLong(f"The answer was not there within {seconds:g} s (LOSSMETER_COMPUTE_SECONDS).") from None
