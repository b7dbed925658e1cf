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
from lossmeter.losses import Loss
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.tensors import Array, Datatype
from lossmeter.wire import open_inference
from lossmeter.wire.open_inference import InferenceRequest, Places
from lossmeter.wire.regions import SharedMemory, Slice

HEADER_LENGTH = b"inference-header-content-length"
CODINGS = ("gzip", "deflate")
"""The codings that the protocol's clients expand; they ask for whatever their HTTP library knows."""
BYTES_CONTENT = (b"content-type", b"application/octet-stream")
VARY = (b"vary", b"accept-encoding")

LONGEST_KNOWN_BYTES, MOST_KNOWN = 4096, 64
"""Bodies that are known again when they come again: how long they are, and how many."""


class Form(NamedTuple):
    """The request without its tensors."""

    precision: str
    request: InferenceRequest
    outputs: list[str]


class _Known(NamedTuple):
    """A request without its tensors, all of which lie in shared memory: no numbers stand in its body.

    Attributes:
        inputs: name, datatype, shape and place of each tensor.
    """

    call: Call
    form: Form
    elements: int
    inputs: tuple[tuple[str, Datatype, tuple[int, ...], Slice], ...]


class Infer(ComputeCall):
    """Answers `POST /v2/models/{loss}/infer`.

    An input whose gradient is to be written to its own place is computed where it lies, if its memory cannot be taken away and
    no kernel relies on what was checked of it: its client may change it meanwhile.

    Attributes:
        memory: in which tensors may lie; None for clients that may use none.
    """

    memory: SharedMemory | None = None

    def __init__(self, loss: Loss, batcher: MicroBatcher, max_elements: int) -> None:
        super().__init__(loss, batcher, max_elements)
        self.in_place = frozenset(one.name for one in loss.tensors if loss.separable and one.unbounded)
        self._known: dict[bytes, _Known] = {}

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
        slices: dict[str, Slice] = {}

        def fetch(name: str, where: Slice, places: Places) -> Array:
            assert memory is not None
            assert refer is not None
            slices[name] = where
            refer(where.size)
            given_up = places.get(inference.GRADIENT + name) == where and name in self.in_place
            found = memory.in_place(where) if given_up else None
            return memory.read(where) if found is None else found

        text = b"" if memory is None or len(body) > LONGEST_KNOWN_BYTES else bytes(body)
        known = self._known.get(text)
        if known is not None and negotiated.json_bytes is None:
            places = known.form.request.places
            tensors = {
                name: open_inference.shared_tensor(fetch(name, where, places), datatype, shape)
                for name, datatype, shape, where in known.inputs
            }
            return DecodedRequest(replace(known.call, tensors=tensors), known.form, known.elements)
        request = open_inference.decode(body, negotiated.json_bytes, self.names, None if memory is None else fetch)
        call, outputs, elements = inference.parse_infer_call(self.loss, request, self.max_elements)
        form = Form(call.precision, replace(request, tensors={}), outputs)
        whole = slices.keys() == call.tensors.keys() == request.tensors.keys()
        if text and whole and all(call.tensors[name] is tensor for name, tensor in request.tensors.items()):
            self._learn(text, call, form, elements, slices)
        return DecodedRequest(call, form, elements)

    def _learn(self, text: bytes, call: Call, form: Form, elements: int, slices: dict[str, Slice]) -> None:
        """Keeps what a body says: that of a training loop is the same, to the byte, at each step."""
        inputs = tuple((name, one.datatype, one.shape, slices[name]) for name, one in call.tensors.items())
        if any(datatype is Datatype.BOOL for _, datatype, _, _ in inputs):
            return  # those have to be looked at
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[text] = _Known(replace(call, tensors={}), form, elements, inputs)

    def encode(self, form: Form, result: Outcome, negotiated: Negotiated) -> Answer:  # noqa: ARG002 - outputs say their form
        store = None if self.memory is None else self.memory.write
        written = inference.encode_infer_answer(self.loss, form.precision, form.request, form.outputs, result, store)
        if written.json_bytes is None:
            return Answer(written.pieces, (JSON_CONTENT, VARY), CODINGS)
        return Answer(written.pieces, (BYTES_CONTENT, VARY, (HEADER_LENGTH, b"%d" % written.json_bytes)), CODINGS)
