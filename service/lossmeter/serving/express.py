"""Connections that know the head of a request again, and take requests of known kinds past the parser."""

from __future__ import annotations

from functools import partial
from secrets import token_hex
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from lossmeter.api.express import ExpressWay, Traveller
from lossmeter.api.headers import ALWAYS
from lossmeter.api.heads import Head, Match
from lossmeter.api.lanes import Lane
from lossmeter.keys import Key
from lossmeter.serving.connections import IDLE
from lossmeter.serving.direct import DirectConnection
from lossmeter.serving.shedding import LoadShedder, PlainHead, needs_escaping
from lossmeter.telemetry.counters import CLIENT_GONE
from lossmeter.telemetry.request import SCOPE_KEY, RequestState, request_state

ANSWER = (
    b"%b%d\r\nx-request-id: %b\r\nserver-timing: %b\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in ALWAYS) + b"\r\n%b"
)


class ExpressConnection(DirectConnection):
    """A connection that leads whole requests of known kinds to the express way.

    Where that does not answer, the parser gets the very bytes that came, and all goes on as if nothing had been.

    Attributes:
        scope_of_head: of requests with the head that came last.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        express: ExpressWay | None = self.app_state.get("express")
        self.express = None if self.limit_concurrency is not None else express
        self.scope_of_head: Scope = {}
        self._head: Head | None = None
        self._needs_key = True  # for this head
        self._data = b""  # a request that travels, or whose body is not whole
        self._data_before = b""  # at the last check
        self._end = 0  # of that request
        self._travelling = self._ending = False
        self._later: list[bytes] = []  # what came after it
        self._admitted: Key | None = None
        self._defaults: object = None
        self._begin = b""

    @property
    def answering(self) -> bool:
        return bool(self._data) or super().answering

    def data_received(self, data: bytes) -> None:
        if self._data:
            self._receive_more(data)
            return
        express = self.express
        ready = self.phase == IDLE and self.received == self.message_end and not (self.answering or self.discarding)
        if express is None or not ready or self.transport.is_closing():
            super().data_received(data)
        elif not self._take(data, express):
            messages = self.messages
            super().data_received(data)
            if self._head is None and self.phase == IDLE and self.messages == messages + 1:
                self._learn(data, express)

    def begin_request(self) -> None:
        if self._admitted is not None:
            request_state(self.scope).key, self._admitted = self._admitted, None  # type: ignore[arg-type]
        super().begin_request()

    def check_timeouts(self, now: float) -> None:
        if self._data and self._data is self._data_before:
            self._give_up_waiting()
        self._data_before = self._data
        super().check_timeouts(now)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        self._give_up_waiting()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up_waiting()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._give_up_waiting()
        if self._data:
            self._ending = True
        else:
            super().shutdown()

    # --- coming -----------------------------------------------------------------------------------------------------------

    def _take(self, data: bytes, express: ExpressWay) -> bool:
        """Takes a request whose head is known; returns False if it is not for this way."""
        head = self._head
        match = None if head is None else head.match(data)
        if match is None:
            found = express.heads.find(data)
            if found is None:
                self._head = None
                return False
            head, match = found
            self._know(head, express)
        if self.flow.write_paused or express.readiness.draining:
            return False
        if self.shedder and self.shedder.queue.lateness():
            return len(data) == match.end and self._refuse_known(match, self.shedder)
        if len(data) < match.end <= match.begin + head.lane.most_bytes:  # type: ignore[union-attr]
            self._data, self._end = data, match.end
            return True
        if len(data) != match.end:
            return False
        self._data, self._end = data, match.end
        self._join(match, express)
        return True

    def _refuse_known(self, match: Match, shedder: LoadShedder) -> bool:
        """Refuses a request without its parser, which would take longer than the refusal; returns False if that needs it."""
        overloaded, size, request_id = shedder.overload(), match.end - match.begin, match.request_id or b""
        if overloaded is None or size not in overloaded[1] or needs_escaping(request_id):
            return False
        head = PlainHead(self.scope_of_head["raw_path"], size, request_id.decode("ascii") or token_hex(8))
        self._end, self.body_size = match.end, size
        self.transport.write(shedder.refuse(overloaded[0], head, self.client, self.server_state.default_headers))
        self._finish()
        self.rest()
        return True

    def _receive_more(self, data: bytes) -> None:
        if self._travelling:
            self._later.append(data)
            self.flow.pause_reading()
            return
        self._data += data
        if len(self._data) < self._end:
            return
        match = self._head.match(self._data) if self._head is not None else None
        if match is None or self.express is None or len(self._data) != self._end:
            self.hand_over()
        else:
            self._join(match, self.express)

    def _join(self, match: Match, express: ExpressWay) -> None:
        self.body_size = match.end - match.begin
        traveller = Traveller(self, match.request_id or express.new_id(), self.body_size)
        self._travelling = True
        if self.shedder is None:
            self._set_out(traveller, match.begin, express)
        else:
            self.shedder.queue.join(partial(self._set_out, traveller, match.begin, express))

    def _set_out(self, traveller: Traveller, begin: int, express: ExpressWay) -> None:
        assert self._head is not None
        admitted = not self._needs_key or self._admit(traveller.size, express)
        if not (admitted and express.take(self._head.lane, self._data[begin:], traveller)):
            self.hand_over()

    def _admit(self, size: int, express: ExpressWay) -> bool:
        """Asks for the key, and remembers one that was counted for the way that the request may take after all."""
        state = RequestState()
        admitted = express.admit({**self.scope_of_head, SCOPE_KEY: state}, size)
        self._admitted = state.key
        return admitted

    # --- going ------------------------------------------------------------------------------------------------------------

    def answer(self, lane: Lane, content: bytes, request_id: bytes, timing: bytes) -> bool:
        """Writes an answer; returns False if the request has to take another way after all, and has taken it."""
        assert self.express is not None
        if self._ending or self.express.readiness.draining:
            self.hand_over()
            return False
        defaults = self.server_state.default_headers
        if defaults is not self._defaults:
            self._defaults = defaults
            headers = [*defaults, *lane.headers]
            self._begin = STATUS_LINE[200] + b"".join([b"%b: %b\r\n" % pair for pair in headers]) + b"content-length: "
        if not self.transport.is_closing():
            self.transport.write(ANSWER % (self._begin, len(content), request_id, timing, content))
        self._finish()
        return True

    def _finish(self) -> None:
        """Notes that the request has its answer, and goes on."""
        self.messages += 1
        self.received += self._end
        self.message_end = self.received
        self.server_state.total_requests += 1
        self._admitted = None
        self._data = b""
        self._travelling = False
        if self._later:
            self._go_on()
        elif self.half_closed:
            self.transport.close()

    def hand_over(self) -> None:
        """Has the request take another way, from the beginning."""
        data, self._data = self._data, b""
        self._travelling = False
        if self.transport.is_closing():
            self._count_lost()
            return
        super().data_received(data)
        if self._ending:
            super().shutdown()
        self._go_on()

    def _give_up_waiting(self) -> None:
        """Hands over a request whose body is not whole: from here on its pace is judged."""
        if self._data and not self._travelling:
            data, self._data = self._data, b""
            super().data_received(data)

    def _go_on(self) -> None:
        """Receives what came meanwhile."""
        if self._later:
            data, self._later = b"".join(self._later), []
            self.flow.resume_reading()
            if not self.transport.is_closing():
                self.data_received(data)

    def _count_lost(self) -> None:
        if self._head is not None:
            self._head.lane.counters.add(CLIENT_GONE, 0.0, 0, 0, 0, None)

    # --- learning ---------------------------------------------------------------------------------------------------------

    def _know(self, head: Head, express: ExpressWay) -> None:
        """Remembers the head that came last, and what it means on this connection."""
        self._head = head
        self._defaults = None
        self.scope_of_head = {**head.scope, "server": self.server, "client": self.client}
        self._needs_key = express.access is not None and not express.access.is_open_to(self.scope_of_head)

    def _learn(self, data: bytes, express: ExpressWay) -> None:
        """Learns the head of a request that came whole, if it is one that needs nothing unusual."""
        scope: Scope = self.scope  # type: ignore[assignment]
        begun = self.cycle is not None and self.cycle.scope is scope  # it was not refused at the door
        if begun and self.direct is not None and self.direct.takes(scope):
            express.heads.learn(data, scope)
