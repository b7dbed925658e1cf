"""Computes one loss for clients of the Open Inference Protocol."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import NamedTuple

from lossmeter.api.headers import Headers, header
from lossmeter.api.models import inference
from lossmeter.api.operation import JSON_CONTENT, Answer, DecodedRequest, Negotiated
from lossmeter.api.operations.losses import ComputeCall
from lossmeter.engine import Call, Outcome
from lossmeter.errors import MalformedBody
from lossmeter.tensors import Array
from lossmeter.wire import open_inference
from lossmeter.wire.open_inference import InferenceRequest
from lossmeter.wire.regions import SharedMemory, Slice

HEADER_LENGTH = b"inference-header-content-length"
CODINGS = ("gzip", "deflate")
"""The codings that the protocol's clients expand; they ask for whatever their HTTP library knows."""
BYTES_CONTENT = (b"content-type", b"application/octet-stream")
VARY = (b"vary", b"accept-encoding")


class Form(NamedTuple):
    """The request without its tensors."""

    precision: str
    request: InferenceRequest
    outputs: list[str]


class Infer(ComputeCall):
    """Answers `POST /v2/models/{loss}/infer`.

    Attributes:
        memory: in which tensors may lie; None for clients that may use none.
    """

    memory: SharedMemory | None = None

    def sharing(self, memory: SharedMemory) -> Infer:
        """Returns the same operation for a client that may use shared memory."""
        operation = copy(self)
        operation.memory = memory
        operation.may_refer = True
        return operation

    def negotiate(self, headers: Headers) -> Negotiated:
        # NVIDIA's client sends no content type, or that of bytes: a header of its own says how long the JSON is.
        given = header(headers, HEADER_LENGTH)
        if given is None:
            return Negotiated()
        if not (given.isdigit() and len(given) < 20):
            raise MalformedBody("Inference-Header-Content-Length is not a number.")
        return Negotiated(json_bytes=int(given))

    def decode(self, body: bytearray, negotiated: Negotiated) -> DecodedRequest[Call, Form]:
        memory, refer = self.memory, negotiated.refer

        def fetch(where: Slice) -> Array:
            assert memory is not None
            assert refer is not None
            refer(where.size)
            return memory.read(where)

        request = open_inference.decode(body, negotiated.json_bytes, self.names, None if memory is None else fetch)
        call, outputs, elements = inference.parse_infer_call(self.loss, request, self.max_elements)
        return DecodedRequest(call, Form(call.precision, replace(request, tensors={}), outputs), elements)

    def encode(self, form: Form, result: Outcome, negotiated: Negotiated) -> Answer:  # noqa: ARG002 - outputs say their form
        store = None if self.memory is None else self.memory.write
        written = inference.encode_infer_answer(self.loss, form.precision, form.request, form.outputs, result, store)
        if written.json_bytes is None:
            return Answer(written.pieces, (JSON_CONTENT, VARY), CODINGS)
        return Answer(written.pieces, (BYTES_CONTENT, VARY, (HEADER_LENGTH, b"%d" % written.json_bytes)), CODINGS)
