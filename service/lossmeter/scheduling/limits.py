"""Limits what requests may cost, and names who works on them."""

from __future__ import annotations

from dataclasses import dataclass

from lossmeter.scheduling.admission import Admission, Reservation
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import overload_error


@dataclass(frozen=True)
class Limits:
    """Holds what requests may cost, and where they are worked on."""

    max_body_bytes: int
    inline_bytes: int
    admission: Admission
    pool: Pool
    compute_seconds: float

    def reserve(self, late_seconds: float = 0.0) -> Reservation:
        """Makes an empty reservation for a request; grow it before taking room, close it when done.

        Args:
            late_seconds: wait of others, if the request came with too many of them.

        Raises:
            Busy: if it came with more others than the event loop can take up in good time.
        """
        if late_seconds:
            raise overload_error(late_seconds)
        return Reservation(self.admission)

    def admit(self, size: int | None = None) -> None:
        """Admits a request whose body is for the pool, or may be, before anything of it is read.

        Args:
            size: as announced; None if it is not known, or is for the pool whatever it is.

        Raises:
            Busy: if the pool has no time.
        """
        if size is None or size > self.inline_bytes:
            self.pool.admit()
