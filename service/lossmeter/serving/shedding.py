"""Refuses, between its head and its body, a request that cannot be taken up in good time; queues what is let in.

It pays: a refusal here takes 21 µs of the processor, through the application 130 µs.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, NamedTuple

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lossmeter.api import problems
from lossmeter.api.addresses import OPEN_INFERENCE
from lossmeter.api.direct import UNUSUAL
from lossmeter.api.envelope import ACCEPTABLE_ID
from lossmeter.errors import Busy
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.request_queue import RequestQueue, overload_error
from lossmeter.serving.answers import encode_answer
from lossmeter.serving.connections import IDLE, Connection
from lossmeter.telemetry import logs
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.request import SCOPE_KEY, RequestState, request_state

ROUTES = (b"/v1/losses/", b"/v2/models/")
EVALUATE = b"/v1/evaluate"
QUEUED_METHODS = frozenset(("POST", "PUT", "PATCH"))
SLOT = "@"
"""Stands for a character of the id in an answer that is encoded once for many; nowhere else in it."""
LAST_CALL_SECONDS = 0.1
"""Time in which what a client sent while nobody listened is read before its connection ends."""
NO_TIME = b"decode;dur=0, compute;dur=0, encode;dur=0"


class PlainHead(NamedTuple):
    """The head of a plain request for a route of tensors.

    Attributes:
        path: without the query.
        size: of the body.
        request_id: the client's, or a new one.
    """

    path: bytes
    size: int
    request_id: str


class LoadShedder:
    """Decides which requests to refuse; encodes and counts the refusals."""

    def __init__(self, queue: RequestQueue, counters: Counters, limits: Limits, readiness: Readiness) -> None:
        self.queue = queue
        self.counters = counters
        self.limits = limits
        self.readiness = readiness
        self._log_access = logs.access.isEnabledFor(logging.INFO)

    def overload(self) -> tuple[Busy, range] | None:
        """Returns the error for those that come now, and the sizes of the bodies that it holds for."""
        late = self.queue.lateness()
        busy = overload_error(late) if late else self.limits.pool.refusal()
        if busy is None or self.readiness.draining:
            return None
        return busy, range(0 if late else self.limits.inline_bytes + 1, self.limits.max_body_bytes + 1)

    def refuse(self, error: Busy, head: PlainHead, client: tuple[str, int] | None, headers: Any) -> bytes:
        """Counts a refusal, and returns the whole answer; headers are those of all answers."""
        path, request_id = head.path.decode("latin-1"), head.request_id
        slot = SLOT * len(request_id)
        answer, size = _encode_template(
            error.detail, error.retry_after_seconds, path.startswith(OPEN_INFERENCE), slot, tuple(headers)
        )
        scope = {
            "method": "POST",
            "path": path,
            "raw_path": head.path,
            "client": client,
            SCOPE_KEY: RequestState(request_id, error.code),
        }
        self.counters.count(scope, 503, 0.0, size)
        if self._log_access:
            logs.log_access(scope, 503, 0.0, size)
        return answer.replace(slot.encode("ascii"), request_id.encode("ascii"))


def needs_escaping(request_id: bytes) -> bool:
    """Tells whether an id stands in JSON with more characters than it has, for which a template has no room."""
    return b'"' in request_id or b"\\" in request_id


@lru_cache(64)
def _encode_template(
    detail: str,
    retry_after_seconds: int | None,
    open_inference: bool,
    slot: str,
    headers: tuple[tuple[bytes, bytes], ...],
) -> tuple[bytes, int]:
    """Encodes a refusal with a slot for the id of the request; returns it, and the size of its content."""
    if open_inference:
        content, media_type = orjson.dumps({"error": detail}), "application/json"
    else:
        content = problems.encode_problem(503, Busy.code, Busy.title, detail, slot)
        media_type = problems.MEDIA_TYPE
    own = ((b"retry-after", str(retry_after_seconds).encode("ascii")), (b"server-timing", NO_TIME))
    return encode_answer(503, content, media_type, slot, headers, own), len(content)


def _shedder(state: Mapping[str, Any]) -> LoadShedder | None:
    """Returns what refuses for an application that says how in the state of its lifespan; None for any other."""
    if "queue" not in state:
        return None
    return LoadShedder(state["queue"], state["counters"], state["limits"], state["readiness"])


class SheddingConnection(Connection):
    """A bounded connection that sheds load."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shedder = _shedder(self.app_state)
        self.refused = False  # the request whose body comes now

    def begin_request(self) -> None:
        overloaded = self.shedder and self.shedder.overload()
        if self.shedder is None or not overloaded or self.answering or self.flow.write_paused:
            super().begin_request()
            return
        error, sizes = overloaded
        head = self._plain_head()
        if head is None or head.size not in sizes:
            super().begin_request()
            return
        self.refused = True
        self.transport.write(self.shedder.refuse(error, head, self.client, self.server_state.default_headers))

    def on_body(self, body: bytes) -> None:
        if self.refused:
            self.body_size += len(body)  # heard out, so that the client gets to read the answer; not for ever
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.refused:
            self.refused = False
            self.phase = IDLE
            self.message_end = self.received
            self.on_response_complete()
            self.rest()
        else:
            super().on_message_complete()
            if not self.answering:  # answered before its body was whole
                self.rest_if_refused(request_state(self.scope))  # type: ignore[arg-type]

    def end_late(self, state: RequestState) -> None:
        """Goes on after the answer to a request that came with too many others."""
        self.on_response_complete()
        self.rest_if_refused(state)

    def rest_if_refused(self, state: RequestState) -> None:
        """Rests unless the request got another answer: it may need no room, or no longer be wanted."""
        if state.error_code == Busy.code:
            self.rest()

    def rest(self) -> None:
        """Reads no further for a while, if the queue is late: refusing whoever asks at once again would take all the time."""
        if self.shedder and self.shedder.queue.lateness() and self.phase == IDLE and not self.flow.resting:
            self.flow.rest(self.loop.time())
            self.shedder.queue.rest(self.wake)

    def shutdown(self) -> None:
        if self.flow.resting:
            self.wake()  # what has come meanwhile is still answered
            self.loop.call_later(LAST_CALL_SECONDS, self.shutdown)
        else:
            super().shutdown()

    def _plain_head(self) -> PlainHead | None:
        parser = self.parser
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        size, request_id = None, None
        for name, value in self.headers:
            if name in UNUSUAL:
                return None
            if name == b"content-length":
                size = int(value)
            elif name == b"x-request-id" and request_id is None and ACCEPTABLE_ID.fullmatch(value):
                if needs_escaping(value):
                    return None
                request_id = value.decode("ascii")
        path = self.url.partition(b"?")[0]
        if size is None or not (path.startswith(ROUTES) or path == EVALUATE):
            return None
        return PlainHead(path, size, request_id or secrets.token_hex(8))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        begin = partial(self.begin, cycle, app)
        state = request_state(cycle.scope)  # type: ignore[arg-type]
        if self.shedder is None or cycle.scope["method"] not in QUEUED_METHODS:
            begin()
        elif late := self.shedder.queue.lateness():
            state.late_seconds = late
            cycle.on_response = partial(self.end_late, state)
            begin()
        else:
            if state.arrived is None:
                state.arrived = perf_counter()
            self.shedder.queue.join(begin)

    def begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begins a request whose turn it is."""
        self.start_task(cycle, app)

    def start_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Leaves a request to an application."""
        if self.transport.is_closing():
            cycle.disconnected = True  # before uvicorn is told so: it would write to a transport that is gone
        super()._start_asgi_task(cycle, app)
