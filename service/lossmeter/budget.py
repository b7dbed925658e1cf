"""The budget of one process: what one request may take, and what all that are computed may take together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lossmeter.cost import Cost
from lossmeter.errors import Busy, Flaw, TooLarge

SMALL_MEMORY, MEMORY_PER_BYTE = 160 << 20, 1 << 16
SMALL_OPERATIONS, OPERATIONS_PER_BYTE = 100_000_000, 100_000
SMALL_BYTES = 4096
"""What a request may take that has no more bytes, and what each further byte adds that was sent: what costs its sender
nothing may not cost the server much. From 64 kB on only the limits on memory count, from 1 MB on only those on operations."""
OPERATIONS, OPERATIONS_SETTING = "element operations", "LOSSMETER_MAX_REQUEST_OPERATIONS"


class _Sender:
    """How many bytes a request has, as they came, and the operations of its parts so far."""

    __slots__ = ("size", "spent")

    def __init__(self, size: float) -> None:
        self.size = size
        self.spent = 0

    @property
    def memory(self) -> float:
        return SMALL_MEMORY + MEMORY_PER_BYTE * max(0, self.size - SMALL_BYTES)

    @property
    def operations(self) -> float:
        return SMALL_OPERATIONS + OPERATIONS_PER_BYTE * max(0, self.size - SMALL_BYTES)


_SENDER: ContextVar[_Sender] = ContextVar("sender", default=_Sender(math.inf))  # noqa: B039 that one may spend without end


@contextmanager
def sent(size: float) -> Iterator[None]:
    """Lets what runs in this context take only what a request of so many bytes may, as they came, before any expansion."""
    token = _SENDER.set(_Sender(size))
    try:
        yield
    finally:
        _SENDER.reset(token)


def spend(subject: str, cost: Cost) -> None:
    """Refuses a part of a request that makes its parts, which are computed one after the other, more than it may take.

    Only what was sent bounds their sum: the limit of the server is for what cannot be interrupted.

    Raises:
        TooLarge: with what they take by now, and what is allowed.
    """
    sender = _SENDER.get()
    sender.spent += cost.operations
    if sender.spent > sender.operations:
        takes = f"makes it {sender.spent} {OPERATIONS} in all"
        reason = f"{OPERATIONS_SETTING}; as much to one that comes as {sender.size} bytes"
        raise _too_large(subject, cost, takes, sender.operations, reason)


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
        sender = _SENDER.get()
        for amount, limit, share, unit, setting in (
            (cost.memory, self.request_memory, sender.memory, "bytes of memory", "LOSSMETER_MAX_REQUEST_MEMORY"),
            (cost.operations, self.request_operations, sender.operations, OPERATIONS, OPERATIONS_SETTING),
        ):
            if amount > min(limit, share):
                reason = setting if limit <= share else f"{setting}; as much to one that comes as {sender.size} bytes"
                raise _too_large(subject, cost, f"takes {amount} {unit}", min(limit, share), reason)

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


def _too_large(subject: str, cost: Cost, takes: str, limit: float, reason: str) -> TooLarge:
    cause = f", most of them for {cost.cause}" if cost.cause else ""
    message = f"{takes}{cause}; this server gives a request {round(limit)} ({reason})"
    return TooLarge(f"{subject}: {message}.", [Flaw(cost.pointer, message)])
