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
from lossmeter.scheduling import garbage
from lossmeter.telemetry import logs
from lossmeter.telemetry.counters import CLIENT_GONE, Counters
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.request import RequestState, request_state

log = logging.getLogger(__name__)

LOST = "The device failed while it computed. This worker is replaced."
ACCEPTABLE_ID = re.compile(rb"[!-~]{1,128}")


class Envelope:
    """Gives every answer `X-Request-ID` and `Server-Timing`, and counts it, as ASGI middleware.

    Args:
        app: answers.
        counters: count requests.
        readiness: ends if the device is lost.
    """

    def __init__(self, app: ASGIApp, counters: Counters, readiness: Readiness) -> None:
        self.app = app
        self.counters = counters
        self.readiness = readiness
        self._log_access = logs.access.isEnabledFor(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = perf_counter()
        request_id = _choose_request_id(scope)
        state = request_state(scope)
        state.request_id = request_id.decode("ascii")
        logs.REQUEST_ID.set(state.request_id)
        status, sent = 0, 0

        async def send_completed(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id))
                headers.append((b"server-timing", _server_timing(state, begin)))
                headers.extend(ALWAYS)
                if self.readiness.draining:
                    headers.append((b"connection", b"close"))
            await send(message)

        self.counters.in_flight += 1
        try:
            await self.app(scope, receive, send_completed)
        except ClientGone:
            log.info("request %s: the client hung up before its request was complete", state.request_id)
            status = CLIENT_GONE
        except LossmeterError as error:
            if status:
                raise
            await problems.answer(error, scope)(scope, receive, send_completed)
            garbage.release_frames(error, state.received_bytes)
        except Exception as error:
            # The boundary of the service: a bug ends one request, not the worker.
            # A path may hold line breaks, which could pass for lines of the log.
            log.exception("request %s: %s %a", state.request_id, scope["method"], scope["path"])
            answer = self._answer(error, scope)
            if status:
                raise
            await answer(scope, receive, send_completed)
            garbage.release_frames(error, state.received_bytes)
        finally:
            self.counters.in_flight -= 1
            self._record(
                scope, status or CLIENT_GONE, perf_counter() - (begin if state.arrived is None else state.arrived), sent
            )

    def _answer(self, error: Exception, scope: Scope) -> Response:
        if not devices.is_lost(error):
            return problems.internal(scope)
        self.readiness.give_up("The device failed and cannot be used by this process any more.")
        return problems.answer(DeviceLost(LOST), scope)

    def _record(self, scope: Scope, status: int, seconds: float, sent: int) -> None:
        self.counters.count(scope, status, seconds, sent)
        if self._log_access:
            logs.log_access(scope, status, seconds, sent)


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
