"""Answers small requests for tensors without ASGI: no task, no messages; by the stages and the functions of that way.

A connection hands over a request whose body is there; whatever is unusual about a request takes the ASGI way.
"""

from __future__ import annotations

from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api.access import Access
from lossmeter.api.body import take_body
from lossmeter.api.endpoints import Endpoint, Endpoints
from lossmeter.api.envelope import Envelope, Passage
from lossmeter.api.exchange import Exchange
from lossmeter.api.operation import BatchedOperation, Pieces
from lossmeter.budget import sent
from lossmeter.scheduling import garbage
from lossmeter.telemetry import logs

UNUSUAL = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"origin"))
"""Headers that leave a request to the application."""
MAX_BYTES = 1 << 16
"""Largest body that may take this way, whatever the settings say: a connection holds it until it is whole."""


class DirectReply(Protocol):
    """Answers one request; one of its methods is called, once."""

    def write(self, status: int, headers: list[tuple[bytes, bytes]], pieces: Pieces) -> None:
        """Writes a whole answer."""

    def proceed(self, app: ASGIApp) -> None:
        """Leaves the answer to an ASGI application."""


class DirectWay:
    """Leads small requests from a connection through their operation.

    Args:
        endpoints: what answers tensors, by path.
        envelope: completes and counts every answer.
        access: asks for keys; None where none are asked for.
    """

    def __init__(self, endpoints: Endpoints, envelope: Envelope, access: Access | None) -> None:
        self.envelope = envelope
        self.access = access
        # What may lie in shared memory is no small request.
        self._endpoints = {
            path: endpoint
            for path, endpoint in endpoints.items()
            if type(endpoint) is Endpoint and isinstance(endpoint.operation, BatchedOperation)
        }

    def takes(self, scope: Scope) -> bool:
        """Returns whether a request with this head may take this way, once its body is there."""
        if scope["method"] != "POST" or (endpoint := self._endpoints.get(scope["path"])) is None:
            return False
        size = MAX_BYTES + 1
        for name, value in scope["headers"]:
            if name in UNUSUAL:
                return False
            if name == b"content-length":
                size = int(value)
        return size <= min(endpoint.limits.inline_bytes, MAX_BYTES)

    def answer(self, scope: Scope, body: bytearray, reply: DirectReply) -> bool:
        """Answers a request that may take this way, now or after the turn of the event loop; returns False if it cannot."""
        passage = Passage(self.envelope, scope)
        token = logs.REQUEST_ID.set(passage.state.request_id)
        try:
            return _DirectExchange(self._endpoints[scope["path"]], passage, scope, reply).begin(body, self.access)
        finally:
            logs.REQUEST_ID.reset(token)


class _DirectExchange:
    """One request on this way."""

    __slots__ = ("_endpoint", "_exchange", "_passage", "_reply", "_scope")

    def __init__(self, endpoint: Endpoint, passage: Passage, scope: Scope, reply: DirectReply) -> None:
        self._endpoint = endpoint
        self._passage = passage
        self._scope = scope
        self._reply = reply
        self._exchange: Exchange[Any, Any, Any] | None = None

    def begin(self, body: bytearray, access: Access | None) -> bool:
        """Does what comes before the computation; returns False if the keys have to be read first."""
        scope, state, limits = self._scope, self._passage.state, self._endpoint.limits
        operation: BatchedOperation[Any, Any, Any] = self._endpoint.operation  # type: ignore[assignment]
        try:
            if access is not None and not access.admit(scope):
                self._passage.abandon()
                return False
            exchange = Exchange(operation, limits, operation.negotiate(scope["headers"]), state)
            self._exchange = exchange  # not for the pool, which has no say then
            exchange.decode(take_body(body, state, limits.max_body_bytes, exchange.reservation.grow))
            with sent(exchange.sent):
                operation.submit(exchange.take_work(), self._finish)
        except Exception as error:  # noqa: BLE001 - answered
            self._fail(error)
        return True

    def _finish(self, result: Any) -> None:
        """Does what comes after the computation."""
        exchange = self._exchange
        assert exchange is not None
        token = logs.REQUEST_ID.set(self._passage.state.request_id)
        try:
            if isinstance(result, Exception):
                raise result
            exchange.keep(result)
            exchange.encode()
            exchange.reservation.close()
            long = exchange.size > exchange.limits.inline_bytes or exchange.coding(self._scope["headers"]) is not None
        except Exception as error:  # noqa: BLE001 - answered
            self._fail(error)
        else:
            if long:
                self._reply.proceed(self._lead)
            else:
                self._write(exchange.answer.status, exchange.head(), exchange.answer.pieces, exchange.size)
        finally:
            logs.REQUEST_ID.reset(token)

    async def _lead(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await self._passage.lead(self._deliver, receive, send)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        assert self._exchange is not None
        await self._exchange.deliver(scope["headers"], send)

    def _fail(self, error: Exception) -> None:
        passage = self._passage
        if self._exchange is not None:
            self._exchange.reservation.close()
        answer = passage.answer(error)
        content = bytes(answer.body)
        self._write(answer.status_code, list(answer.raw_headers), [content], len(content))
        garbage.release_frames(error, passage.state.received_bytes)

    def _write(self, status: int, headers: list[tuple[bytes, bytes]], pieces: Pieces, size: int) -> None:
        passage = self._passage
        passage.status, passage.sent = status, size
        self._reply.write(status, headers + passage.headers(), pieces)
        passage.close()
