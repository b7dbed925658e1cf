"""Bounds connections: how much a client may send before its request is complete, and how long it may take over it.

uvicorn bounds neither. What is done here for each request is a few additions; timeouts are checked once a second by a monitor.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lossmeter.api import problems
from lossmeter.api.body import ClientGone
from lossmeter.errors import Busy, LossmeterError, MalformedBody, TooSlow
from lossmeter.scheduling.arrivals import FLOOR_BYTES_PER_SECOND
from lossmeter.serving.answers import encode_answer
from lossmeter.serving.crowding import make_room
from lossmeter.serving.filling import Filling
from lossmeter.serving.flow import Flow
from lossmeter.serving.monitor import ConnectionMonitor
from lossmeter.serving.upgrades import Offers
from lossmeter.telemetry.request import request_state

IDLE, HEAD, BODY = range(3)
LINGER_SECONDS = 3.0
"""Time for which what nobody will read any more is still taken, so that the client gets to read the answer."""
MAX_PIPELINED = 100
"""Requests that wait for those before them on the same connection; the one after them is answered with 429."""
EMPTY_LINE = (b"\r\n", b"\r", b"\n")
"""What one read of the socket brings of an empty line."""
FRAMING = 8
"""Bytes around each byte of a body, at the most: a chunk of one byte has five."""


class HeadTooLarge(Exception):
    """Ends parsing of a head over a limit; the parser reports it as something that cannot be parsed."""


class NotHttp(Exception):
    """Ends parsing of what is no request, in the same way."""


class OneTooMany(Exception):
    """Ends parsing where a request was refused already."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, bounded.

    Attributes:
        phase: the part of a message that comes next: IDLE before its first byte.
        messages: requests that have begun.
        received: bytes so far; `read_size` of them came last, `body_size` belong to the body of this message.
        part_start: `received` when the head, or the body, began; `message_end` when the last message was complete,
            with an empty line after its body.
        discarding: set once nothing that comes is read any more.
        half_closed: set once the client has said that it sends no more; it may still read.
        refusal: what is said after the answers that are owed to the requests before it.
    """

    flow: Flow

    def __init__(self, monitor: ConnectionMonitor, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.monitor = monitor
        self.bounds = monitor.bounds
        self.phase = IDLE
        self.messages = self.received = self.read_size = self.body_size = self.part_start = self.message_end = 0
        self.discarding = self.half_closed = False
        self.refusal = b""
        self._filling: Filling | None = None
        self._missed = False  # the parser is being told what was read past it
        self._offers = Offers()
        self._first_size = 0  # bytes that came together with the beginning of the message
        self._state: tuple[object, ...] = ()  # at the last check, since when, and how far it was
        self._since = 0.0
        self._progress = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.flow = Flow(self.transport, self.pipeline)
        if len(self.connections) > self.bounds.max_connections and not make_room(
            self.connections, self, self.loop.time()
        ):
            self._refuse(503, "busy", "No room at present", "This server has as many connections as it may have.")
        self.monitor.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.monitor.remove(self)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Leaves the connection open for answers to whole requests; TLS has no such state."""
        if self.answering and self.scheme == "http" and (self.discarding or self.phase == IDLE):
            self.half_closed = True
            return True
        if self.discarding:
            self.transport.close()
        return None

    def data_received(self, data: bytes) -> None:
        self.read_size = len(data)
        self.received += self.read_size
        if self.discarding:
            return
        try:
            self.parser.feed_data(
                data if self.phase == BODY else self._offers.remove(data, self.bounds.max_header_bytes)
            )
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self.phase == HEAD and self.received - self.part_start > self.bounds.max_header_bytes:
            self._refuse_head()
        elif self.phase == BODY and self._framing_size() > self.bounds.max_header_bytes + FRAMING * self.body_size:
            detail = "The body consists of little but what surrounds it: extensions of chunks, or trailers."
            self._fail_body(MalformedBody(detail))
        elif self.phase == BODY:
            request_state(self.scope).fill = self._fill  # type: ignore[arg-type]
        elif (
            data in EMPTY_LINE
            and self.phase == IDLE
            and self.body_size
            and self.message_end == self.received - self.read_size
        ):
            self.message_end = self.received  # some clients end a body with an empty line

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.messages += 1
        self._first_size = self.read_size
        self.part_start = self.received
        self.body_size = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        bounds = self.bounds
        if len(self.headers) > bounds.max_headers:
            raise HeadTooLarge
        arrived = self._first_size + self.received - self.part_start
        if arrived > bounds.max_header_bytes and self._head_size() > bounds.max_header_bytes:
            raise HeadTooLarge
        if self.parser.should_upgrade() or not self._has_one_host():
            raise NotHttp
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse_surplus()
            raise OneTooMany
        self.phase = BODY
        self.part_start = self.received
        self.begin_request()
        # What follows the body as a trailer is no header of the request.
        self.headers = []

    def begin_request(self) -> None:
        """Hands the request, whose head is complete and within the bounds, to the application."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._missed:
            self.body_size += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        self.phase = IDLE
        self.message_end = self.received
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers whatever cannot be parsed, which includes what a callback has refused."""
        bounds = self.bounds
        if self.discarding:
            return
        if self.phase == HEAD and (
            len(self.headers) > bounds.max_headers or self._head_size() > bounds.max_header_bytes
        ):
            self._refuse_head()
        elif self.phase == BODY and self.answering:
            self._fail_body(MalformedBody("The body is not in the chunks that it claims to be in."))
        else:
            if self.phase == HEAD and not self._has_one_host():
                msg = "A request names the host that it is for, in one field `Host` (RFC 9112, 3.2)."
            self._refuse(400, "malformed_request", "This is not HTTP", msg)

    def on_response_complete(self) -> None:
        """Goes on to the next request; in place of uvicorn's, which sets a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.discarding or self.half_closed:
            if self.refusal:
                self.transport.write(self.refusal)
            self._send_eof()
        elif self.phase == BODY and self.expect_100_continue and not self.body_size and not self.answering:
            # The client was never told to send the body: what comes next would be taken for it.
            self.transport.close()

    def _has_one_host(self) -> bool:
        """Returns whether the head has the field `Host` once; HTTP/1.0 may do without."""
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        return hosts == 1 or (not hosts and self.parser.get_http_version() == "1.0")

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _framing_size(self) -> int:
        """Bytes of the body that are none of its content; without those that came together with the head."""
        return self.received - self.part_start - self.body_size

    @property
    def answering(self) -> bool:
        """True while a request has no complete answer."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def idle(self) -> bool:
        """True while the connection waits for another request, of which nothing has come yet."""
        waits = self.phase == IDLE and self.messages > 0 and self.received == self.message_end
        return waits and not (self.answering or self.discarding or self.flow.resting or self.transport.is_closing())

    def silence(self, now: float) -> float:
        """Returns for how long it has been the turn of a client that sends next to nothing; 0 if it is not."""
        if self.discarding or self.transport.is_closing() or self.half_closed or self.flow.resting:
            return 0.0
        waited = now - self._since if self._since else 0.0
        if self.phase == BODY:
            pace = (self.received - self._progress) / (waited or 1.0)
            return waited if self.answering and pace < FLOOR_BYTES_PER_SECOND and not self.flow.read_paused else 0.0
        return 0.0 if self.answering or self.idle else waited

    @property
    def resting_since(self) -> float:
        """When it began to rest, by the clock of the loop; infinite if it does not, or owes an answer."""
        owes = self.answering or self.transport.is_closing()
        return math.inf if owes else self.flow.resting_since

    def wake(self) -> None:
        """Reads again after a rest; from now on it may be the turn of the client."""
        self._state, self._since = (), 0.0
        self.flow.wake()

    def give_way(self) -> None:
        """Ends what its client does not go on with, so that another connection has its place."""
        if self.idle or self.flow.resting:
            self.transport.close()
        elif self.phase == BODY:
            self._fail_body(Busy("The body came slowly, and others needed the connection."))
        else:
            self._refuse(408, "too_slow", "The request did not arrive in time", "Others needed the connection.")

    # --- past the parser --------------------------------------------------------------------------------------------------

    async def _fill(self, memory: memoryview, arrived: Callable[[int], None]) -> None:
        """Reads the rest of a body, which is as long as the memory, into it."""
        if self.transport.is_closing():
            raise ClientGone
        self._filling = Filling(self, memory, arrived)
        try:
            await self._filling.run()
        finally:
            self._filling = None

    def take_over(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands everything that the socket brings to another protocol, or back to itself."""
        self.flow.pause_reading()  # transports ask a protocol for its kind when they begin to read
        self.transport.set_protocol(protocol)
        self.flow.resume_reading()

    def count_filled(self, size: int) -> None:
        """Counts bytes of the body that came."""
        self.received += size
        self.body_size += size

    def end_filled(self) -> None:
        """Goes on behind a body that is whole; the parser, which waits for the rest of it, is no longer needed."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.on_message_complete()

    def tell_missed(self, piece: memoryview) -> None:
        """Tells the parser what was read past it, as the body will not be whole."""
        self._missed = True
        self.parser.feed_data(piece)
        self._missed = False

    # --- once a second ----------------------------------------------------------------------------------------------------

    def check_timeouts(self, now: float) -> None:
        """Ends the connection if it is the client's turn, and has been for too long; now is by the clock of the loop."""
        if self.flow.resting:  # the turn of the server, whatever has come
            return
        unsent = self.transport.get_write_buffer_size()
        closing = self.transport.is_closing()
        state = (self.phase, self.messages, self.answering, self.discarding, bool(unsent), closing)
        if state != self._state:
            self._state, self._since, self._progress = state, now, unsent or self.received
            return
        waited = now - self._since
        if unsent:
            if self._is_slow(waited, self._progress - unsent, unsent):
                self.transport.abort()
        elif self.discarding and self.answering and not closing:
            pass  # the turn of the server
        elif self.discarding or closing:
            if waited >= LINGER_SECONDS:
                self.transport.abort()
        elif self.phase == BODY:
            self._check_body(waited)
        elif not self.answering:  # otherwise it is the server's turn
            self._check_head(waited)

    def _check_head(self, waited: float) -> None:
        if self.idle:
            if waited >= self.bounds.keep_alive_seconds:
                self.transport.close()
        elif waited >= self.bounds.header_seconds:
            detail = f"The header was not complete within {self.bounds.header_seconds:g} s."
            self._refuse(408, "too_slow", "The request did not arrive in time", detail)

    def _check_body(self, waited: float) -> None:
        if not self.answering:
            if waited >= LINGER_SECONDS:
                self.transport.close()
        elif self._is_slow(waited, self.received - self._progress, self.received) and not self.flow.read_paused:
            if request_state(self.scope).body_error is not None:  # type: ignore[arg-type]
                self.transport.abort()
            else:
                self._fail_body(TooSlow("The body came too slowly, or not at all (LOSSMETER_BODY_SECONDS)."))

    def _is_slow(self, waited: float, progress: int, reached: int) -> bool:
        """Judges the pace, and begins to measure anew, whenever `body_seconds` have passed."""
        if waited < self.bounds.body_seconds:
            return False
        self._since, self._progress = self._since + waited, reached
        return progress < self.bounds.min_bytes_per_second * waited

    # --- refusing ---------------------------------------------------------------------------------------------------------

    def _send_eof(self) -> None:
        """Sends what is written, and says that this was all; closes what has nothing more to read either."""
        if self.half_closed:
            self.transport.close()
        elif self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

    def _fail_body(self, error: LossmeterError) -> None:
        """Leaves it to whoever waits for the rest of the body to say that it will not come, and reads nothing any more."""
        self.discarding = True
        request_state(self.scope).body_error = error  # type: ignore[arg-type]
        self.cycle.message_event.set()
        if self._filling is not None:
            self._filling.fail(error)

    def _refuse_surplus(self) -> None:
        """Answers the request that is one too many of those that wait, and none after it."""
        detail = (
            f"{MAX_PIPELINED} requests of this connection waited already; send no more before their answers are there."
        )
        self._refuse(429, "too_many_requests", "Too many requests", detail)

    def _refuse_head(self) -> None:
        bounds = self.bounds
        detail = (
            f"The header is larger than {bounds.max_header_bytes} bytes, or has more than {bounds.max_headers} fields."
        )
        self._refuse(431, "header_too_large", "The header is over a limit", detail)

    def _refuse(self, status: int, code: str, title: str, detail: str) -> None:
        """Answers without the application, after those that are owed, and reads nothing any more."""
        self.discarding = True
        request_id = secrets.token_hex(8)
        content = problems.encode_problem(status, code, title, detail, request_id)
        headers = [(b"connection", b"close"), *([(b"retry-after", b"1")] if status in (429, 503) else ())]
        answer = encode_answer(
            status, content, problems.MEDIA_TYPE, request_id, self.server_state.default_headers, headers
        )
        self.logger.info("Refused with %d: %s", status, detail)
        if self.answering:
            self.refusal = answer
            return
        self.transport.write(answer)
        if status == 408:
            self.transport.close()
        else:
            # What the client is sending has to be taken, or it would not get to read the answer.
            self._send_eof()
