"""Routes that carry tensors: raw bytes in, raw bytes out.

They are declared as FastAPI routes, so that the OpenAPI document knows them, but run as plain ASGI: a dictionary finds the
route, and neither dependencies nor serialisation stand between the socket and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api import body, formats
from lossmeter.api.admission import Admission, Ticket
from lossmeter.api.formats import Format
from lossmeter.api.pool import Pool

T = TypeVar("T")

Pieces = list[bytes | memoryview]
Box = list[bytearray]
"""Holds a body until it is taken out to be decoded, so that nothing else keeps it in memory."""
Stages = tuple[float, float, float]
Work = Callable[[Box, Format, Format, Ticket], tuple[Pieces, Stages]]


@dataclass(frozen=True)
class Limits:
    """What requests may cost, and where they are worked on."""

    max_body_bytes: int
    inline_bytes: int
    admission: Admission
    pool: Pool


class TensorEndpoint:
    """ASGI application: reads the body, has it worked on, sends the answer in pieces."""

    def __init__(self, work: Work, limits: Limits) -> None:
        self.work = work
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = formats.of_request(scope)
        writer = formats.of_answer(scope)
        pieces = await worked(scope, receive, self.limits, self.work, reader, writer)
        await send_pieces(send, pieces, [(b"content-type", writer.header)])


async def worked(
    scope: Scope,
    receive: Receive,
    limits: Limits,
    work: Callable[..., tuple[T, Stages]],
    *arguments: Any,
    inline: bool = True,
) -> T:
    """What the work makes of the body, the arguments and a ticket; at once, if the body is small and `inline` allows it."""
    ticket = limits.admission.ticket()
    try:
        box = [await body.read(scope, receive, limits.max_body_bytes, ticket.grow)]
        size = len(box[0])
        if inline and size <= limits.inline_bytes:
            result, stages = work(box, *arguments, ticket)
        else:
            result, stages = await limits.pool.run(size, work, box, *arguments, ticket)
    finally:
        ticket.close()
    scope["lossmeter.stages"] = stages
    return result


async def send_pieces(send: Send, pieces: Pieces, headers: list[tuple[bytes, bytes]]) -> None:
    """Sends an answer, piece by piece."""
    headers.append((b"content-length", b"%d" % sum(map(len, pieces))))
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
    return encoded, ((t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e3)
