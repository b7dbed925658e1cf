"""Decides what a call sends, when it sends it again, and what it makes of the answer. No socket in here.

A conversation is a generator: it yields requests to send and pauses to make, and is sent what came of them. Both clients drive
it, one blocking and one not, and decide nothing themselves.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Literal, TypeVar

from lossmeter.client.errors import Busy, NoAnswer, Problem, ServiceError, TimedOut, problem

T = TypeVar("T")
Piece = bytes | memoryview
Body = bytearray | memoryview
"""The body of an answer, which may be written to."""

PROBLEM = "application/problem+json"
REQUEST_ID = "X-Request-ID"
REFUSALS = (429, 503)
"""Of the answers that say "not now", those that the service itself gives, before it has done anything."""
TOOK_TOO_LONG = "took_too_long"
"""The code of an answer that says that there was none in time: the same request would take as long again."""
SHOWN = 200
"""Bytes of an unexpected body that an error shows."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: names of headers in lower case, and a body that may be written to."""

    status: int
    headers: Mapping[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """Something to ask, and how to read the answer.

    Attributes:
        method, path, headers: of the HTTP request; the path begins with a slash.
        body: in pieces, which are sent one after the other.
        read: makes the result of a successful answer.
        repeatable: true if sending it twice does no more than sending it once; under `if refused` it does more, and is sent
            again only after an answer that says that nothing was done.
        kept: true if the service keeps what one attempt did for the next, so that another is worth its time after one that got
            no answer in time. A loss would be computed anew, and most likely take as long again.
    """

    method: str
    path: str
    read: Callable[[Reply], T]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[Piece] = ()
    repeatable: Literal[True, False, "if refused"] = True
    kept: bool = False

    @property
    def size(self) -> int:
        """Counts the bytes of the body."""
        return sum(map(len, self.body))


@dataclass(frozen=True, slots=True)
class Pause:
    """Time to let pass before the next attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retries:
    """Says when a request is sent again: after a broken connection, and after an answer that says "not now".

    The waits double from one attempt to the next, each between half and all of that, so that many clients do not come back at
    the same moment. A longer wait that the service asks for is kept; one that is too long ends the attempts.

    Attributes:
        attempts: how often a request is sent at most; 1 never sends it again.
        first_wait_seconds: the wait after the first attempt.
        longest_wait_seconds: the longest wait between two.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.1
    longest_wait_seconds: float = 60.0

    def wait_seconds(self, attempt: int, failure: ServiceError) -> float | None:
        """Returns the wait after an attempt (1 is the first) that failed; none if there should be no other."""
        if not isinstance(failure, Busy | NoAnswer) or attempt >= self.attempts:
            return None
        own = min(self.first_wait_seconds * 2.0 ** (attempt - 1), self.longest_wait_seconds) * random.uniform(0.5, 1.0)
        asked = failure.retry_after_seconds if isinstance(failure, Problem) else None
        if asked is None:
            return own
        return asked + own if asked <= self.longest_wait_seconds else None


Conversation = Generator[Request[Any] | Pause, Reply | ServiceError | None, T]
"""Yields what to do, is sent the reply to a request or why there is none, and returns the result."""


def conversation(request: Request[T], retries: Retries) -> Conversation[T]:
    """Asks until there is an answer to keep.

    Raises:
        ServiceError: when the last attempt has failed, or another would be of no use.
    """
    request = _identified(request)
    attempt = 0
    while True:
        attempt += 1
        outcome = yield request
        assert outcome is not None
        if isinstance(outcome, ServiceError):
            failure = outcome
        elif outcome.status < 300:
            return request.read(outcome)
        else:
            failure = refusal(outcome)
        wait = retries.wait_seconds(attempt, failure) if _may_repeat(request, failure) else None
        if wait is None:
            raise failure
        yield Pause(wait)


def _may_repeat(request: Request[T], failure: ServiceError) -> bool:
    late = isinstance(failure, TimedOut) or (isinstance(failure, Problem) and failure.code == TOOK_TOO_LONG)
    if late and not request.kept:
        return False
    if request.repeatable == "if refused":
        return isinstance(failure, Problem) and failure.status in REFUSALS
    return request.repeatable


def _identified(request: Request[T]) -> Request[T]:
    """Gives the request an id, which all attempts carry, and by which the log of the service knows them."""
    headers = {REQUEST_ID: secrets.token_hex(8), **request.headers}
    return Request(request.method, request.path, request.read, headers, request.body, request.repeatable, request.kept)


def refusal(reply: Reply) -> Problem:
    """Makes the exception that an answer stands for."""
    members: Any = {}
    if reply.headers.get("content-type", "").startswith(PROBLEM):
        try:
            members = json.loads(str(reply.body, "utf-8"))
        except ValueError:
            members = {}
    text = bytes(reply.body[:SHOWN]).decode("utf-8", "replace")
    request_id = reply.headers.get("x-request-id", "")
    after = retry_after_seconds(reply.headers.get("retry-after"), datetime.now(UTC))
    return problem(reply.status, members if isinstance(members, dict) else {}, text, request_id, after)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Reads the header `Retry-After`, which is a number of seconds or a date; returns none if it is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None
