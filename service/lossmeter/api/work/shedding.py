"""Refusing at the door: while the event loop cannot keep up, a small request is answered before it becomes one.

To parse a request, to make a task for it and to send it through the application costs a quarter of answering it. A refusal here
costs a tenth, so that at twice the capacity most of the time still goes into answers. Only what is whole, plain and for the
routes of tensors is recognised; all else takes the ordinary way.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson

from lossmeter.api import problems
from lossmeter.api.messages.headers import ALWAYS
from lossmeter.api.serving import connections
from lossmeter.api.serving.connections import IDLE, Bounds, Connection
from lossmeter.api.watching import logs
from lossmeter.api.watching.pulse import CROWD, Pulse
from lossmeter.api.watching.tallies import Tallies
from lossmeter.api.work.admission import MAX_LATE_SECONDS, too_late
from lossmeter.settings import Settings

STATE = "lossmeter.refusals"
ROUTES = (b"POST /v1/losses/", b"POST /v2/models/", b"POST /v1/evaluate ")
UNUSUAL = re.compile(
    rb"\r\n(?:transfer-encoding|content-encoding|expect|connection|upgrade)[ \t]*:|\r\n[ \t]|\x00", re.IGNORECASE
)
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,7})[ \t]*(?=\r\n)", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*\r\n", re.IGNORECASE)


class Refusals:
    """Says when to refuse, what, and counts it."""

    def __init__(self, pulse: Pulse, tallies: Tallies) -> None:
        self.pulse = pulse
        self.tallies = tallies
        self._log_access = logs.access.isEnabledFor(logging.INFO)

    def answer(
        self, data: bytes, headers: Iterable[tuple[bytes, bytes]], client: tuple[str, int] | None
    ) -> bytes | None:
        """The refusal of what arrived, if it is a whole request and too many have come; headers are those of all answers.

        A pause in which few requests were answered (a collection of garbage, a process that was stopped) is no overload.
        """
        if self.pulse.behind() <= MAX_LATE_SECONDS or self.tallies.total - self.pulse.mark < CROWD:
            return None
        end = data.find(b"\r\n\r\n") + 2
        if end < 2 or not data.startswith(ROUTES):
            return None
        head = data[:end]
        lengths = LENGTH.findall(head)
        line, _, _ = head.partition(b"\r\n")
        if UNUSUAL.search(head) or len(lengths) != 1 or not line.endswith(b" HTTP/1.1") or line.count(b" ") != 2:
            return None
        return self._written(line, head, client, headers) if len(data) == end + 2 + int(lengths[0]) else None

    def _written(
        self, line: bytes, head: bytes, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> bytes:
        path = line.split(b" ")[1].partition(b"?")[0]
        given = REQUEST_ID.search(head)
        request_id = given[1] if given else secrets.token_hex(8).encode("ascii")
        error = too_late(self.pulse.behind())
        if path.startswith(problems.OPEN_INFERENCE.encode("ascii")):
            content, media_type = orjson.dumps({"error": error.detail}), b"application/json"
        else:
            content = problems.body(503, error.code, error.title, error.detail, request_id.decode("ascii"))
            media_type = problems.MEDIA_TYPE.encode("ascii")
        scope = {
            "method": "POST",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "client": client,
            "lossmeter.code": error.code,
            "lossmeter.request_id": request_id.decode("ascii"),
        }
        self.tallies.count(scope, 503, 0.0, len(content))
        if self._log_access:
            logs.answered(scope, 503, 0.0, len(content))
        lines = [
            *headers,
            *ALWAYS,
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(content)),
            (b"retry-after", b"%d" % (error.retry_after_seconds or 1)),
            (b"x-request-id", request_id),
            (b"server-timing", b"decode;dur=0, compute;dur=0, encode;dur=0"),
        ]
        return b"HTTP/1.1 503 Service Unavailable\r\n%s\r\n%s" % (
            b"".join(b"%s: %s\r\n" % one for one in lines),
            content,
        )


class Shedding(Connection):
    """A bounded connection that asks `Refusals` first, between two requests."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.refusals: Refusals | None = self.app_state.get(STATE)

    def data_received(self, data: bytes) -> None:
        if self.refusals is not None and self.phase == IDLE and not self._busy and not self.deaf:
            answer = self.refusals.answer(data, self.server_state.default_headers, self.client)
            if answer is not None:
                self.received += len(data)
                self.messages += 1
                self.transport.write(answer)
                self.on_response_complete()
                return
        super().data_received(data)


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told about connections."""
    return {**connections.options(settings), "http": partial(Shedding, Bounds.of(settings))}
