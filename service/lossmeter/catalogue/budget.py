"""The budget of one process: what one request may take, and what all that are computed may take together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lossmeter.catalogue.cost import Cost
from lossmeter.errors import Busy, Flaw, TooLarge

SMALL_MEMORY, MEMORY_PER_BYTE = 160 << 20, 1 << 16
SMALL_OPERATIONS, OPERATIONS_PER_BYTE = 100_000_000, 100_000
SMALL_BYTES = 4096
"""What a request may take that has no more bytes, and what each further byte adds that was sent: what costs its sender
nothing may not cost the server much. From 64 kB on only the limits on memory count, from 1 MB on only those on operations."""
_SENT: ContextVar[float] = ContextVar("sent", default=math.inf)


@contextmanager
def sent(size: float) -> Iterator[None]:
    """Lets what runs in this context take only what a request of so many bytes may, as they came, before any expansion."""
    token = _SENT.set(size)
    try:
        yield
    finally:
        _SENT.reset(token)


class Budget:
    """Refuses what is too large for a request, and reserves the peak of what is computed; unlimited by default.

    Args:
        request_memory: bytes that one request may take.
        request_operations: element operations of one request.
        memory: bytes that all may take together.
        held: tells how many bytes bodies and decoded tensors hold at present; they count towards `memory`.
    """

    def __init__(
        self,
        request_memory: float = math.inf,
        request_operations: float = math.inf,
        memory: float = math.inf,
        held: Callable[[], int] = lambda: 0,
    ) -> None:
        self.request_memory = request_memory
        self.request_operations = request_operations
        self.memory = memory
        self.taken = 0
        self._held = held
        self._lock = threading.Lock()

    def check(self, subject: str, cost: Cost) -> None:
        """Refuses what one request may not take.

        That is the limit of the server, or less if few bytes were sent (`sent`).

        Raises:
            TooLarge: with what it would take, what is allowed, and where it comes from.
        """
        size = _SENT.get()
        more = max(0, size - SMALL_BYTES)
        memory, operations = SMALL_MEMORY + MEMORY_PER_BYTE * more, SMALL_OPERATIONS + OPERATIONS_PER_BYTE * more
        for amount, limit, share, unit, setting in (
            (cost.memory, self.request_memory, memory, "bytes of memory", "LOSSMETER_MAX_REQUEST_MEMORY"),
            (
                cost.operations,
                self.request_operations,
                operations,
                "element operations",
                "LOSSMETER_MAX_REQUEST_OPERATIONS",
            ),
        ):
            if amount > min(limit, share):
                cause = f", most of them for {cost.cause}" if cost.cause else ""
                reason = setting if limit <= share else f"{setting}; as much to one that comes as {size} bytes"
                message = (
                    f"takes {amount} {unit}{cause}; this server gives a request {round(min(limit, share))} ({reason})"
                )
                raise TooLarge(f"{subject}: {message}.", [Flaw(cost.pointer, message)])

    @contextmanager
    def reserve(self, subject: str, cost: Cost) -> Iterator[None]:
        """Holds the peak of a computation while it runs; one that is alone is always let in.

        Raises:
            TooLarge: as `check`.
            Busy: there is no room beside what runs already.
        """
        self.check(subject, cost)
        with self._lock:
            if self.taken and self.taken + self._held() + cost.memory > self.memory:
                raise Busy(f"{self.taken} bytes are taken by what is computed, and {cost.memory} more are not there.")
            self.taken += cost.memory
        try:
            yield
        finally:
            with self._lock:
                self.taken -= cost.memory
