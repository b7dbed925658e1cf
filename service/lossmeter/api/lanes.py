"""Lanes: an address with the formats of body and answer, and the kinds of calls that came there before.

In a lane, bodies that differ in nothing but the numbers of their tensors have one pattern; nested alike, they are of one kind,
with what the engine knows of it, and the text of the answer but for its numbers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import orjson

from lossmeter.api.endpoints import Endpoint
from lossmeter.api.negotiation import SAFETENSORS
from lossmeter.api.operation import Negotiated
from lossmeter.api.operations.losses import ComputeLoss
from lossmeter.engine import Call, Express, Outcome
from lossmeter.telemetry.counters import RouteCounters
from lossmeter.tensors import Array, Datatype, Tensor
from lossmeter.wire.patterns import FileForm, FilePattern, JsonForm, JsonPattern, Parts
from lossmeter.wire.safetensors_layout import ALIGNMENT, LENGTH_BYTES

MAX_BYTES = 1 << 16
"""Largest body that may take this way, whatever the settings say."""
PATTERNS = 8
"""Patterns of one lane."""
VALUE, SUM, NUMBER = 0.8125731, 0.3125732, 0.5625733
"""Stand for the numbers of an answer while its text is learned."""


class Template:
    """The text of an answer but for its numbers.

    Attributes:
        parts: what stands around the value, the sum and, in JSON, the gradients.
        file: it is the header of a file, behind which the gradients follow.
    """

    __slots__ = ("file", "parts")

    def __init__(self, parts: list[bytes], *, file: bool) -> None:
        self.parts = parts
        self.file = file

    @classmethod
    def learn(
        cls, operation: ComputeLoss, form: Any, negotiated: Negotiated, kind: Express, call: Call
    ) -> Template | None:
        """Returns the text that the operation writes for calls of a kind; None if it cannot be told apart."""
        file = negotiated.writer is SAFETENSORS
        if form.base64 and not file:
            return None
        gradients = {}
        for name in call.gradients:
            tensor = call.tensors[name]
            size = len(tensor.data) if file else 1
            datatype = Datatype.FP64 if call.precision == "float64" else Datatype.FP32
            gradients[name] = Tensor(datatype, tensor.shape, np.full(size, NUMBER, datatype.dtype))
        outcome = Outcome(VALUE, None, SUM, kind.normalizer, kind.count, gradients, kind.device, [])
        pieces = operation.encode(form, outcome, negotiated).pieces
        text = bytes(pieces[0])[LENGTH_BYTES:].rstrip(b" ") if file else b"".join(pieces)
        marks = [orjson.dumps(VALUE), orjson.dumps(SUM)]
        if not file:
            marks += [orjson.dumps(tensor.data, option=orjson.OPT_SERIALIZE_NUMPY) for tensor in gradients.values()]
        parts = []
        for mark in marks:
            part, found, text = text.partition(mark)
            if not found:
                return None
            parts.append(part)
        return cls([*parts, text], file=file)

    def write(self, value: float, total: float, gradients: list[Array]) -> bytes:
        """Writes an answer, to the bytes that the operation would write."""
        parts = self.parts
        if self.file:
            text = b"".join((parts[0], orjson.dumps(value), parts[1], orjson.dumps(total), parts[2]))
            text += b" " * (-len(text) % ALIGNMENT)
            return b"".join(
                (len(text).to_bytes(LENGTH_BYTES, "little"), text, *[gradient.data for gradient in gradients])
            )
        written = [parts[0], orjson.dumps(value), parts[1], orjson.dumps(total), parts[2]]
        for place, gradient in enumerate(gradients, 3):
            written.append(orjson.dumps(gradient, option=orjson.OPT_SERIALIZE_NUMPY))
            written.append(parts[place])
        return b"".join(written)


class Kind:
    """Calls of one lane that differ in nothing but their numbers."""

    __slots__ = ("engine", "form", "owed", "template")

    def __init__(self, engine: Express, form: JsonForm | FileForm, template: Template) -> None:
        self.engine = engine
        self.form = form
        self.template = template
        self.owed = 0


class Lane:
    """An address with the formats of body and answer.

    Attributes:
        counters: count its requests.
        codable: longer answers may be compressed for the client.
        headers: of its answers, in front of those that all answers have.
        most_bytes: of a body.
    """

    __slots__ = ("codable", "counters", "headers", "limits", "most_bytes", "negotiated", "operation", "patterns")

    def __init__(self, endpoint: Endpoint, negotiated: Negotiated, counters: RouteCounters, *, codable: bool) -> None:
        self.operation: ComputeLoss = endpoint.operation  # type: ignore[assignment]
        self.limits = endpoint.limits
        self.negotiated = negotiated
        self.counters = counters
        self.codable = codable
        self.headers = ((b"content-type", negotiated.writer.header), (b"vary", b"accept, accept-encoding"))
        self.most_bytes = min(MAX_BYTES, endpoint.limits.inline_bytes, endpoint.limits.max_body_bytes)
        self.patterns: dict[Hashable, tuple[JsonPattern | FilePattern, dict[Hashable, Kind]]] = {}

    def find(self, body: bytes) -> tuple[Kind, Parts] | None:
        """Returns the kind of a body, and its parts."""
        for pattern, kinds in self.patterns.values():
            parts = pattern.cut(body)
            if parts is not None:
                kind = kinds.get(pattern.key(parts))
                if kind is not None:
                    return kind, parts
        return None
