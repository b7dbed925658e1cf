"""Whether a server serves a format."""

from __future__ import annotations

from tests.benchmarks.load import Connection
from tests.benchmarks.payloads import Payload
from tests.benchmarks.results import Result
from tests.benchmarks.servers import Server

ABSENT = (404, 405, 406, 415)


def served(server: Server, sample: Payload, result: Result) -> bool:
    """Asks with a small request; what is not served is left out and noted.

    Raises:
        RuntimeError: if it is served, and does not work.
    """
    with server.running() as port, Connection(port) as connection:
        answer = connection.exchange(sample.prepared, keep=True)
    if answer.status in ABSENT:
        note = f"{sample.form}: not served by {server.subject.name} (status {answer.status})."
        print(note, flush=True)
        result.notes.append(note)
        return False
    if answer.status != 200:
        raise RuntimeError(f"{server.subject.name}, {sample.form}: status {answer.status}, {answer.body[:500]!r}")
    return True
