"""What every request passes through: an id, the time that it took, and an answer even to a bug."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossmeter.api import problems
from lossmeter.api.headers import ALWAYS
from lossmeter.errors import LossmeterError

log = logging.getLogger(__name__)

ACCEPTABLE_ID = re.compile(rb"[!-~]{1,128}")


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


class Frame:
    """ASGI middleware that gives every answer `X-Request-ID` and `Server-Timing`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = perf_counter()
        request_id = _request_id(scope)
        scope["lossmeter.request_id"] = request_id.decode("ascii")
        started = False

        async def framed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id))
                headers.append((b"server-timing", _timing(scope, begin)))
                headers.extend(ALWAYS)
            await send(message)

        try:
            await self.app(scope, receive, framed)
        except ClientGone:
            log.info("request %s: the client hung up before its request was complete", scope["lossmeter.request_id"])
        except LossmeterError as error:
            if started:
                raise
            await problems.answer(error, scope)(scope, receive, framed)
        except Exception:
            # The boundary of the service: a bug ends one request, not the worker.
            # A path may hold line breaks, which could pass for lines of the log.
            log.exception("request %s: %s %a", scope["lossmeter.request_id"], scope["method"], scope["path"])
            if started:
                raise
            await problems.internal(scope)(scope, receive, framed)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTABLE_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode("ascii")


def _timing(scope: Scope, begin: float) -> bytes:
    """Milliseconds by stage; what a route does not tell apart counts as computing."""
    stages = scope.get("lossmeter.stages")
    if stages is None:
        return b"decode;dur=0, compute;dur=%.3f, encode;dur=0" % ((perf_counter() - begin) * 1e3)
    return b"decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f" % stages
