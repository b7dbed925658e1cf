"""Computes an objective: JSON or safetensors in, JSON or safetensors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lossmeter.api.models.objectives import NAMES, ParsedObjective, parse_objective
from lossmeter.api.operation import Answer, DecodedRequest, Negotiated, ThreadOperation, tensor_answer
from lossmeter.api.operations.losses import warning_fields
from lossmeter.engine import Engine
from lossmeter.engine.objectives import ObjectiveOutcome, compute


class Form(NamedTuple):
    """Says how to write an answer."""

    terms: list[tuple[str, float]]
    base64: bool


@dataclass(frozen=True)
class ComputeObjective(ThreadOperation[ParsedObjective, Form, ObjectiveOutcome]):
    """Answers `POST /v1/objectives`.

    Args:
        engine: computes the terms.
        max_elements: how many elements the tensors of one request may have.
    """

    engine: Engine
    max_elements: int

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[ParsedObjective, Form]:
        parsed = parse_objective(negotiated.reader.decode(body, NAMES), self.max_elements)
        terms = [(term.call.loss.name, term.weight) for term in parsed.terms]
        return DecodedRequest(parsed, Form(terms, parsed.base64), parsed.elements)

    def compute(self, work: ParsedObjective) -> ObjectiveOutcome:
        upstream = 1.0 if work.upstream is None else float(work.upstream.data[0])
        return compute(self.engine, work.terms, work.gradients, upstream)

    def warning_codes(self, result: ObjectiveOutcome) -> Sequence[str]:
        return [warned.code for warned in result.warnings]

    def encode(self, form: Form, result: ObjectiveOutcome, negotiated: Negotiated) -> Answer:
        fields: dict[str, Any] = {
            "value": result.value,
            "losses": [
                {"loss": name, "weight": weight, "value": term.value, "gradient_norm": term.gradient_norm}
                for (name, weight), term in zip(form.terms, result.terms, strict=True)
            ],
            "gradients": result.gradients,
            "precision": result.precision,
            "device": result.device,
            "warnings": warning_fields(result.warnings),
        }
        return tensor_answer(fields, negotiated, base64=form.base64)
