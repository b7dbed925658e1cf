"""Connects to PostgreSQL with a timeout that also ends waiting for a server whose process stands still.

It wraps the wait of psycopg because nothing else ends it: when a server was stopped (SIGSTOP), a
query gave up after 7.5 s; without it one still waited after 40 s.
"""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg

GRACE_SECONDS = 2.0
"""Added to the time that the server itself has: it can tell more about what it waited for."""


class TimedConnection(psycopg.Connection[Any]):
    """Ends an exchange with the server after `seconds`, and with `complaint`; 0 never does."""

    seconds = 0.0
    complaint = ""

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """Waits as psycopg does, which resumes the exchange every tenth of a second."""
        return super().wait(self._time(gen) if self.seconds else gen, *arguments, **named)

    def _time(self, exchange: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
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


def connect(seconds: float, complaint: str, *arguments: Any, **named: Any) -> TimedConnection:
    """Connects; the complaint is what the error says once the time is over."""
    made = TimedConnection.connect(*arguments, **named)
    made.seconds, made.complaint = seconds, complaint
    return made
