"""Registers regions of shared memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from lossmeter.api.headers import Headers
from lossmeter.api.negotiation import JSON
from lossmeter.api.operation import JSON_CONTENT, Answer, DecodedRequest, Negotiated, ThreadOperation
from lossmeter.validation import validate
from lossmeter.wire.regions import Memory, Region, Registry

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class RegisterRegion(ThreadOperation[ModelT, None, None], Generic[ModelT]):
    """Answers `POST /v2/…sharedmemory/region/{region}/register`; takes and gives JSON, whatever the headers say.

    Args:
        registry: of all regions.
        memory: of the kind that is registered.
        model: of the request.
        region: describes the region that is asked for, or refuses it.
    """

    registry: Registry
    memory: Memory
    model: type[ModelT]
    region: Callable[[ModelT], Region]

    def negotiate(self, headers: Headers) -> Negotiated:  # noqa: ARG002
        return Negotiated()

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[ModelT, None]:  # noqa: ARG002
        return DecodedRequest(validate(self.model, "shared memory", JSON.decode(body, frozenset())), None)

    def compute(self, work: ModelT) -> None:
        self.registry.add(self.region(work), self.memory)

    def encode(self, form: None, result: None, negotiated: Negotiated) -> Answer:  # noqa: ARG002
        return Answer([b"{}"], (JSON_CONTENT,))
