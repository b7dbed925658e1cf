"""Admits requests by what they cost, in bytes and in elements, not by their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from lossmeter.errors import Busy


class Admission:
    """Counts what is in flight in one worker.

    Args:
        max_bytes: bytes of bodies, read or being read, whose answers are not yet computed, and of answers being sent.
        max_elements: elements of decoded tensors, likewise.
    """

    def __init__(self, max_bytes: int, max_elements: int) -> None:
        self.max_bytes = max_bytes
        self.max_elements = max_elements
        self.bytes = 0
        self.elements = 0
        self._lock = threading.Lock()
        self._bytes_per_second = 50e6  # until something has been measured

    @contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """Counts an answer until it is sent. It has its room already; those who come next may have to wait for it."""
        with self._lock:
            self.bytes += size
        try:
            yield
        finally:
            with self._lock:
                self.bytes -= size

    def reserve(self, reservation: Reservation, size: int, elements: int) -> None:
        """Reserves more room for a request.

        Raises:
            Busy: if there is none; a request that is alone is always let in.
        """
        with self._lock:
            crowded = size and self.bytes > reservation.size and self.bytes + size > self.max_bytes
            dense = elements and self.elements > reservation.elements and self.elements + elements > self.max_elements
            if crowded or dense:
                wait = max(1, min(60, round(self.bytes / self._bytes_per_second)))
                raise Busy(f"{self.bytes} bytes and {self.elements} elements are in flight, the most at a time.", wait)
            self.bytes += size
            self.elements += elements

    def release(self, size: int, elements: int, seconds: float) -> None:
        """Gives room back, and learns from how long it was held."""
        with self._lock:
            self.bytes -= size
            self.elements -= elements
            if size:
                self._bytes_per_second += 0.1 * (size / max(seconds, 1e-3) - self._bytes_per_second)


class Reservation:
    """The room that one request holds; while it is `kept`, closing it gives nothing back."""

    __slots__ = ("admission", "begin", "elements", "kept", "size")

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.size = 0
        self.elements = 0
        self.kept = False
        self.begin = monotonic()

    def grow(self, size: int = 0, elements: int = 0) -> None:
        """Reserves more.

        Raises:
            Busy: if there is no room.
        """
        self.admission.reserve(self, size, elements)
        self.size += size
        self.elements += elements

    def close(self) -> None:
        """Gives the room back."""
        if (self.size or self.elements) and not self.kept:
            self.admission.release(self.size, self.elements, monotonic() - self.begin)
            self.size = self.elements = 0
