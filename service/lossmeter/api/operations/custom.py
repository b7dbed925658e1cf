"""Computes a loss that came as data: JSON or safetensors in, JSON or safetensors out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from lossmeter.api.models.custom import NAMES, parse_custom
from lossmeter.api.operation import Answer, DecodedRequest, Negotiated, ThreadOperation, tensor_answer
from lossmeter.api.operations.losses import Form, answer_fields
from lossmeter.engine import Engine, Outcome, Work, outcome
from lossmeter.engine.graphs import Sizes, custom_work, run

MAX_KEPT, MAX_KEPT_BYTES = 64, 1 << 16
"""Graphs whose sizes are kept, and the longest of them."""


class Measured(NamedTuple):
    """A graph whose sizes are known, and where its metrics will be."""

    work: Work
    metrics: dict[str, float]


@dataclass(frozen=True)
class ComputeCustom(ThreadOperation[Measured, Form, tuple[Outcome, dict[str, float]]]):
    """Answers `POST /v1/losses/custom`.

    Args:
        engine: computes.
        max_elements: how many elements the tensors of one request may have, and each value on the way.
        seconds: how long a request may take.
        known: the sizes of graphs, by their text.
    """

    engine: Engine
    max_elements: int
    seconds: float
    known: dict[bytes, dict[Hashable, Sizes]] = field(default_factory=dict)

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Measured, Form]:
        given = negotiated.reader.decode(body, NAMES)
        parsed = parse_custom(given, self.max_elements)
        known = self._known(orjson.dumps(given["graph"], option=orjson.OPT_SORT_KEYS))
        limits = self.max_elements, self.seconds
        work, metrics, sizes = custom_work(self.engine, parsed.graph, parsed.call, *limits, known)
        form = Form(parsed.call.reduction, parsed.call.precision, parsed.base64)
        return DecodedRequest(Measured(work, metrics), form, parsed.elements + sizes.elements)

    def _known(self, text: bytes) -> dict[Hashable, Sizes] | None:
        """Returns where the sizes of a graph are kept: training sends the same one again and again."""
        if len(text) > MAX_KEPT_BYTES:
            return None
        kept = self.known.get(text)
        if kept is None:
            if len(self.known) >= MAX_KEPT:
                self.known.clear()
            kept = self.known[text] = {}
        return kept

    def compute(self, work: Measured) -> tuple[Outcome, dict[str, float]]:
        return outcome(work.work, run(self.engine, work.work)), work.metrics

    def warning_codes(self, result: tuple[Outcome, dict[str, float]]) -> Sequence[str]:
        return [warned.code for warned in result[0].warnings]

    def encode(self, form: Form, result: tuple[Outcome, dict[str, float]], negotiated: Negotiated) -> Answer:
        found, metrics = result
        fields: dict[str, Any] = answer_fields("custom", "custom", form.reduction, form.precision, found)
        return tensor_answer({**fields, "metrics": metrics}, negotiated, base64=form.base64)
