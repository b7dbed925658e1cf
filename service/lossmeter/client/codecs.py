"""Requests as bytes and answers from bytes, in each of the formats: a table from name to codec."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmeter.client.errors import BadAnswer
from lossmeter.client.exchanges import Piece
from lossmeter.tensors import Array, Datatype, Tensor, elements
from lossmeter.wire import _layout
from lossmeter.wire._layout import DTYPES, LENGTH_BYTES, METADATA, REQUEST, RESPONSE

JSON_TYPE = "application/json"


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
    decode: Callable[[bytearray], dict[str, Any]]
    asked: Mapping[str, Any]


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        text = base64.b64encode(value.bits.data).decode("ascii")
        return {"datatype": value.datatype.name, "shape": value.shape, "base64": text}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"{type(value).__name__} cannot be sent; expected a number, a list, an array of numpy or a tensor of torch"
    )


def _decode_json(body: bytearray) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(body, object_hook=_tensor)
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


def _encode_json(fields: Mapping[str, Any]) -> Sequence[Piece]:
    return [_dumps(fields)]


def _encode_safetensors(fields: Mapping[str, Any]) -> Sequence[Piece]:
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in fields.items() if name not in tensors}
    return _layout.pieces(tensors, {REQUEST: _dumps(rest).decode()}, _dumps)


def _decode_safetensors(body: bytearray) -> dict[str, Any]:
    try:
        start = LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little")
        header = json.loads(body[LENGTH_BYTES:start])
        fields: dict[str, Any] = json.loads(header.pop(METADATA, {}).get(RESPONSE, "{}"))
        for path, entry in header.items():
            *parents, name = path.split(".")
            place = fields
            for parent in parents:
                place = place.setdefault(parent, {})
            datatype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
            place[name] = Tensor(datatype, shape, _elements(body, start + entry["data_offsets"][0], datatype, shape))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadAnswer(f"The answer is not a safetensors file: {error}") from None
    return fields


def _elements(memory: bytearray, start: int, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """A view of memory that may be written to; a copy if it is not aligned."""
    size = elements(shape)
    if not size:
        return np.empty(0, datatype.dtype)
    flat = np.frombuffer(memory, datatype.dtype, size, start)
    return flat if flat.flags.aligned else flat.copy()


CODECS: Mapping[str, Codec] = {
    "safetensors": Codec(_layout.MEDIA_TYPE, _encode_safetensors, _decode_safetensors, {}),
    "json": Codec(JSON_TYPE, _encode_json, _decode_json, {"tensor_encoding": "base64"}),
}
