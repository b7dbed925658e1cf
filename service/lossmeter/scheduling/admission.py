"""Admits requests by what they cost, in bytes and in elements, not by their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from lossmeter.errors import Busy
from lossmeter.scheduling.arrivals import Arrival, slowest

GAVE_WAY = "The body came slowly, and others needed the room that it took."

ELEMENT_BYTES = 8
"""Of a decoded tensor, at most."""


class Admission:
    """Counts what is in flight in one worker. Bodies that come slowly give way to whoever else needs room.

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
        self._arrivals: dict[Arrival, Reservation] = {}
        self._bytes_per_second = 50e6  # until something has been measured

    @property
    def memory(self) -> int:
        """Counts the bytes of all of that together."""
        return self.bytes + ELEMENT_BYTES * self.elements

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
            if reservation.gave_way:
                raise Busy(GAVE_WAY)
            while self._crowded(reservation, size) and self._take_away(reservation):
                pass
            dense = elements and self.elements > reservation.elements and self.elements + elements > self.max_elements
            if dense or self._crowded(reservation, size):
                raise self._busy()
            self.bytes += size
            self.elements += elements

    def foresee(self, reservation: Reservation, size: int) -> None:
        """Makes sure that there would be room at present for bytes that are announced; reserves none.

        Raises:
            Busy: if there is none, even if all slow bodies gave way.
        """
        with self._lock:
            slow = slowest(self._arrivals)
            if self._crowded(reservation, size - sum(self._arrivals[one].size for one in slow)):
                raise self._busy()

    def expect(self, arrival: Arrival, reservation: Reservation) -> None:
        """Lets the room of a body that is still arriving be taken away from now on, if it comes slowly."""
        with self._lock:
            self._arrivals[arrival] = reservation

    def arrived(self, arrival: Arrival) -> None:
        """Lets it keep its room.

        Raises:
            Busy: if that was taken away meanwhile.
        """
        with self._lock:
            if self._arrivals.pop(arrival, None) is None:
                raise Busy(GAVE_WAY)

    def _crowded(self, reservation: Reservation, size: int) -> bool:
        return size > 0 and self.bytes > reservation.size and self.bytes + size > self.max_bytes

    def _busy(self) -> Busy:
        wait = max(1, min(60, round(self.bytes / self._bytes_per_second)))
        return Busy(f"{self.bytes} bytes and {self.elements} elements are in flight, the most at a time.", wait)

    def _take_away(self, asking: Reservation) -> bool:
        """Takes away the room of the slowest body but that of the request that asks; returns False if none is slow."""
        for arrival in slowest(self._arrivals):
            holder = self._arrivals[arrival]
            if holder is not asking and holder.size:
                del self._arrivals[arrival]
                self.bytes -= holder.size
                holder.size, holder.gave_way = 0, True
                arrival.give_way()
                return True
        return False

    def release(self, size: int, elements: int, seconds: float) -> None:
        """Gives room back, and learns from how long it was held."""
        with self._lock:
            self.bytes -= size
            self.elements -= elements
            if size:
                self._bytes_per_second += 0.1 * (size / max(seconds, 1e-3) - self._bytes_per_second)


class Reservation:
    """The room that one request holds.

    Attributes:
        kept: closing it gives nothing back.
        gave_way: its room was taken away, and it gets none any more.
    """

    __slots__ = ("admission", "begin", "elements", "gave_way", "kept", "size")

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.size = 0
        self.elements = 0
        self.kept = self.gave_way = False
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
