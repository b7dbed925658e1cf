"""Operations hold what differs between the routes that carry data.

An operation turns bytes into work, work into a result, and a result into pieces of an answer. It knows headers and formats, but
neither ASGI nor sockets; `exchange.py` leads a request through it. Its kind says where the stages run.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from lossmeter.api.headers import Headers
from lossmeter.api.negotiation import JSON, Format, answer_format, request_format
from lossmeter.scheduling.store_threads import StoreThreads
from lossmeter.wire.compression import COMPRESSORS

WorkT = TypeVar("WorkT")
FormT = TypeVar("FormT")
ResultT = TypeVar("ResultT")

Pieces = list[bytes | memoryview]
JSON_CONTENT = (b"content-type", JSON.header)


class Negotiated(NamedTuple):
    """The formats of body and answer; of the Open Inference Protocol also how much of the body is JSON, None for all.

    Attributes:
        refer: reserves memory for what the body refers to, of an operation that says that bodies may.
    """

    reader: Format = JSON
    writer: Format = JSON
    json_bytes: int | None = None
    refer: Callable[[int], None] | None = None


class DecodedRequest(NamedTuple, Generic[WorkT, FormT]):
    """A body, decoded.

    Attributes:
        work: is computed, and let go then, so that the memory of its tensors is free for the answer.
        form: is what encoding has to know of the request; it holds no tensor.
        elements: how many elements the tensors have together.
    """

    work: WorkT
    form: FormT
    elements: int = 0


class Answer(NamedTuple):
    """An answer that is ready to be sent, perhaps in one of some codings; `follow_up` runs afterwards."""

    pieces: Pieces
    headers: Sequence[tuple[bytes, bytes]]
    codings: Collection[str] = ()
    status: int = 200
    follow_up: Callable[[], Awaitable[None]] | None = None


class Operation(ABC, Generic[WorkT, FormT, ResultT]):
    """Declares the stages that all operations have.

    Attributes:
        may_refer: whether a body may name tensors that lie in shared memory.
        max_body_bytes: the most that a body may have, if that is less than the server takes.
    """

    may_refer = False
    max_body_bytes = sys.maxsize

    def negotiate(self, headers: Headers) -> Negotiated:
        """Chooses the formats, or refuses those that the client speaks."""
        return Negotiated(request_format(headers), answer_format(headers))

    @abstractmethod
    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[WorkT, FormT]:
        """Turns a body into work, or refuses it."""

    def warning_codes(self, result: ResultT) -> Sequence[str]:  # noqa: ARG002 - most results have none
        """Returns the codes of the warnings in a result."""
        return ()

    @abstractmethod
    def encode(self, form: FormT, result: ResultT, negotiated: Negotiated) -> Answer:
        """Turns a result into an answer."""


class ThreadOperation(Operation[WorkT, FormT, ResultT]):
    """Runs in one job of the pool, from decoding to encoding."""

    @abstractmethod
    def compute(self, work: WorkT) -> ResultT:
        """Computes the result; may take long."""


class BatchedOperation(ThreadOperation[WorkT, FormT, ResultT]):
    """Runs the same way, but small requests on the event loop."""

    @abstractmethod
    async def compute_with_others(self, work: WorkT) -> ResultT:
        """Computes the result together with what else one turn of the event loop brought."""

    @abstractmethod
    def submit(self, work: WorkT, done: Callable[[ResultT | Exception], None]) -> None:
        """Does the same, and hands the result, or what went wrong, to a function; raises what is known to be wrong at once."""


class DatabaseOperation(ThreadOperation[WorkT, FormT, ResultT]):
    """Runs in one of the threads that wait for the database; takes and gives JSON without tensors, whatever the headers say."""

    max_body_bytes = 1 << 20
    store: StoreThreads

    def negotiate(self, headers: Headers) -> Negotiated:  # noqa: ARG002
        return Negotiated()


class DurableOperation(Operation[WorkT, FormT, ResultT]):
    """Answers when its result is kept: goes back and forth between pool and database."""

    @abstractmethod
    async def compute_durably(self, work: WorkT, run_in_pool: Callable[..., Awaitable[Any]]) -> ResultT:
        """Computes in the pool, reads and keeps in the database."""


def tensor_answer(fields: Mapping[str, Any], negotiated: Negotiated, *, base64: bool) -> Answer:
    """Writes an answer that may hold tensors, in the format that was negotiated."""
    writer = negotiated.writer
    headers = ((b"content-type", writer.header), (b"vary", b"accept, accept-encoding"), *writer.headers)
    return Answer(writer.encode(fields, base64=base64), headers, COMPRESSORS)
