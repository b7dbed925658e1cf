"""Gives every request an id, the time that it took, and an answer even to a bug."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossmeter.api import problems
from lossmeter.api.body import ClientGone
from lossmeter.api.headers import ALWAYS
from lossmeter.engine import devices
from lossmeter.errors import DeviceLost, LossmeterError
from lossmeter.keys.key import without_secrets
from lossmeter.scheduling import garbage
from lossmeter.telemetry import logs
from lossmeter.telemetry.counters import CLIENT_GONE, Counters
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.request import RequestState, request_state

log = logging.getLogger(__name__)

LOST = "The device failed while it computed. This worker is replaced."
ACCEPTABLE_ID = re.compile(rb"[!-~]{1,128}")


class Envelope:
    """Gives every answer `X-Request-ID` and `Server-Timing`, and counts it.

    Args:
        counters: count requests.
        readiness: ends if the device is lost.
    """

    def __init__(self, counters: Counters, readiness: Readiness) -> None:
        self.counters = counters
        self.readiness = readiness
        self.log_access = logs.access.isEnabledFor(logging.INFO)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wraps an application."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await Passage(self, scope).lead(app, receive, send)
            else:
                await app(scope, receive, send)

        return wrapped


class Passage:
    """The way of one request through the envelope; must be closed, or abandoned.

    Attributes:
        status: of the answer; 0 until it has begun.
        sent: how many bytes of the answer's body were sent.
    """

    __slots__ = ("_begin", "_envelope", "_request_id", "_scope", "sent", "state", "status")

    def __init__(self, envelope: Envelope, scope: Scope) -> None:
        self._begin = perf_counter()
        self._envelope = envelope
        self._scope = scope
        self._request_id = _choose_request_id(scope)
        self.state = request_state(scope)
        self.state.request_id = self._request_id.decode("ascii")
        self.status = self.sent = 0
        envelope.counters.in_flight += 1

    async def lead(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        """Leads the request through an application, and answers where that fails."""
        scope = self._scope
        logs.REQUEST_ID.set(self.state.request_id)

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.body":
                self.sent += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                self.status = message["status"]
                message.setdefault("headers", []).extend(self.headers())
            await send(message)

        try:
            await app(scope, receive, send_completed)
        except ClientGone as error:
            log.info("request %s: the client hung up before its request was complete", self.state.request_id)
            self.status = CLIENT_GONE
            garbage.release_frames(error, self.state.received_bytes)
        except Exception as error:
            answer = self.answer(error)
            if self.status:
                raise
            await answer(scope, receive, send_completed)
            garbage.release_frames(error, self.state.received_bytes)
        finally:
            self.close()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the headers that every answer has besides its own."""
        timing = (b"server-timing", _server_timing(self.state, self._begin))
        added = [(b"x-request-id", self._request_id), timing, *ALWAYS]
        if self._envelope.readiness.draining:
            added.append((b"connection", b"close"))
        return added

    def answer(self, error: Exception) -> Response:
        """Returns the answer to a request that failed.

        This is the boundary of the service: a bug ends one request, not the worker.
        """
        scope = self._scope
        if isinstance(error, LossmeterError):
            return problems.answer(error, scope)
        # A path may hold line breaks, which could pass for lines of the log.
        path = without_secrets(scope["path"])
        log.error("request %s: %s %a", self.state.request_id, scope["method"], path, exc_info=error)
        if not devices.is_lost(error):
            return problems.internal(scope)
        self._envelope.readiness.give_up("The device failed and cannot be used by this process any more.")
        return problems.answer(DeviceLost(LOST), scope)

    def abandon(self) -> None:
        """Undoes the beginning: the request takes another way."""
        self._envelope.counters.in_flight -= 1

    def close(self) -> None:
        """Counts the request, and logs it."""
        envelope, state = self._envelope, self.state
        envelope.counters.in_flight -= 1
        seconds = perf_counter() - (self._begin if state.arrived is None else state.arrived)
        envelope.counters.count(self._scope, self.status or CLIENT_GONE, seconds, self.sent)
        if envelope.log_access:
            logs.log_access(self._scope, self.status or CLIENT_GONE, seconds, self.sent)


def _choose_request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTABLE_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode("ascii")


def _server_timing(state: RequestState, begin: float) -> bytes:
    """Writes milliseconds by stage; where a route does not tell them apart, all of it is computing."""
    if state.stages is None:
        return b"decode;dur=0, compute;dur=%.3f, encode;dur=0" % ((perf_counter() - begin) * 1e3)
    return b"decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % state.stages
