"""Computes one loss: JSON or safetensors in, JSON or safetensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lossmeter.api.models import schemas
from lossmeter.api.operation import Answer, BatchedOperation, DecodedRequest, Negotiated, tensor_answer
from lossmeter.engine import Call, Outcome, Warned
from lossmeter.losses import Loss
from lossmeter.scheduling.micro_batching import MicroBatcher


class Form(NamedTuple):
    """Says how to write an answer."""

    reduction: str
    precision: str
    base64: bool


class ComputeCall(BatchedOperation[Call, Any, Outcome]):
    """Computes the calls of one loss, whatever they are written in.

    Args:
        loss: is called.
        batcher: computes small calls together.
        max_elements: how many elements the tensors of one request may have.
    """

    def __init__(self, loss: Loss, batcher: MicroBatcher, max_elements: int) -> None:
        self.loss = loss
        self.batcher = batcher
        self.max_elements = max_elements
        self.names = schemas.tensor_names(loss)

    def compute(self, work: Call) -> Outcome:
        return self.batcher.engine.compute(work)

    async def compute_with_others(self, work: Call) -> Outcome:
        return await self.batcher.compute(work)

    def submit(self, work: Call, done: Callable[[Outcome | Exception], None]) -> None:
        self.batcher.submit(work, done)

    def warning_codes(self, result: Outcome) -> Sequence[str]:
        return [warned.code for warned in result.warnings]


class ComputeLoss(ComputeCall):
    """Answers `POST /v1/losses/{loss}`.

    Args:
        requested: the name in the address.
    """

    def __init__(self, loss: Loss, batcher: MicroBatcher, max_elements: int, requested: str) -> None:
        super().__init__(loss, batcher, max_elements)
        self.requested = requested

    def called(self, requested: str) -> ComputeLoss:
        """Returns the same operation under another name."""
        return ComputeLoss(self.loss, self.batcher, self.max_elements, requested)

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Call, Form]:
        fields = negotiated.reader.decode(body, self.names)
        call, base64, elements = schemas.parse_call(self.loss, fields, self.max_elements)
        return DecodedRequest(call, Form(call.reduction, call.precision, base64), elements)

    def encode(self, form: Form, result: Outcome, negotiated: Negotiated) -> Answer:
        fields = answer_fields(self.loss.name, self.requested, form.reduction, form.precision, result)
        return tensor_answer(fields, negotiated, base64=form.base64)


def answer_fields(loss: str, requested: str, reduction: str, precision: str, outcome: Outcome) -> dict[str, Any]:
    """Returns the fields of the answer, in the order in which they are written."""
    fields: dict[str, Any] = {"loss": loss, "requested": requested, "reduction": reduction}
    if outcome.values is None:
        fields["value"] = outcome.value
    else:
        fields["values"] = outcome.values
    fields["sum"] = outcome.sum
    fields["normalizer"] = outcome.normalizer
    fields["count"] = outcome.count
    fields["gradients"] = outcome.gradients
    fields["precision"] = precision
    fields["device"] = outcome.device
    fields["warnings"] = warning_fields(outcome.warnings)
    return fields


def warning_fields(warnings: Sequence[Warned]) -> list[dict[str, Any]]:
    """Returns the warnings of an answer."""
    return [
        {
            "code": w.code,
            "message": w.message,
            "pointer": w.pointer,
            "index": w.index,
            "value": w.value,
            "evidence": w.evidence,
            "remedy": w.remedy,
        }
        for w in warnings
    ]
