"""What requests may cost, and who works on them."""

from __future__ import annotations

from dataclasses import dataclass

from lossmeter.scheduling.admission import Admission, Ticket
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import too_late


@dataclass(frozen=True)
class Limits:
    """What requests may cost, and where they are worked on."""

    max_body_bytes: int
    inline_bytes: int
    admission: Admission
    pool: Pool
    compute_seconds: float

    def reserve(self, late_seconds: float = 0.0) -> Ticket:
        """Makes an empty reservation for a request; grow it before taking room, close it when done.

        Args:
            late_seconds: how long others have waited, if the request came with too many of them.

        Raises:
            Busy: if it came with more others than the event loop can take up in good time.
        """
        if late_seconds:
            raise too_late(late_seconds)
        return Ticket(self.admission)

    def admit(self, size: int | None = None) -> None:
        """Asks whether the pool has time, before anything of a body is read that is for the pool, or may be.

        Args:
            size: that the body is announced to have; None if it is not known, or is for the pool whatever it is.

        Raises:
            Busy: if the pool has none.
        """
        if size is None or size > self.inline_bytes:
            self.pool.admit()
