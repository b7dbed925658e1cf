"""Refusing at the door: what cannot be taken up in good time is answered before it becomes a request.

To parse a request, to make a task for it and to send it through the application costs a quarter of answering a small one. A
refusal here costs a tenth, so that at twice the capacity most of the time still goes into answers. Only what is plain and for
the routes of tensors is recognised, from a head that came whole; all else takes the ordinary way, where what carries tensors is
refused for the same reasons.
"""

from __future__ import annotations

import logging
import re
import secrets
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, NamedTuple

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from lossmeter.api import problems
from lossmeter.api.messages.headers import ALWAYS
from lossmeter.errors import Busy
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.request_queue import Line, too_late
from lossmeter.serving import connections
from lossmeter.serving.connections import BODY, IDLE, Bounds, Connection, Patrol
from lossmeter.settings import Settings
from lossmeter.telemetry import logs
from lossmeter.telemetry.counters import Tallies
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.request import SCOPE_KEY, RequestState, request_state

Headers = list[tuple[bytes, bytes]]

STATE = "lossmeter.refusals"
ROUTES = (b"POST /v1/losses/", b"POST /v2/models/", b"POST /v1/evaluate ")
LINED_UP = frozenset(("POST", "PUT"))
MAX_HEAD_BYTES = 4096
HEAD = re.compile(rb"POST ([!-~]++) HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n)++")
"""Stricter than the parser: where the two could disagree about where a body ends, the parser has to decide."""
UNUSUAL = re.compile(
    rb"\r\n(?:(?:transfer-encoding|content-encoding|expect|upgrade|origin):|connection:(?![ \t]*keep-alive[ \t]*\r\n))",
    re.IGNORECASE,
)
LENGTHS = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
SECRET = b"\r\nauthorization:"
SLOT = b"@"
"""Stands for a character of the request's id where an answer is prepared; nowhere else in it."""
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*\r\n", re.IGNORECASE)


class Plain(NamedTuple):
    """The head of a request for a route of tensors.

    Attributes:
        path: without the query.
        size: of the body.
        request_id: if the client gave one.
        open_inference: whether the route is of that protocol.
    """

    path: bytes
    size: int
    request_id: bytes | None
    open_inference: bool


class Refused(NamedTuple):
    """A refusal.

    Attributes:
        answer: all that is sent.
        rest: bytes of the body that are still to come, and will not be read.
    """

    answer: bytes
    rest: int


class Refusals:
    """Says when to refuse, what, and counts it."""

    def __init__(self, line: Line, tallies: Tallies, limits: Limits, readiness: Readiness) -> None:
        self.line = line
        self.readiness = readiness
        self.tallies = tallies
        self.limits = limits
        self._headers: Headers = []
        self._lines = b""
        self._log_access = logs.access.isEnabledFor(logging.INFO)

    def answer(self, data: bytes, headers: Headers, client: tuple[str, int] | None) -> Refused | None:
        """The refusal of the request that begins here, if too many have come; headers are those of all answers."""
        late, busy = self.line.late(), self.limits.pool.refusal()
        if (not late and busy is None) or self.readiness.draining:
            return None
        end = data.find(b"\r\n\r\n") + 2
        plain = _plain(data[:end]) if 1 < end <= MAX_HEAD_BYTES and data.startswith(ROUTES) else None
        if plain is None or plain.size > self.limits.max_body_bytes:
            return None
        rest = end + 2 + plain.size - len(data)
        error = too_late(late) if late else busy if plain.size > self.limits.inline_bytes else None
        if rest < 0 or error is None:
            return None
        return Refused(self._written(error, plain, client, headers), rest)

    def _written(self, error: Busy, plain: Plain, client: tuple[str, int] | None, headers: Headers) -> bytes:
        request_id = plain.request_id or secrets.token_hex(8).encode("ascii")
        fixed, size = _worded(error.detail, error.retry_after_seconds, plain.open_inference, len(request_id))
        scope = {
            "method": "POST",
            "path": plain.path.decode("latin-1"),
            "raw_path": plain.path,
            "client": client,
            SCOPE_KEY: RequestState(request_id.decode("ascii"), error.code),
        }
        self.tallies.count(scope, 503, 0.0, size)
        if self._log_access:
            logs.answered(scope, 503, 0.0, size)
        if headers is not self._headers:  # they are made anew once a second
            self._headers = headers
            self._lines = b"".join(b"%s: %s\r\n" % one for one in headers)
        return STATUS_LINE[503] + self._lines + fixed.replace(SLOT * len(request_id), request_id)


def _plain(head: bytes) -> Plain | None:
    """What a head says, if it is understood here. Most clients send the same again and again; keys are not remembered."""
    return _read(head) if SECRET in head.lower() else _remembered(head)


def _read(head: bytes) -> Plain | None:
    whole, length, given = HEAD.fullmatch(head), LENGTH.search(head), REQUEST_ID.search(head)
    if whole is None or length is None or len(LENGTHS.findall(head)) > 1 or UNUSUAL.search(head):
        return None
    request_id = given[1] if given else None
    if request_id is not None and (b'"' in request_id or b"\\" in request_id):
        return None  # needs escaping in JSON
    path = whole[1].partition(b"?")[0]
    return Plain(path, int(length[1]), request_id, path.startswith(problems.OPEN_INFERENCE.encode("ascii")))


_remembered = lru_cache(64)(_read)


@lru_cache(64)
def _worded(detail: str, retry_after: int, open_inference: bool, id_length: int) -> tuple[bytes, int]:
    """The refusal after the headers of all answers, with slots for an id of that length; and the size of its content."""
    slot = SLOT * id_length
    if open_inference:
        content, media_type = orjson.dumps({"error": detail}), b"application/json"
    else:
        content = problems.body(503, Busy.code, Busy.title, detail, slot.decode("ascii"))
        media_type = problems.MEDIA_TYPE.encode("ascii")
    headers = [
        *ALWAYS,
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(content)),
        (b"retry-after", b"%d" % retry_after),
        (b"x-request-id", slot),
        (b"server-timing", b"decode;dur=0, compute;dur=0, encode;dur=0"),
    ]
    return b"%s\r\n%s" % (b"".join(b"%s: %s\r\n" % one for one in headers), content), len(content)


class Shedding(Connection):
    """A bounded connection that asks `Refusals` first, between two requests; what is let in stands in line."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.refusals: Refusals | None = self.app_state.get(STATE)
        self.unread = 0  # bytes of a body whose request was refused

    def data_received(self, data: bytes) -> None:
        if self.unread:
            data = self._pass_over(data)
            if not data:
                return
        between = self.phase == IDLE and not self._busy and not self.deaf
        if self.refusals is not None and between and not self.flow.write_paused:
            refused = self.refusals.answer(data, self.server_state.default_headers, self.client)
            if refused is not None:
                self.messages += 1
                self.transport.write(refused.answer)
                # The client is heard out, so that it gets to read the answer; not for ever (`look`).
                self.phase = BODY
                self.unread = len(data) + refused.rest
                self._pass_over(data)
                return
        super().data_received(data)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        begin = partial(super()._start_asgi_task, cycle, app)
        if self.refusals is None or cycle.scope["method"] not in LINED_UP:
            begin()
        elif late := self.refusals.line.late():
            request_state(cycle.scope).late_seconds = late  # type: ignore[arg-type]
            begin()
        else:
            request_state(cycle.scope).arrived = perf_counter()  # type: ignore[arg-type]
            self.refusals.line.join(begin)

    def _pass_over(self, data: bytes) -> bytes:
        """What is left of the data after the body of the request that was refused."""
        passed = min(self.unread, len(data))
        self.received += passed
        self.unread -= passed
        if not self.unread:
            self.phase = IDLE
            self.ended = self.received
            self.on_response_complete()
        return data[passed:]


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told about connections."""
    return {**connections.options(settings), "http": partial(Shedding, Patrol(Bounds.of(settings)))}
