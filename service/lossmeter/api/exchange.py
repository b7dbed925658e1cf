"""Leads one request through its operation: `respond` is the whole way, top to bottom, and all routes that carry data go it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from time import perf_counter
from typing import Any, Generic, TypeVar

from starlette.types import Receive, Scope, Send

from lossmeter.api.body import Body, read_body
from lossmeter.api.headers import Headers, announced_size
from lossmeter.api.negotiation import answer_coding
from lossmeter.api.operation import (
    Answer,
    BatchedOperation,
    DatabaseOperation,
    DurableOperation,
    FormT,
    Negotiated,
    Operation,
    ResultT,
    ThreadOperation,
    WorkT,
)
from lossmeter.budget import sent
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.limits import Limits
from lossmeter.telemetry.request import RequestState, request_state
from lossmeter.wire.compression import compress

MIN_COMPRESSED_BYTES = 8192
"""Answers below this size are sent as they are: they are a few packets either way."""
DECODE, COMPUTE, ENCODE = range(3)

T = TypeVar("T")


async def respond(
    operation: Operation[WorkT, FormT, ResultT], limits: Limits, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answers one request: negotiate → reserve → admit → read → decode → compute → encode → send."""
    headers: Headers = scope["headers"]
    state = request_state(scope)
    exchange = Exchange(operation, limits, operation.negotiate(headers), state)
    try:
        exchange.admit(announced_size(headers))
        limit = min(limits.max_body_bytes, operation.max_body_bytes)
        body = await read_body(receive, headers, state, limit, exchange.reservation)
        exchange.cost = body.cost
        if operation.may_refer:
            exchange.cost += body.referred
            exchange.negotiated = exchange.negotiated._replace(refer=body.refer)
            limits.admit(exchange.cost)
        if isinstance(operation, BatchedOperation) and exchange.cost <= limits.inline_bytes and not body.applied:
            exchange.decode(body)
            with sent(exchange.sent):
                exchange.keep(await operation.compute_with_others(exchange.take_work()))
            exchange.encode()
        elif isinstance(operation, DurableOperation):
            await exchange.run_in_pool(exchange.decode, body)
            exchange.keep(await operation.compute_durably(exchange.take_work(), exchange.compute_in_pool))
            exchange.encode()
        elif isinstance(operation, DatabaseOperation):
            await operation.store.run(exchange.run_in_thread, operation, body)
        elif isinstance(operation, ThreadOperation):
            await exchange.run_in_pool(exchange.run_in_thread, operation, body)
    finally:
        exchange.reservation.close()
    await exchange.deliver(headers, send)


class Exchange(Generic[WorkT, FormT, ResultT]):
    """One request and its answer, stage by stage; knows neither ASGI nor sockets, except for `send`.

    Attributes:
        reservation: the room that the request holds; must be closed.
        cost: its bytes, or what they will become; the pool takes up cheaper jobs first.
        sent: bytes that it really sent, shared memory included: what it may take follows from them.
        size: of the answer, in bytes.
    """

    __slots__ = ("answer", "cost", "form", "limits", "negotiated", "operation", "reservation", "result", "sent", "since",
                 "size", "stages", "state", "work")  # fmt: skip

    work: WorkT
    form: FormT
    result: ResultT
    answer: Answer
    size: int

    def __init__(
        self, operation: Operation[WorkT, FormT, ResultT], limits: Limits, negotiated: Negotiated, state: RequestState
    ) -> None:
        self.operation = operation
        self.limits = limits
        self.negotiated = negotiated
        self.state = state
        self.reservation = limits.reserve(state.late_seconds)
        self.cost = self.sent = 0
        self.stages = [0.0, 0.0, 0.0]

    def admit(self, announced: int | None) -> None:
        """Refuses the request, before any of its body is read, if the pool that would do its work has no time."""
        if not isinstance(self.operation, DatabaseOperation):
            self.limits.admit(announced if isinstance(self.operation, BatchedOperation) else None)

    def decode(self, body: Body) -> None:
        """Turns the body into work, for whose tensors there must be room."""
        self.since = perf_counter()
        self.work, self.form, self.state.elements = self.operation.decode(body.take(), self.negotiated)
        self.sent = body.sent
        self.reservation.grow(elements=self.state.elements)
        self._add_time(DECODE)

    def take_work(self) -> WorkT:
        """Hands over the work: its tensors live no longer than the computation."""
        work = self.work
        del self.work
        return work

    def keep(self, result: ResultT) -> None:
        """Takes the result of the work."""
        self.result = result
        self.state.warnings = self.operation.warning_codes(result)
        self._add_time(COMPUTE)

    def encode(self) -> None:
        """Turns the result into an answer."""
        self.answer = self.operation.encode(self.form, self.result, self.negotiated)
        self.size = sum(map(len, self.answer.pieces))
        del self.form, self.result
        self._add_time(ENCODE)

    def run_in_thread(self, operation: ThreadOperation[WorkT, FormT, ResultT], body: Body) -> None:
        """Decodes, computes and encodes in the calling thread."""
        self.decode(body)
        # What is read from the database was sent before.
        with sent(math.inf if isinstance(operation, DatabaseOperation) else self.sent):
            self.keep(operation.compute(self.take_work()))
        self.encode()

    async def run_in_pool(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function in the pool, under the deadline of requests."""
        limits = self.limits
        return await run_with_deadline(
            limits.compute_seconds, limits.pool, self.reservation, self.cost, function, *arguments
        )

    async def compute_in_pool(self, function: Callable[..., T], *arguments: Any) -> T:
        """Does the same with what the bytes that were sent allow it to take."""

        def compute() -> T:
            with sent(self.sent):
                return function(*arguments)

        return await self.run_in_pool(compute)

    def coding(self, headers: Headers) -> str | None:
        """Returns the coding to compress the answer with, if the client asks for one of those offered and it is worth it."""
        if self.size < MIN_COMPRESSED_BYTES:
            return None
        return answer_coding(headers, self.answer.codings)

    async def compress(self, coding: str) -> None:
        """Compresses the answer, unless that makes it no smaller."""
        answer = self.answer
        self.since = perf_counter()
        smaller = await self.limits.pool.run(self.size, compress, answer.pieces, coding)
        self._add_time(ENCODE)
        if smaller is not None:
            self.size = sum(map(len, smaller))
            coded = (*answer.headers, (b"content-encoding", coding.encode("ascii")))
            self.answer = answer._replace(pieces=smaller, headers=coded)

    async def deliver(self, headers: Headers, send: Send) -> None:
        """Sends the answer, compressed if it is to be."""
        coding = self.coding(headers)
        if coding is not None:
            await self.compress(coding)
        await self.send(send)

    def head(self) -> list[tuple[bytes, bytes]]:
        """Returns the headers of the answer, which is complete now, and notes how long its stages took."""
        decoded, computed, encoded = self.stages
        self.state.stages = decoded, computed, encoded
        return [*self.answer.headers, (b"content-length", b"%d" % self.size)]

    async def send(self, send: Send) -> None:
        """Sends the answer, piece by piece."""
        pieces, _, _, status, follow_up = self.answer
        # A client that reads slowly, or not at all, holds memory for as long.
        with self.limits.admission.sending(self.size) if self.size > self.limits.inline_bytes else nullcontext():
            await send({"type": "http.response.start", "status": status, "headers": self.head()})
            last = len(pieces) - 1
            for number, piece in enumerate(pieces):
                await send({"type": "http.response.body", "body": piece, "more_body": number < last})
        if follow_up is not None:
            await follow_up()

    def _add_time(self, stage: int) -> None:
        now = perf_counter()
        self.stages[stage] += (now - self.since) * 1e3
        self.since = now
