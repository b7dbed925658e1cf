"""Requests as bytes and answers from bytes, in each of the formats: a table from name to codec."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lossmeter.client.errors import BadAnswer
from lossmeter.client.exchanges import Body, Piece
from lossmeter.tensors import Array, Datatype, Tensor, elements
from lossmeter.wire import safetensors_layout
from lossmeter.wire.safetensors_layout import DTYPES, LENGTH_BYTES, METADATA, REQUEST, RESPONSE

JSON_TYPE = "application/json"

KEPT_LAYOUTS = 64
LONGEST_KEPT_BYTES = 2048
"""Layouts of requests and answers are worked out once for each shape, and kept if they are not longer."""
MEASURED = re.compile(
    rb'\\"value\\":(NUMBER),\\"sum\\":(NUMBER)(?=[,}])'.replace(
        rb"NUMBER", rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
    )
)
"""What differs from one answer of a loss to the next in the header of its file."""
VALUE, SUM = 0.8125731, 0.3125732
"""Stand for the two while the rest is read."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A format.

    Attributes:
        media_type: of requests and answers.
        encode: the fields of a request, tensors among them, as a body in pieces.
        decode: the fields of an answer, nested as in JSON, tensors among them.
        asked: fields of a request whose answer holds tensors.
    """

    media_type: str
    encode: Callable[[Mapping[str, Any]], Sequence[Piece]]
    decode: Callable[[Body], dict[str, Any]]
    asked: Mapping[str, Any]


def _dumps(value: Any) -> bytes:
    return ENCODER.encode(value).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        text = base64.b64encode(value.bits.data).decode("ascii")
        return {"datatype": value.datatype.name, "shape": value.shape, "base64": text}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"{type(value).__name__} cannot be sent; expected a number, a list, an array of numpy or a tensor of torch"
    )


ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)


def _decode_json(body: Body) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(str(body, "utf-8"), object_hook=_tensor)
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnswer(f"The answer is not JSON: {error}") from None
    return fields


def _tensor(members: dict[str, Any]) -> Any:
    if not {"datatype", "shape"} <= members.keys() or not {"data", "base64"} & members.keys():
        return members
    datatype, shape = Datatype[members["datatype"]], tuple(members["shape"])
    if "base64" in members:
        return Tensor(datatype, shape, _elements(bytearray(base64.b64decode(members["base64"])), 0, datatype, shape))
    numbers = [np.nan if number is None else number for number in members["data"]]
    return Tensor(datatype, shape, np.array(numbers, datatype.dtype))


Kind = tuple[str, tuple[tuple[str, Datatype, tuple[int, ...]], ...]]
"""Fields of a request, and its tensors without their numbers."""

_request_headers: dict[Kind, tuple[bytes, list[str]]] = {}


def _encode_safetensors(fields: Mapping[str, Any]) -> Sequence[Piece]:
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    rest = ENCODER.encode({name: value for name, value in fields.items() if name not in tensors})
    kind = rest, tuple([(name, tensor.datatype, tensor.shape) for name, tensor in tensors.items()])
    known = _request_headers.get(kind)
    if known is not None:
        header, order = known
        return [header, *[tensors[name].bits.data for name in order]]
    pieces = safetensors_layout.pieces(tensors, {REQUEST: rest}, _dumps)
    if len(rest) <= LONGEST_KEPT_BYTES:
        if len(_request_headers) >= KEPT_LAYOUTS:
            _request_headers.clear()
        order = [name for name in safetensors_layout.in_order(tensors) if tensors[name].data.size]
        _request_headers[kind] = bytes(pieces[0]), order
    return pieces


class _Placed(NamedTuple):
    """A tensor of an answer: where it belongs in the answer, and where its bytes are."""

    parents: tuple[str, ...]
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    begin: int


class _Layout(NamedTuple):
    """What the header of an answer says: the fields but for those that are tensors, and where these are."""

    fields: dict[str, Any]
    placed: tuple[_Placed, ...]


_answer_layouts: dict[tuple[bytes, bytes], _Layout] = {}


def _decode_safetensors(body: Body) -> dict[str, Any]:
    try:
        start = LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little")
        header = bytes(body[LENGTH_BYTES:start])
        before, *numbers = MEASURED.split(header)
        layout = _known_layout(before, numbers[2].rstrip(b" ")) if len(numbers) == 3 else None
        if layout is None:
            layout = _read_layout(header)
            fields = layout.fields
        else:
            value, total, _ = numbers
            fields = {**layout.fields, "value": float(value), "sum": float(total), "warnings": [], "gradients": {}}
        for parents, name, datatype, shape, begin in layout.placed:
            place = fields
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = Tensor(datatype, shape, _elements(body, start + begin, datatype, shape))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadAnswer(f"The answer is not a safetensors file: {error}") from None
    return fields


def _known_layout(before: bytes, after: bytes) -> _Layout | None:
    """Returns the layout of answers whose header has this around value and sum; None for those that say more than a loss."""
    layout = _answer_layouts.get((before, after))
    if layout is not None or len(before) + len(after) > LONGEST_KEPT_BYTES:
        return layout
    layout = _read_layout(before + rb"\"value\":%r,\"sum\":%r" % (VALUE, SUM) + after)
    fields = layout.fields
    plain = {name: x for name, x in fields.items() if isinstance(x, str | int | float)}
    outer = plain.get("value") == VALUE and plain.get("sum") == SUM
    if not outer or {name: x for name, x in fields.items() if name not in plain} != {"gradients": {}, "warnings": []}:
        return None
    if len(_answer_layouts) >= KEPT_LAYOUTS:
        _answer_layouts.clear()
    _answer_layouts[before, after] = layout
    return layout


def _read_layout(header: bytes) -> _Layout:
    entries = json.loads(header)
    places = []
    for path, entry in entries.items():
        if path != METADATA:
            *parents, name = path.split(".")
            datatype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
            places.append(_Placed(tuple(parents), name, datatype, shape, entry["data_offsets"][0]))
    return _Layout(json.loads(entries.get(METADATA, {}).get(RESPONSE, "{}")), tuple(places))


def _elements(memory: Body, start: int, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """Returns a view of memory that may be written to; a copy if it is not aligned."""
    size = elements(shape)
    if not size:
        return np.empty(0, datatype.dtype)
    flat = np.frombuffer(memory, datatype.dtype, size, start)
    return flat if flat.flags.aligned else flat.copy()


CODECS: Mapping[str, Codec] = {
    "safetensors": Codec(safetensors_layout.MEDIA_TYPE, _encode_safetensors, _decode_safetensors, {}),
    "json": Codec(JSON_TYPE, lambda fields: [_dumps(fields)], _decode_json, {"tensor_encoding": "base64"}),
}

BY_MEDIA_TYPE: Mapping[str, Codec] = {codec.media_type: codec for codec in CODECS.values()}
