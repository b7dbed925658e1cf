"""What requests may cost, and who works on them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from lossmeter.api.messages.headers import header
from lossmeter.scheduling.admission import Admission, Ticket
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import too_late

LATE = "lossmeter.late"
"""In the scope of a request that came too late: the seconds that others have waited already."""

ARRIVED = "lossmeter.arrived"
"""In the scope of a request that stood in line: when it came, by `perf_counter`."""


@dataclass(frozen=True)
class Limits:
    """What requests may cost, and where they are worked on."""

    max_body_bytes: int
    inline_bytes: int
    admission: Admission
    pool: Pool
    compute_seconds: float

    def ticket(self, scope: Scope) -> Ticket:
        """An empty reservation for a request; grow it before taking room, close it when done.

        Raises:
            Busy: if it came with more others than the event loop can take up in good time.
        """
        if LATE in scope:
            raise too_late(scope[LATE])
        return Ticket(self.admission)

    def admit(self, scope: Scope) -> None:
        """Asks whether the pool has time, before anything of a body is read that is for the pool, or may be.

        Raises:
            Busy: if it has none.
        """
        declared = header(scope, b"content-length")
        if declared is None or not declared.isdigit() or int(declared) > self.inline_bytes:
            self.pool.admit()
