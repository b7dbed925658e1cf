"""What requests may cost, and who works on them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from lossmeter.api.messages.headers import header
from lossmeter.api.work.admission import Admission
from lossmeter.api.work.pool import Pool


@dataclass(frozen=True)
class Limits:
    """What requests may cost, and where they are worked on."""

    max_body_bytes: int
    inline_bytes: int
    admission: Admission
    pool: Pool
    compute_seconds: float

    def admit(self, scope: Scope) -> None:
        """Asks whether the pool has time, before anything of a body is read that is for the pool, or may be.

        Raises:
            Busy: if it has none.
        """
        declared = header(scope, b"content-length")
        if declared is None or not declared.isdigit() or int(declared) > self.inline_bytes:
            self.pool.admit()
