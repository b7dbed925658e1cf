"""Asks for a loss through shared memory: a service on the same machine computes large tensors there, and none are sent.

The request is one of the Open Inference Protocol. Whatever does not fit that, and whatever the service refuses, goes the
ordinary way, which knows everything and says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np

from lossmeter.client import results
from lossmeter.client.arrays import tensors_of
from lossmeter.client.codecs import JSON_TYPE
from lossmeter.client.errors import BadAnswer, ServiceError, TimedOut
from lossmeter.client.exchanges import TOOK_TOO_LONG, Conversation, Reply, Request, Retries, conversation
from lossmeter.client.results import LossResult
from lossmeter.client.segments import MAX_SEGMENTS, Segment, Segments, is_possible
from lossmeter.tensors import Datatype, Tensor, elements

LEAST_BYTES = 1 << 20
"""Tensors that are smaller together are sent: that takes as long, or less (docs/decisions/0081-shared-memory.md)."""
PAGE_BYTES = 4096
"""Where tensors begin: the kernel copies whole pages fastest."""
MAX_FAILURES = 3
"""After so many refusals in a row of what the service takes the ordinary way, it is not asked this way again."""
EXTENSION = "system_shared_memory"
NUMBERS = ("value", "sum", "normalizer", "count")
GRADIENT = "gradient_"
PRECISIONS = {Datatype.FP32: "float32", Datatype.FP64: "float64"}

KEPT_LAYOUTS = 64
DATA = re.compile(rb'"name":"([a-z]+)","datatype":"(FP32|FP64|INT64)","shape":\[1\],"data":\[([-+.eE0-9]+)\]')
"""Of an answer what may differ from the one before: numbers."""

Ordinary = Callable[[], Request[LossResult]]
"""Makes the request that sends everything."""


class Sharing:
    """Shares memory between one client and its service."""

    def __init__(self) -> None:
        self.segments = Segments()
        self.offered: bool | None = None if is_possible() else False
        self._failures = 0
        self._layouts: dict[Hashable, Layout] = {}

    def takes(self, gradients: Sequence[str], fields: Mapping[str, Any]) -> bool:
        """Returns whether a loss of these fields can go this way, and is large enough to gain by it."""
        if self.offered is False or fields.get("reduction", "mean") == "none":
            return False
        size = 0
        for name, value in fields.items():
            if hasattr(value, "__array__") and not isinstance(value, np.generic):
                size += getattr(value, "nbytes", 0)
            elif name in gradients or not isinstance(value, str | int | float | np.generic):
                return False
        return size >= LEAST_BYTES and all(role in fields for role in gradients)

    def loss(
        self, name: str, gradients: Sequence[str], fields: Mapping[str, Any], ordinary: Ordinary, retries: Retries
    ) -> Conversation[LossResult]:
        """Asks for a loss, by the ordinary request if nothing else leads there."""
        tensors = tensors_of(fields)
        layout = self._layout(name, gradients, tensors, fields)
        segment = yield from self._segment(layout.size, retries)
        if segment is None:
            return (yield from conversation(ordinary(), retries))
        try:
            for role, offset in layout.offsets.items():
                segment.write(offset, tensors[role].data)
            outcome = yield from conversation(layout.request(segment), retries)
        except BaseException as error:
            # The service may still be writing.
            self.segments.discard(segment)
            if not isinstance(error, ServiceError) or _took_too_long(error):
                raise
        else:
            if outcome is not None:
                self._failures = 0
                return self._result(outcome, layout, segment, {role: fields[role] for role in tensors})
            self.segments.give(segment)
        result = yield from conversation(ordinary(), retries)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self.offered = False
        return result

    def _layout(
        self, name: str, gradients: Sequence[str], tensors: Mapping[str, Tensor], fields: Mapping[str, Any]
    ) -> Layout:
        """Returns the layout of a call: that of the last one of its kind, if it is kept."""
        parameters = {key: _plain(value) for key, value in fields.items() if key not in tensors}
        forms = tuple([(role, tensor.datatype, tensor.shape) for role, tensor in tensors.items()])
        kind = name, tuple(gradients), forms, repr(parameters)
        layout = self._layouts.get(kind)
        if layout is None:
            if len(self._layouts) >= KEPT_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[kind] = Layout.of(name, gradients, tensors, parameters)
        return layout

    def _segment(self, size: int, retries: Retries) -> Conversation[Segment | None]:
        """Finds a segment that the service knows; none if it knows of none, or there is no memory."""
        if self.offered is None:
            try:
                extensions = yield from conversation(Request("GET", "/v2", _extensions, repeatable=False), retries)
                self.offered = EXTENSION in extensions
            except ServiceError:
                self.offered = False
        if not self.offered:
            return None
        try:
            segment = self.segments.take(size)
        except OSError:
            self.offered = False
            return None
        if segment is None or segment.registered:
            return segment
        try:
            yield from conversation(_registration(segment), retries)
        except BaseException as error:
            self.segments.discard(segment)
            if not isinstance(error, ServiceError):
                raise
            self.offered = False
            return None
        segment.registered = True
        return segment

    def _result(self, outcome: _Outcome, layout: Layout, segment: Segment, like: Mapping[str, Any]) -> LossResult:
        gradients = {}
        if layout.gradients:
            memory = self.segments.lend(segment)
            for role, (shape, offset, _) in layout.gradients.items():
                size = elements(shape) * outcome.datatype.size
                gradients[role] = Tensor(
                    outcome.datatype, shape, memory[offset : offset + size].view(outcome.datatype.dtype)
                )
        else:
            self.segments.give(segment)
        return results.loss_result({**outcome.fields, "gradients": gradients}, outcome.headers, like)


@dataclass(slots=True)
class Layout:
    """Lays the tensors of a request, and the gradients of its answer, out in a segment, for all calls of one kind.

    Attributes:
        loss: that is asked for.
        offsets: of the tensors, by role.
        inputs: what the request says of them.
        gradients: by role: shape, offset, and room in bytes. They take the place of their tensors.
        parameters: of the loss.
        size: of a segment that has room for all.
    """

    loss: str
    offsets: dict[str, int]
    inputs: tuple[tuple[str, Datatype, tuple[int, ...], int], ...]
    gradients: dict[str, tuple[tuple[int, ...], int, int]]
    parameters: dict[str, Any]
    size: int
    _requests: dict[str, Request[_Outcome | None]] = field(default_factory=dict)
    _answer: tuple[str, list[bytes], _Outcome] | None = None

    @classmethod
    def of(
        cls, loss: str, gradients: Sequence[str], tensors: Mapping[str, Tensor], parameters: dict[str, Any]
    ) -> Layout:
        """Makes the layout for a call."""
        double = parameters.get("precision") == "float64" or any(t.datatype is Datatype.FP64 for t in tensors.values())
        room = {role: elements(tensors[role].shape) * (8 if double else 4) for role in gradients}
        position = 0
        offsets: dict[str, int] = {}
        for role, tensor in tensors.items():
            offsets[role] = position
            position += -(-max(tensor.data.nbytes, room.get(role, 0)) // PAGE_BYTES) * PAGE_BYTES
        inputs = tuple((role, one.datatype, one.shape, one.data.nbytes) for role, one in tensors.items())
        wanted = {role: (tensors[role].shape, offsets[role], size) for role, size in room.items()}
        return cls(loss, offsets, inputs, wanted, parameters, max(position, PAGE_BYTES))

    def request(self, segment: Segment) -> Request[_Outcome | None]:
        """Returns the request; its result is None if the answer says more than this protocol has fields for."""
        known = self._requests.get(segment.name)
        if known is not None:
            return known
        inputs = [
            {
                "name": name,
                "datatype": datatype.name,
                "shape": shape,
                "parameters": _place(segment.name, self.offsets[name], size),
            }
            for name, datatype, shape, size in self.inputs
        ]
        outputs: list[dict[str, Any]] = [{"name": name} for name in NUMBERS]
        for role, (_, offset, size) in self.gradients.items():
            outputs.append({"name": GRADIENT + role, "parameters": _place(segment.name, offset, size)})
        text = json.dumps(
            {"parameters": self.parameters, "inputs": inputs, "outputs": outputs},
            separators=(",", ":"),
            allow_nan=False,
        )
        path = f"/v2/models/{quote(self.loss, safe='')}/infer"
        read = partial(self._read, segment.name)
        made = Request("POST", path, read, {"Content-Type": JSON_TYPE}, [text.encode()], repeatable=False)
        if len(self._requests) > MAX_SEGMENTS:
            self._requests.clear()
        self._requests[segment.name] = made
        return made

    def _read(self, region: str, reply: Reply) -> _Outcome | None:
        texts: list[bytes] = DATA.split(reply.body)
        names, numbers = texts[1::4], texts[3::4]
        del texts[3::4]
        known = self._answer
        if known is not None and known[:2] == (region, texts):
            with suppress(ValueError):  # of what is no number after all
                fields = dict(known[2].fields)
                for name, number in zip(names, numbers, strict=True):
                    fields[str(name, "ascii")] = int(number) if name == b"count" else float(number)
                return _outcome(fields, known[2].datatype, reply.headers)
        outcome = self._read_whole(region, reply)
        if outcome is not None and {*names} == {name.encode() for name in NUMBERS}:
            self._answer = region, texts, outcome
        return outcome

    def _read_whole(self, region: str, reply: Reply) -> _Outcome | None:
        try:
            answer = json.loads(str(reply.body, "utf-8"))
            said = answer.get("parameters", {})
            outputs = {output["name"]: output for output in answer["outputs"]}
            numbers = {name: outputs[name]["data"][0] for name in NUMBERS}
            datatype = Datatype[outputs["value"]["datatype"]]
            given = {role: outputs[GRADIENT + role] for role in self.gradients}
            written = {role: (one["datatype"], tuple(one["shape"]), one["parameters"]) for role, one in given.items()}
            fields = {"loss": answer["model_name"], "device": said["device"], **numbers}
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise BadAnswer(f"The answer is not that of a loss: {error!r}") from None
        # Elsewhere, what lies in the segment would be the tensors, or a gradient of before.
        expected = {
            role: (datatype.name, shape, _place(region, offset, elements(shape) * datatype.size))
            for role, (shape, offset, _) in self.gradients.items()
        }
        if "warnings" in said or None in numbers.values() or written != expected:
            return None
        fields["precision"] = PRECISIONS[datatype]
        fields |= {"reduction": self.parameters.get("reduction", "mean"), "warnings": []}
        return _outcome(fields, datatype, reply.headers)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The fields of an answer, without the gradients; the datatype of these, and the headers."""

    fields: dict[str, Any]
    datatype: Datatype
    headers: Mapping[str, str]


def _outcome(fields: dict[str, Any], datatype: Datatype, headers: Mapping[str, str]) -> _Outcome:
    if datatype is Datatype.FP32:  # whose shortest decimal is another number in float64
        fields["value"] = float(np.float32(fields["value"]))
    return _Outcome(fields, datatype, headers)


def _registration(segment: Segment) -> Request[None]:
    """Tells the service of a segment."""
    body = json.dumps({"key": segment.key, "offset": 0, "byte_size": segment.size}).encode()
    path = f"/v2/systemsharedmemory/region/{segment.name}/register"
    return Request("POST", path, lambda _: None, {"Content-Type": JSON_TYPE}, [body], repeatable=False)


def _extensions(reply: Reply) -> Sequence[str]:
    try:
        return list(json.loads(str(reply.body, "utf-8"))["extensions"])
    except (ValueError, KeyError, TypeError):
        return []


def _place(region: str, offset: int, size: int) -> dict[str, Any]:
    return {
        "shared_memory_region": region,
        "shared_memory_offset": offset,
        "shared_memory_byte_size": size,
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _took_too_long(error: ServiceError) -> bool:
    return isinstance(error, TimedOut) or getattr(error, "code", "") == TOOK_TOO_LONG
