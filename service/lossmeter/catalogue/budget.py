"""The budget of one process: what one request may take, and what all that are computed may take together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lossmeter.catalogue.cost import Cost
from lossmeter.errors import Busy, Flaw, TooLarge


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

        Raises:
            TooLarge: with what it would take, what is allowed, and where it comes from.
        """
        for amount, limit, unit, setting in (
            (cost.memory, self.request_memory, "bytes of memory", "LOSSMETER_MAX_REQUEST_MEMORY"),
            (cost.operations, self.request_operations, "element operations", "LOSSMETER_MAX_REQUEST_OPERATIONS"),
        ):
            if amount > limit:
                cause = f", most of them for {cost.cause}" if cost.cause else ""
                message = f"takes {amount} {unit}{cause}; this server gives a request {round(limit)} ({setting})"
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
