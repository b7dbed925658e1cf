"""A connection to PostgreSQL that does not wait for ever, whatever holds the server up: locks, a disk, a stopped process."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg

GRACE_SECONDS = 2.0
"""How much longer than the server itself is given: it can tell more about what it waited for."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection each of whose exchanges with the server may take so many seconds; for ever, if that is 0.

    The server is asked to keep to that itself, which it cannot where it does not run at all.
    """

    seconds = 0.0
    complaint = ""

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """As psycopg does; every tenth of a second it resumes what waits, which is where patience may end."""
        return super().wait(self._watched(gen) if self.seconds else gen, *arguments, **named)

    def _watched(self, exchange: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = monotonic() + self.seconds + GRACE_SECONDS
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                if not ready and monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(self.complaint)
                wanted = exchange.send(ready)
        except StopIteration as end:
            return end.value


def connect(seconds: float, complaint: str, *arguments: Any, **named: Any) -> PatientConnection:
    """A connection with that much patience, and what its error says when that has ended."""
    made = PatientConnection.connect(*arguments, **named)
    made.seconds, made.complaint = seconds, complaint
    return made
