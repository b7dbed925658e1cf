"""Connections: how much a client may send before its request is complete, and how long it may take over it.

uvicorn bounds neither. What is done here for each request is a few additions; a patrol looks at each connection once a second,
so that none needs a timer of its own: over thousands of connections, timers cost as much as refusing a request does.
"""

from __future__ import annotations

import asyncio
import math
import resource
import secrets
from collections.abc import Sized
from functools import partial
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lossmeter.api import problems
from lossmeter.api.messages.headers import ALWAYS
from lossmeter.errors import LossmeterError, MalformedBody, TooSlow
from lossmeter.serving.upgrades import without_offer
from lossmeter.settings import Settings
from lossmeter.telemetry.request import request_state

IDLE, HEAD, BODY = range(3)
LINGER_SECONDS = 3.0
"""How long what nobody will read any more is still taken, so that the client gets to read the answer."""
LOOK_SECONDS = 1.0
STEPS = 10
"""In how many steps a patrol looks at all connections, so that no request waits for the look at thousands of them."""
SPARE_FILES = 64
"""Of the files that a process may have open, those that are no connections."""
MAX_PIPELINED = 100
"""Requests that wait for those before them on the same connection."""
FRAMING = 8
"""Bytes around each byte of a body, at the most: a chunk of one byte has five."""


class Refusal(Exception):
    """What is said instead of reading on: status, code, title and detail."""


class Bounds(NamedTuple):
    """What a client may take up; as in the settings of the same names."""

    max_connections: int
    max_header_bytes: int
    max_headers: int
    header_seconds: float
    body_seconds: float
    min_bytes_per_second: int
    keep_alive_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """Those of the settings, but no more connections than files may be open."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = settings.max_connections if files == resource.RLIM_INFINITY else max(16, files - SPARE_FILES)
        found = {name: getattr(settings, name) for name in cls._fields}
        return cls(**{**found, "max_connections": min(settings.max_connections, room)})

    @property
    def look_seconds(self) -> float:
        return min(LOOK_SECONDS, self.header_seconds / 4, self.body_seconds / 4, self.keep_alive_seconds / 4)


class Patrol:
    """Looks at each connection of a server once in `Bounds.look_seconds`.

    Args:
        bounds: of all its connections.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._connections: set[Connection] = set()
        self._ahead: list[Connection] = []
        self._share = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._schedule(connection.loop)

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.bounds.look_seconds / STEPS, self._go_on, loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Looks at its share of those who were there when the round began."""
        if not self._connections:
            self._timer = None
            self._ahead.clear()
            return
        self._schedule(loop)
        if not self._ahead:
            self._ahead = list(self._connections)
            self._share = math.ceil(len(self._ahead) / STEPS)
        now = loop.time()
        for _ in range(min(self._share, len(self._ahead))):
            connection = self._ahead.pop()
            if connection in self._connections:
                connection.look(now)


class _Flow(FlowControl):
    """Reads nothing while requests wait that were read already."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, bounded."""

    def __init__(self, patrol: Patrol, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.patrol = patrol
        self.bounds = patrol.bounds
        self.phase = IDLE
        self.messages = 0
        self.received = 0
        self.of_body = 0  # bytes of the body so far
        self.chunk = 0  # bytes that came last
        self.first = 0  # bytes that came together with the beginning of the message
        self.since_head = 0  # `received`, when it began
        self.ended = 0  # `received`, when the last message was complete
        self.deaf = False
        self._seen: tuple[object, ...] = ()
        self._since = 0.0
        self._mark = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = _Flow(self.transport, self.pipeline)
        if len(self.connections) > self.bounds.max_connections and not self._make_room():
            self._refuse(503, "busy", "No room at present", "This server has as many connections as it may have.")
        self.patrol.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.patrol.remove(self)

    def eof_received(self) -> None:
        if self.deaf:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.chunk = len(data)
        self.received += self.chunk
        if self.deaf:
            return
        super().data_received(without_offer(data) if self.phase == IDLE else data)
        if self.phase == HEAD and self.received - self.since_head > self.bounds.max_header_bytes:
            self._refuse_head()
        elif self.phase == BODY and self._framing() > self.bounds.max_header_bytes + FRAMING * self.of_body:
            detail = "The body consists of little but what surrounds it: extensions of chunks, or trailers."
            self._spoil(MalformedBody(detail))

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.messages += 1
        self.first = self.chunk
        self.since_head = self.received
        self.of_body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        bounds = self.bounds
        if len(self.headers) > bounds.max_headers or len(self.pipeline) >= MAX_PIPELINED:
            raise Refusal
        if self.first + self.received - self.since_head > bounds.max_header_bytes:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > bounds.max_header_bytes:
                raise Refusal
        self.phase = BODY
        self.since_head = self.received
        super().on_headers_complete()
        # What follows the body as a trailer is no header of the request.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self.of_body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.phase = IDLE
        self.ended = self.received
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called for whatever cannot be parsed, which includes what a callback has refused."""
        if self.phase == HEAD and self._is_refused():
            self._refuse_head()
        elif self.phase == BODY and self._busy:
            self._spoil(MalformedBody("The body is not in the chunks that it claims to be in."))
        else:
            self._refuse(400, "malformed_request", "This is not HTTP", msg)

    def on_response_complete(self) -> None:
        """In place of uvicorn's, which sets a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.phase == IDLE:
            self.ended = self.received  # some clients end a body with an empty line
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self.deaf:
            self._finish()
        elif self.phase == BODY and self.expect_100_continue and not self.of_body and not self._busy:
            # The client was never told to send the body: what comes next would be taken for it.
            self._end()

    def _is_refused(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return len(self.headers) > self.bounds.max_headers or size > self.bounds.max_header_bytes

    def _framing(self) -> int:
        """Bytes of the body that are none of its content; without those that came together with the head."""
        return self.received - self.since_head - self.of_body

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # --- once a second ----------------------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Whether the connection waits for another request, of which nothing has come yet."""
        waits = self.phase == IDLE and self.messages > 0 and self.received == self.ended
        return waits and not (self._busy or self.deaf or self.transport.is_closing())

    def look(self, now: float) -> None:
        """Ends the connection if it is the client's turn, and has been for too long; now is by the clock of the loop."""
        unsent = self.transport.get_write_buffer_size()
        state = (self.phase, self.messages, self._busy, self.deaf, bool(unsent), self.transport.is_closing())
        if state != self._seen:
            self._seen, self._since, self._mark = state, now, unsent or self.received
            return
        waited = now - self._since
        if unsent:
            self._check_reader(waited, unsent)
        elif self.deaf or self.transport.is_closing():
            if waited >= LINGER_SECONDS:
                self.transport.abort()
        elif self.phase == BODY and not self._busy:
            if waited >= LINGER_SECONDS:
                self._end()
        elif self.phase == BODY:
            self._check_body(waited)
        elif self._busy:
            return  # the server's turn
        elif self.resting:
            if waited >= self.bounds.keep_alive_seconds:
                self._end()
        elif waited >= self.bounds.header_seconds:
            detail = f"The header was not complete within {self.bounds.header_seconds:g} s."
            self._refuse(408, "too_slow", "The request did not arrive in time", detail)

    def _check_body(self, waited: float) -> None:
        if waited < self.bounds.body_seconds:
            return
        arrived = self.received - self._mark
        self._since, self._mark = self._since + waited, self.received
        if arrived >= self.bounds.min_bytes_per_second * waited or self.flow.read_paused:
            return
        if request_state(self.scope).body_error is not None:  # type: ignore[arg-type]
            self.transport.abort()
        else:
            self._spoil(TooSlow("The body came too slowly, or not at all (LOSSMETER_BODY_SECONDS)."))

    def _check_reader(self, waited: float, unsent: int) -> None:
        if waited < self.bounds.body_seconds:
            return
        taken = self._mark - unsent
        self._since, self._mark = self._since + waited, unsent
        if taken < self.bounds.min_bytes_per_second * waited:
            self.transport.abort()

    # --- refusing ---------------------------------------------------------------------------------------------------------

    def _make_room(self) -> bool:
        """Closes a connection that only waits for another request."""
        for other in self.connections:
            if isinstance(other, Connection) and other.resting:
                other._end()
                return True
        return False

    def _end(self) -> None:
        self.transport.close()

    def _finish(self) -> None:
        """Sends what is written, and says that this was all."""
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

    def _spoil(self, error: LossmeterError) -> None:
        """Leaves it to whoever waits for the rest of the body to say that it will not come, and hears nothing any more."""
        self.deaf = True
        request_state(self.scope).body_error = error  # type: ignore[arg-type]
        self.cycle.message_event.set()

    def _refuse_head(self) -> None:
        bounds = self.bounds
        detail = (
            f"The header is larger than {bounds.max_header_bytes} bytes, or has more than {bounds.max_headers} fields."
        )
        self._refuse(431, "header_too_large", "The header is over a limit", detail)

    def _refuse(self, status: int, code: str, title: str, detail: str) -> None:
        """Answers without the application, and hears nothing any more."""
        self.deaf = True
        if self._busy:
            # An answer to something else is under way: another in its midst would be taken for a part of it.
            self._end()
            return
        request_id = secrets.token_hex(8)
        content = problems.body(status, code, title, detail, request_id)
        headers = [
            *(self.server_state.default_headers),
            *ALWAYS,
            (b"content-type", problems.MEDIA_TYPE.encode("ascii")),
            (b"content-length", b"%d" % len(content)),
            (b"x-request-id", request_id.encode("ascii")),
            (b"connection", b"close"),
        ]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + content)
        self.logger.info("Refused with %d: %s", status, detail)
        if status == 408:
            self.transport.close()
        else:
            # What the client is sending has to be taken, or it would not get to read the answer.
            self._finish()


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told about connections."""
    return {
        "http": partial(Connection, Patrol(Bounds.of(settings))),
        "ws": "none",
        "server_header": False,
        "ssl_certfile": settings.tls_certificate or None,
        "ssl_keyfile": settings.tls_key or None,
    }
