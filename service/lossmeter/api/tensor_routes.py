"""Routes that carry tensors: raw bytes in, raw bytes out.

They are declared as FastAPI routes, so that the OpenAPI document knows them, but run as plain ASGI: a dictionary finds the
route, and neither dependencies nor serialisation stand between the socket and the engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api.messages import body, codings, formats
from lossmeter.api.messages.body import Body
from lossmeter.api.messages.formats import Format
from lossmeter.api.messages.headers import announced
from lossmeter.engine import Call, Outcome
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.telemetry.request import Stages, request_state
from lossmeter.wire.compression import COMPRESSORS, compress

T = TypeVar("T")

Pieces = list[bytes | memoryview]
Headers = list[tuple[bytes, bytes]]
Work = Callable[[Body, Format, Format, Reservation], tuple[Pieces, Stages]]


class TensorEndpoint:
    """ASGI application: reads the body, has it worked on in the pool, sends the answer in pieces."""

    def __init__(self, work: Work, limits: Limits) -> None:
        self.work = work
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = formats.of_request(scope)
        writer = formats.of_answer(scope)
        pieces = await worked(scope, receive, self.limits, self.work, reader, writer)
        await send_answer(scope, send, self.limits, pieces, writer)


async def worked(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    work: Callable[..., tuple[T, Stages]],
    *arguments: Any,
) -> T:
    """What the work makes of the body, the arguments and a ticket, in the pool."""

    async def answered(given: Body, ticket: Reservation) -> tuple[T, Stages]:
        seconds = limits.compute_seconds
        return await run_with_deadline(seconds, limits.pool, ticket, given.cost, work, given, *arguments, ticket)

    return await _taken_in(scope, receive, limits, limits.pool.admit, answered)


class Asked(NamedTuple, Generic[T]):
    """What a body asks for.

    Attributes:
        call: to be computed.
        elements: that its tensors have together.
        answer: what is made of its outcome. It holds no tensor of the call, so that their memory is free by then.
    """

    call: Call
    elements: int
    answer: Callable[[Outcome], T]


async def computed(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    batcher: MicroBatcher,
    decode: Callable[..., Asked[T]],
    *arguments: Any,
) -> T:
    """The answer to a body, which `decode` understands: at once, if it is small, and otherwise in the pool."""

    def understood(given: Body, ticket: Reservation) -> Asked[T]:
        asked = decode(given, *arguments)
        ticket.grow(elements=asked.elements)
        return asked

    def in_the_pool(given: Body, ticket: Reservation) -> tuple[T, Stages]:
        def compute(asked: Asked[T]) -> tuple[Callable[[Outcome], T], Outcome]:
            found = batcher.engine.compute(asked.call)
            ticket.warnings = [warned.code for warned in found.warnings]
            return asked.answer, found

        return timed(lambda: understood(given, ticket), compute, lambda done: done[0](done[1]))

    async def answered(given: Body, ticket: Reservation) -> tuple[T, Stages]:
        if given.size > limits.inline_bytes or given.applied:
            return await run_with_deadline(
                limits.compute_seconds, limits.pool, ticket, given.cost, in_the_pool, given, ticket
            )
        t0 = perf_counter()
        asked = understood(given, ticket)
        t1 = perf_counter()
        found = await batcher.compute(asked.call)
        ticket.warnings = [warned.code for warned in found.warnings]
        t2 = perf_counter()
        result = asked.answer(found)
        return result, _milliseconds(t0, t1, t2, perf_counter())

    return await _taken_in(scope, receive, limits, lambda: limits.admit(announced(scope)), answered)


async def _taken_in(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    admit: Callable[[], None],
    answered: Callable[[Body, Reservation], Awaitable[tuple[T, Stages]]],
) -> T:
    """What is made of the body, while a ticket holds room for it; the scope then has the figures to be counted."""
    state = request_state(scope)
    ticket = limits.reserve(state.late_seconds)
    try:
        admit()
        given = await body.read(scope, receive, limits.max_body_bytes, ticket.grow)
        result, stages = await answered(given, ticket)
        state.elements = ticket.elements
        state.warnings = ticket.warnings
    finally:
        ticket.close()
    state.stages = stages
    return result


async def send_answer(scope: Scope, send: Send, limits: Limits, pieces: Pieces, writer: Format) -> None:
    """Sends an answer in the format that was negotiated."""
    await send_pieces(
        scope, send, limits, pieces, [(b"content-type", writer.header), (b"vary", b"accept, accept-encoding")]
    )


async def send_pieces(
    scope: Scope, send: Send, limits: Limits, pieces: Pieces, headers: Headers, offered: Iterable[str] = COMPRESSORS
) -> None:
    """Sends an answer, piece by piece; compressed, if the client asks for one of the codings offered and it is worth it."""
    length = sum(map(len, pieces))
    coding = codings.of_answer(scope, offered) if length >= codings.MINIMUM_BYTES else None
    if coding is not None:
        begin = perf_counter()
        smaller = await limits.pool.run(length, compress, pieces, coding)
        state = request_state(scope)
        assert state.stages is not None
        decoded, computed, encoded = state.stages
        state.stages = (decoded, computed, encoded + (perf_counter() - begin) * 1e3)
        if smaller is not None:
            pieces, length = smaller, sum(map(len, smaller))
            headers.append((b"content-encoding", coding.encode("ascii")))
    headers.append((b"content-length", b"%d" % length))
    # A client that reads slowly, or not at all, holds memory for as long.
    with limits.admission.sending(length) if length > limits.inline_bytes else nullcontext():
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = len(pieces) - 1
        for number, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": number < last})


class TensorRoute(APIRoute):
    """A route of the OpenAPI document whose work is done by a `TensorEndpoint`."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: ASGIApp | None = getattr(self.endpoint, "tensor_endpoint", None)
        if endpoint is None or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
        else:
            await endpoint(scope, receive, send)


class Express:
    """ASGI middleware that leads straight to the tensor routes; everything else takes the ordinary way."""

    def __init__(self, app: ASGIApp, table: Mapping[str, ASGIApp]) -> None:
        self.app = app
        self.table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            # Behind a proxy, and where mounted, the path begins with the root path.
            endpoint = self.table.get(scope["path"].removeprefix(scope.get("root_path", "")))
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
        await self.app(scope, receive, send)


def timed(decode: Callable[[], Any], compute: Callable[[Any], Any], encode: Callable[[Any], T]) -> tuple[T, Stages]:
    """Runs the three stages and says how many milliseconds each took."""
    t0 = perf_counter()
    decoded = decode()
    t1 = perf_counter()
    computed = compute(decoded)
    del decoded
    t2 = perf_counter()
    encoded = encode(computed)
    t3 = perf_counter()
    return encoded, _milliseconds(t0, t1, t2, t3)


def _milliseconds(t0: float, t1: float, t2: float, t3: float) -> Stages:
    return (t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e3
