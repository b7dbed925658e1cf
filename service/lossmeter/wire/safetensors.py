"""safetensors ⇄ tensors, without a copy of their bytes.

Requests and answers keep what is no tensor as JSON text under `__metadata__`. `safetensors_layout` says how a file is laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import orjson
import simdjson

from lossmeter.errors import Flaw, Invalid, MalformedBody
from lossmeter.tensors import Tensor
from lossmeter.wire import json, safetensors_layout
from lossmeter.wire._values import MAX_DIMENSIONS, BadValue, count, read_elements, read_members, shown
from lossmeter.wire.safetensors_layout import (
    DTYPES,
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    METADATA,
    REQUEST,
    RESPONSE,
    pieces,
)

MEDIA_TYPE = safetensors_layout.MEDIA_TYPE
OTHER_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "U16": 16,
    "U32": 32,
    "U64": 64,
    "C64": 64,
}
"""The dtypes of the format that have no counterpart here, and their sizes."""
BITS = OTHER_BITS | {name: datatype.size * 8 for name, datatype in DTYPES.items()}


class _Entry(NamedTuple):
    """Announces a tensor as the header does; the offsets are relative to the end of the header."""

    begin: int
    end: int
    name: str
    dtype: str
    shape: tuple[int, ...]


def decode(body: bytes | bytearray, tensors: AbstractSet[str], texts: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """Reads the tensors of a file, as views of its bytes, and the members of the JSON object in `__metadata__["request"]`.

    Raises:
        MalformedBody: if the bytes break a rule of the format.
        Invalid: if a tensor is none of those named in `tensors`, or of a datatype that is not spoken here.
    """
    start, header = _header(body)
    entries, metadata = _entries(header)
    _check_layout(sorted(entries), len(body) - start)
    fields = _fields(metadata, tensors, texts)
    flaws: list[Flaw] = []
    for entry in entries:
        try:
            if entry.name in fields:
                raise BadValue(f"stands both among the tensors and in {METADATA}.{REQUEST}")
            fields[entry.name] = _tensor(body, start, entry, tensors)
        except BadValue as bad:
            flaws.append(bad.flaw(entry.name))
    if flaws:
        raise Invalid.of("request", flaws)
    return fields


def _fields(metadata: Mapping[str, str], tensors: AbstractSet[str], texts: AbstractSet[str]) -> dict[str, Any]:
    if REQUEST not in metadata:
        return {}
    try:
        return json.decode(metadata[REQUEST].encode(), tensors, texts)
    except MalformedBody as error:
        raise MalformedBody(f"{METADATA}.{REQUEST} of the safetensors body is not a request: {error.detail}") from None


def _header(body: bytes | bytearray) -> tuple[int, simdjson.Object]:
    """Reads the header; returns where the bytes of the tensors begin, too."""
    if len(body) < LENGTH_BYTES:
        raise _malformed(f"has {len(body)} bytes; expected at least {LENGTH_BYTES}, the length of the header")
    length = int.from_bytes(body[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise _malformed(f"states a header of {length} bytes; expected at most {MAX_HEADER_BYTES}")
    start = LENGTH_BYTES + length
    if start > len(body):
        raise _malformed(f"states a header of {length} bytes; {len(body) - LENGTH_BYTES} follow")
    text = memoryview(body)[LENGTH_BYTES:start]
    if not length or text[0] != ord("{"):
        raise _malformed("has a header that does not begin with {")
    try:
        header = simdjson.Parser().parse(text)
    except (ValueError, RuntimeError) as error:
        raise _malformed(f"has a header that is not JSON: {error}") from None
    assert isinstance(header, simdjson.Object)
    return start, header


def _entries(header: simdjson.Object) -> tuple[list[_Entry], dict[str, Any]]:
    named = _members(header, "header")
    metadata = _members(named.pop(METADATA), METADATA) if METADATA in named else {}
    for key, text in metadata.items():
        if not isinstance(text, str):
            raise _malformed(f"has something other than a string in {METADATA}.{key}")
    return [_entry(name, value) for name, value in named.items()], metadata


def _entry(name: str, value: Any) -> _Entry:
    given = _members(value, name)
    missing = [key for key in ("dtype", "shape", "data_offsets") if key not in given]
    if missing:
        raise _malformed(f"does not state {missing[0]} of {name}")
    dtype = given["dtype"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _malformed(f"states dtype {shown(dtype)} of {name}; the format has {', '.join(BITS)}")
    shape = _sizes(given["shape"], f"shape of {name}")
    offsets = _sizes(given["data_offsets"], f"data_offsets of {name}")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _malformed(f"states data_offsets of {name} that are not [begin, end]")
    return _Entry(*offsets, name, dtype, shape)


def _members(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, simdjson.Object):
        raise _malformed(f"has something other than an object under {name}")
    try:
        return read_members(value)
    except BadValue as bad:
        raise _malformed(f"is wrong: {bad.flaw(name).message}") from None


def _sizes(value: Any, what: str) -> tuple[int, ...]:
    sizes = tuple(value) if isinstance(value, simdjson.Array) and len(value) <= MAX_DIMENSIONS else (None,)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise _malformed(f"states a {what} that is no short array of non-negative integers")
    return sizes  # type: ignore[return-value]


def _check_layout(entries: list[_Entry], room: int) -> None:
    """Makes sure that each byte belongs to one tensor, from the first to the last."""
    position = 0
    for entry in entries:
        if entry.begin != position:
            problem = "overlaps the tensor before it" if entry.begin < position else "leaves a hole before it"
            raise _malformed(f"has {entry.name} at byte {entry.begin}, which {problem}; expected {position}")
        try:
            bits = count(entry.shape) * BITS[entry.dtype]
        except BadValue as bad:
            raise _malformed(f"has a tensor, {entry.name}, that {bad.message}") from None
        if bits != (entry.end - entry.begin) * 8:
            raise _malformed(
                f"gives {entry.name} {entry.end - entry.begin} bytes; "
                f"expected {bits / 8:g} for {entry.dtype} of shape {list(entry.shape)}"
            )
        position = entry.end
    if position != room:
        raise _malformed(f"describes {position} bytes of tensors; {room} follow the header")


def _tensor(body: bytes | bytearray, start: int, entry: _Entry, tensors: AbstractSet[str]) -> Tensor:
    if entry.name not in tensors:
        raise BadValue(f"is not a tensor of this request; expected one of {', '.join(sorted(tensors))}")
    datatype = DTYPES.get(entry.dtype)
    if datatype is None:
        raise BadValue(f"has dtype {entry.dtype}; expected one of {', '.join(DTYPES)}")
    return Tensor(datatype, entry.shape, read_elements(body, start + entry.begin, datatype, entry.shape))


def _malformed(problem: str) -> MalformedBody:
    return MalformedBody(f"The safetensors body {problem}.")


# --- answers --------------------------------------------------------------------------------------------------------------


def encode(answer: Mapping[str, Any], *, base64: bool = False) -> list[bytes | memoryview]:  # noqa: ARG001 all is binary
    """Writes the answer as a file in pieces: the header, then each tensor's own memory."""
    tensors: dict[str, Tensor] = {}
    remainder = _without_tensors(answer, "", tensors)
    return pieces(tensors, {RESPONSE: orjson.dumps(remainder).decode()}, orjson.dumps)


def _without_tensors(value: Mapping[str, Any], path: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Returns what is no tensor; the tensors go to `tensors` under their dotted paths."""

    def rest() -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            if isinstance(item, Tensor):
                tensors[path + key] = item
            else:
                yield key, _without_tensors(item, f"{path}{key}.", tensors) if isinstance(item, dict) else item

    return dict(rest())
