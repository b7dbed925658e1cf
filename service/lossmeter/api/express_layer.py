"""Leads requests to the express way where there is no connection of ours to do it: as the outermost layer of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lossmeter.api.direct import UNUSUAL
from lossmeter.api.envelope import ACCEPTABLE_ID
from lossmeter.api.express import ExpressWay, Traveller
from lossmeter.api.headers import ALWAYS
from lossmeter.api.heads import HEADS
from lossmeter.api.lanes import Lane
from lossmeter.telemetry.request import SCOPE_KEY


class _Known(NamedTuple):
    lane: Lane | None
    needs_key: bool


class ExpressLayer:
    """Leads requests of known kinds to the express way, all others to the application.

    Args:
        app: answers all others.
        express: answers those.
    """

    def __init__(self, app: ASGIApp, express: ExpressWay) -> None:
        self._app = app
        self._express = express
        self._heads: dict[Hashable, _Known] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What has a state came by a connection of ours, which has been that way.
        if scope["type"] != "http" or scope["method"] != "POST" or SCOPE_KEY in scope:
            await self._app(scope, receive, send)
            return
        size, request_id, rest = -1, b"", []
        for name, value in scope["headers"]:
            if name == b"content-length":
                size = int(value) if value.isdigit() else -1
            elif name != b"x-request-id":
                rest.append((name, value))
            elif not request_id and ACCEPTABLE_ID.fullmatch(value):
                request_id = value
        lane, needs_key = self._know(scope, tuple(rest))
        if lane is None or not 0 <= size <= lane.most_bytes or (needs_key and not self._express.admit(scope, size)):
            await self._app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body") and len(messages) <= size:
            messages.append(await receive())
        body = b"".join([message.get("body", b"") for message in messages])
        if len(body) == size and not messages[-1].get("more_body"):
            reply = _Reply(scope, self._express)
            traveller = Traveller(reply, request_id or self._express.new_id(), size)
            if self._express.take(lane, body, traveller) and (answer := await reply.future) is not None:
                await send({"type": "http.response.start", "status": 200, "headers": answer[0]})
                await send({"type": "http.response.body", "body": answer[1]})
                return
        await self._app(scope, _again(messages, receive), send)

    def _know(self, scope: Scope, headers: tuple[tuple[bytes, bytes], ...]) -> _Known:
        key = scope["path"], tuple(scope.get("server") or ()), headers
        known = self._heads.get(key)
        if known is None:
            if len(self._heads) >= HEADS:
                self._heads.clear()
            lane = None if any(name in UNUSUAL for name, _ in headers) else self._express.lane(scope)
            access = self._express.access
            known = self._heads[key] = _Known(lane, access is not None and not access.is_open_to(scope))
        return known


class _Reply:
    """Hands an answer to the task of its request."""

    __slots__ = ("_express", "future", "scope_of_head")

    def __init__(self, scope: Scope, express: ExpressWay) -> None:
        self.scope_of_head = scope
        self._express = express
        self.future: asyncio.Future[tuple[list[tuple[bytes, bytes]], bytes] | None]
        self.future = asyncio.get_running_loop().create_future()

    def answer(self, lane: Lane, content: bytes, request_id: bytes, timing: bytes) -> bool:
        """Hands over an answer; returns False if its request has to take another way after all, and has taken it."""
        if self._express.readiness.draining:
            self.hand_over()
            return False
        if not self.future.done():
            own = (b"content-length", b"%d" % len(content)), (b"x-request-id", request_id), (b"server-timing", timing)
            self.future.set_result(([*lane.headers, *own, *ALWAYS], content))
        return True

    def hand_over(self) -> None:
        """Says that there is no answer."""
        if not self.future.done():
            self.future.set_result(None)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Returns what gives some messages again before it receives others."""
    left = messages[::-1]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received
