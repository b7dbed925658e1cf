"""Runs long work in threads, the cheaper first, without letting the dearer wait for ever."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from lossmeter.errors import Busy

T = TypeVar("T")

BYTES_PER_SECOND = 10e6
"""Bytes of cost that weigh as much as a second of waiting."""

CLOSE_SECONDS = 2.0
"""Time that threads are given at the end of the process, after the grace of its requests."""


class Pool:
    """Runs functions in a bounded number of threads.

    Each job is due at its arrival plus a time in proportion to its cost, and the job due first is run first. So small ones
    overtake large ones that came shortly before them, and none can be overtaken for longer than its cost is worth.

    Args:
        threads: their number.
        max_wait_seconds: lateness of jobs from which on no new work is admitted.
        clock: tells the time, in seconds.
    """

    def __init__(
        self, threads: int, max_wait_seconds: float = math.inf, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        self._max_wait_seconds = max_wait_seconds
        self._queue: list[tuple[float, int, _Job]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"lossmeter-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The number of jobs that no thread works on yet."""
        return len(self._queue)

    @property
    def overdue_seconds(self) -> float:
        """The lateness of the job that comes next; 0 if none waits."""
        with self._changed:
            return max(0.0, self._clock() - self._queue[0][0]) if self._queue else 0.0

    def refusal(self) -> Busy | None:
        """Returns the error for new work if jobs are taken up so late that it had better come later."""
        if not self._queue or (overdue := self.overdue_seconds) <= self._max_wait_seconds:
            return None
        message = f"Requests wait {overdue:.1f} s longer than they should; at most {self._max_wait_seconds:g} s."
        return Busy(message, max(1, round(overdue)))

    def admit(self) -> None:
        """Admits a request, before its first job.

        Raises:
            Busy: if jobs are taken up so late that another one had better be tried elsewhere, or later.
        """
        if (refusal := self.refusal()) is not None:
            raise refusal

    async def run(self, cost: int, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function in one of the threads and returns its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job = _Job(loop, future, contextvars.copy_context().run, (function, *arguments))
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            heapq.heappush(self._queue, (self._clock() + cost / BYTES_PER_SECOND, next(self._number), job))
            self._changed.notify()
        return await future

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Waits until the threads have finished what was accepted, but no longer than that: they end with the process then."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._closed:
                        return
                    self._changed.wait()
                _, _, job = heapq.heappop(self._queue)
            job.run()
            del job


class _Job:
    __slots__ = ("arguments", "function", "future", "loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], function: Callable[..., Any], arguments: Any
    ) -> None:
        self.loop = loop
        self.future = future
        self.function = function
        self.arguments = arguments

    def run(self) -> None:
        if self.future.cancelled():
            return
        try:
            result = self.function(*self.arguments)
        except BaseException as error:  # noqa: BLE001 - whoever awaits the future gets it
            self._tell(self._fail, error)
        else:
            self._tell(self._succeed, result)

    def _tell(self, setter: Callable[[Any], None], value: Any) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(setter, value)

    def _succeed(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
