"""Requests as bytes and answers from bytes, in each of the formats: a table from name to codec."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lossmeter.client.errors import BadAnswer
from lossmeter.client.exchanges import Body, Piece
from lossmeter.tensors import Array, Datatype, Tensor, elements
from lossmeter.wire import safetensors_layout
from lossmeter.wire.safetensors_layout import DTYPES, LENGTH_BYTES, METADATA, REQUEST, RESPONSE

JSON_TYPE = "application/json"

KEPT_LAYOUTS = 64
LONGEST_KEPT_CHARACTERS = 2048
"""Layouts of requests and answers are worked out once for each shape, and kept if they are not longer."""
OPENING = f'{{"{METADATA}":{{"{RESPONSE}":'
"""The beginning of the header of an answer; the string that follows differs from one answer to the next."""


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


DECODER = json.JSONDecoder()
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


class _Described(NamedTuple):
    """A tensor of a request without its numbers."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


_request_headers: dict[tuple[str, tuple[_Described, ...]], bytes] = {}


def _encode_safetensors(fields: Mapping[str, Any]) -> Sequence[Piece]:
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    rest = ENCODER.encode({name: value for name, value in fields.items() if name not in tensors})
    kind = rest, tuple(_Described(name, tensor.datatype, tensor.shape) for name, tensor in tensors.items())
    header = _request_headers.get(kind)
    if header is not None:
        ordered = sorted(tensors.values(), key=lambda tensor: -tensor.datatype.size)  # as `pieces` does
        return [header, *(tensor.bits.data for tensor in ordered if tensor.data.size)]
    pieces = safetensors_layout.pieces(tensors, {REQUEST: rest}, _dumps)
    if len(rest) <= LONGEST_KEPT_CHARACTERS:
        if len(_request_headers) >= KEPT_LAYOUTS:
            _request_headers.clear()
        _request_headers[kind] = bytes(pieces[0])
    return pieces


class _Placed(NamedTuple):
    """A tensor of an answer: where it belongs in the answer, and where its bytes are."""

    parents: tuple[str, ...]
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    begin: int


def _decode_safetensors(body: Body) -> dict[str, Any]:
    try:
        start = LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little")
        header = str(body[LENGTH_BYTES:start], "utf-8")
        if header.startswith(OPENING):
            response, end = DECODER.raw_decode(header, len(OPENING))
            layout = OPENING + '"{}"' + header[end:]
        else:
            layout, response = header, json.loads(header).get(METADATA, {}).get(RESPONSE, "{}")
        placed = _places(layout) if len(layout) <= LONGEST_KEPT_CHARACTERS else _places.__wrapped__(layout)
        fields: dict[str, Any] = json.loads(response)
        for parents, name, datatype, shape, begin in placed:
            place = fields
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = Tensor(datatype, shape, _elements(body, start + begin, datatype, shape))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadAnswer(f"The answer is not a safetensors file: {error}") from None
    return fields


@lru_cache(KEPT_LAYOUTS)
def _places(header: str) -> tuple[_Placed, ...]:
    places = []
    for path, entry in json.loads(header).items():
        if path != METADATA:
            *parents, name = path.split(".")
            datatype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
            places.append(_Placed(tuple(parents), name, datatype, shape, entry["data_offsets"][0]))
    return tuple(places)


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
