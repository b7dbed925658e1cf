"""Connections that answer small requests by themselves, without a task and without ASGI messages."""

from __future__ import annotations

from time import perf_counter
from typing import Any, cast

from starlette.types import ASGIApp, Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lossmeter.api.direct import DirectWay
from lossmeter.api.operation import Pieces
from lossmeter.errors import Busy, LossmeterError
from lossmeter.scheduling.admission import Reservation
from lossmeter.serving.answers import encode_head
from lossmeter.serving.shedding import LoadShedder, SheddingConnection
from lossmeter.telemetry.request import request_state


class DirectConnection(SheddingConnection):
    """A connection that sheds load, and answers small requests by itself.

    A request whose body is not whole yet is held until it is, and counts as any other; after two seconds at most it takes the
    ASGI way, which judges its pace.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.direct: DirectWay | None = self.app_state.get("direct")
        self._held: tuple[RequestResponseCycle, ASGI3Application] | None = None
        self._held_before: object = None  # at the last check
        self._held_room: Reservation | None = None
        self._direct_cycle: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        scope = cast(Scope, cycle.scope)
        if self.direct is None or app is not self.app or not self.direct.takes(scope):
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            request_state(scope).arrived = perf_counter()
            self._held = cycle, app
        else:
            # It was waiting for others of its connection. One a turn: were it begun here, at the end of the one before it,
            # a hundred would lie on top of each other.
            self._direct_cycle = cycle
            self.loop.call_soon(super()._start_asgi_task, cycle, app)

    def begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle is self._direct_cycle:
            self._direct_cycle = None
            # What the client does not read of earlier answers holds memory; the ASGI way waits until it does.
            if self.direct is not None and not (cycle.disconnected or self.flow.write_paused):
                scope = cast(Scope, cycle.scope)
                if self.direct.answer(scope, cycle.body, _CycleReply(self, cycle)):
                    return
        super().begin(cycle, app)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._held is not None:
            self._direct_cycle = self.cycle
            self._release()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._held is not None and self.shedder is not None:  # more than one read of the socket
            self._reserve(self.shedder, len(self._held[0].body))

    def _reserve(self, shedder: LoadShedder, size: int) -> None:
        """Counts the request that is held, and the bytes of its body that are there."""
        if self._held_room is None:
            self._held_room = shedder.limits.reserve()
            shedder.counters.in_flight += 1
        try:
            self._held_room.grow(size - self._held_room.size)
        except Busy:
            self._release()  # to be refused

    def check_timeouts(self, now: float) -> None:
        if self._held is not None and self._held is self._held_before:
            self._release()
        self._held_before = self._held
        super().check_timeouts(now)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._release()

    def _fail_body(self, error: LossmeterError) -> None:
        super()._fail_body(error)
        self._release()

    def _release(self) -> None:
        """Begins the request that was held, if there is one."""
        if self._held is not None:
            if self._held_room is not None and self.shedder is not None:
                self._held_room.close()
                self._held_room = None
                self.shedder.counters.in_flight -= 1
            (cycle, app), self._held = self._held, None
            super()._start_asgi_task(cycle, app)


class _CycleReply:
    """Answers the request of one cycle."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: DirectConnection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle

    def write(self, status: int, headers: list[tuple[bytes, bytes]], pieces: Pieces) -> None:
        """Writes a whole answer at once, as the cycle would write it in pieces."""
        cycle, connection = self._cycle, self._connection
        if cycle.disconnected:
            return
        cycle.body = bytearray()
        cycle.response_started = cycle.response_complete = True
        closing = (b"connection", b"close") in headers
        if not cycle.keep_alive and not closing:
            headers.append((b"connection", b"close"))
        if not connection.transport.is_closing():
            connection.transport.write(b"".join([encode_head(status, cycle.default_headers, headers), *pieces]))
            if closing or not cycle.keep_alive:
                connection.transport.close()
        cycle.on_response()

    def proceed(self, app: ASGIApp) -> None:
        """Leaves the answer to an ASGI application."""
        self._connection.start_task(self._cycle, cast(ASGI3Application, app))
