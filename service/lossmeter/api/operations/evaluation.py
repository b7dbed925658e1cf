"""Evaluates a batch: many losses and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lossmeter.api.models.evaluation import TENSORS, parse_evaluation
from lossmeter.api.operation import Answer, DecodedRequest, Negotiated, ThreadOperation, tensor_answer
from lossmeter.engine import Engine
from lossmeter.evaluation import Plan, evaluate


class Work(NamedTuple):
    """A batch, and what is wanted of it."""

    plan: Plan
    data: dict[str, Any]
    gradients: list[str]


@dataclass(frozen=True)
class Evaluate(ThreadOperation[Work, bool, dict[str, Any]]):
    """Answers `POST /v1/evaluate`.

    Args:
        engine: computes the losses.
        max_elements: how many elements the tensors of one request may have.
    """

    engine: Engine
    max_elements: int

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Work, bool]:
        fields = negotiated.reader.decode(body, TENSORS)
        plan, data, gradients, base64, elements = parse_evaluation(fields, self.max_elements)
        return DecodedRequest(Work(plan, data, gradients), base64, elements)

    def compute(self, work: Work) -> dict[str, Any]:
        return evaluate(*work, engine=self.engine)

    def warning_codes(self, result: dict[str, Any]) -> Sequence[str]:
        return [warned["code"] for warned in result["warnings"]]

    def encode(self, form: bool, result: dict[str, Any], negotiated: Negotiated) -> Answer:
        return tensor_answer(result, negotiated, base64=form)
