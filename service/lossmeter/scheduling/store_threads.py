"""Runs work on the database in threads of its own: one that does not answer holds up nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lossmeter.errors import Busy
from lossmeter.scheduling.pool import Pool

THREADS = 4
MAX_WAITING = 256
"""Requests that wait for the database; beyond them callers are told to come back."""

T = TypeVar("T")


class StoreThreads:
    """Bounds how many requests wait for the database.

    Args:
        threads: that run them.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self.pool = Pool(threads)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Returns the result of the function.

        Raises:
            Busy: too many wait already.
        """
        if self.pool.waiting >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} requests wait for the database of runs.")
        return await self.pool.run(0, function, *arguments)

    def close(self) -> None:
        self.pool.close()
