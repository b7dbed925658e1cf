"""JSON ⇄ tensors.

A request is read in one pass by simdjson. Out of a large one the big arrays are extracted first and read on their own (see
`_numbers`), which bounds the memory; what remains is small. Both ways give the same result, and a body that simdjson does not
take is read once more the second way, which knows what is wrong and where.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
import simdjson

from lossmeter.errors import Flaw, Invalid, LossmeterError, MalformedBody
from lossmeter.tensors import Tensor
from lossmeter.wire._extraction import Extracted, extract
from lossmeter.wire._reader import Reader
from lossmeter.wire._values import BadValue, loads, read_members

MEDIA_TYPE = "application/json"
LARGE_BODY_BYTES = 1 << 18
"""Bodies larger than this have their arrays extracted."""
LONG_ARRAY_BYTES = 1 << 12
"""Arrays shorter than this stay where they are."""
PIECE_ELEMENTS = 1 << 16
"""Elements of an answer that are written at a time."""
PIECE_BYTES = 3 << 18
"""Bytes of an answer that are put into base64 at a time: a multiple of three."""

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


def decode(body: bytes | bytearray, tensors: AbstractSet[str], texts: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """Reads the members of a JSON object, those named in `tensors` as `Tensor`; those in `texts` too as `Texts`, if they are.

    Raises:
        MalformedBody: if the body is not JSON.
        Invalid: if it is, but not an object, or one of the tensors is not rectangular, not numeric or not consistent.
        TooLarge: if too much of it is no tensor.
    """
    document, reader = read(body)
    if not isinstance(document, simdjson.Object):
        raise reader.refusal(Invalid.at("request", "", "the body is not an object; expected the fields of the request"))
    try:
        given = read_members(document)
    except BadValue as bad:
        raise reader.refusal(Invalid.of("request", [bad.flaw()])) from None
    fields: dict[str, Any] = {}
    flaws: dict[str, Flaw] = {}
    for name, value in given.items():
        try:
            read_as = reader.to_tensor_or_texts if name in texts else reader.to_tensor
            fields[name] = read_as(value, (name,)) if name in tensors else reader.to_python(value)
        except BadValue as bad:
            if bad.malformed:
                raise bad.error(name) from None
            flaws[name] = bad.flaw(name)
    flaws |= {str(path[0]): bad.flaw(*path) for path, bad in reader.find_hidden()}
    if flaws:
        raise reader.refusal(Invalid.of("request", [flaws[name] for name in given if name in flaws]))
    return fields


def read(body: bytes | bytearray) -> tuple[Any, Reader]:
    """Parses a JSON text; returns what simdjson made of it, and the reader that makes Python objects and tensors of its values.

    Raises:
        MalformedBody: if the body is not JSON.
        Invalid: if it goes beyond what JSON is read here: too deep, numbers too large.
        TooLarge: if too much of it are no numbers.
    """
    if not body:
        raise MalformedBody("The body is empty; expected JSON.")
    text: bytes | bytearray = body
    extracted = Extracted(body)
    parser = simdjson.Parser()
    try:
        if len(body) > LARGE_BODY_BYTES:
            text, extracted = extract(body, LONG_ARRAY_BYTES)
        return parser.parse(text), Reader(text, extracted)
    except (ValueError, RuntimeError):
        text, extracted = extract(body, 0)
    try:
        return parser.parse(text), Reader(text, extracted)
    except (ValueError, RuntimeError) as error:
        diagnosis = _diagnosis(text, str(error), whole=not extracted.items)
        malformed = extracted.find_malformed() if isinstance(diagnosis, Invalid) else None
        raise (diagnosis if malformed is None else malformed.error("the body")) from None


def _diagnosis(text: bytes | bytearray, complaint: str, *, whole: bool) -> LossmeterError:
    """Says why simdjson refused the text; `whole` if that is the body and nothing was extracted from it."""
    if "deep" in complaint:
        message = "the body is nested deeper than 1024 levels; tensors have far fewer dimensions"
        return Invalid.at("request", "", message)
    try:
        loads(text)
    except BadValue as bad:
        where = f" ({bad.place})" if bad.place and whole else ""
        if bad.malformed:
            return MalformedBody(f"The body {bad.message}{where}.")
        return Invalid.of("request", [bad.flaw()])
    except RecursionError:
        pass
    return MalformedBody(f"The body is not JSON: {complaint}.")


# --- answers --------------------------------------------------------------------------------------------------------------


def encode(answer: Mapping[str, Any], *, base64: bool = False) -> list[bytes | memoryview]:
    """Writes the answer as pieces of JSON, tensors as tensor objects. A number that is not finite becomes null."""
    form = _base64_form if base64 else _data_form
    if base64 or _largest(answer) <= PIECE_ELEMENTS:
        return [orjson.dumps(answer, default=form, option=_OPTIONS)]
    return list(_pieces(answer))


def _largest(answer: Mapping[str, Any]) -> int:
    """Counts the elements of the largest tensor of an answer."""
    largest = 0
    for value in answer.values():
        kind = type(value)
        size = len(value.data) if kind is Tensor else _largest(value) if kind is dict else 0
        largest = max(largest, size)
    return largest


def _data_form(value: Any) -> dict[str, Any]:
    if not isinstance(value, Tensor):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return {"datatype": value.datatype.name, "shape": value.shape, "data": value.data}


def _base64_form(value: Any) -> dict[str, Any]:
    if not isinstance(value, Tensor):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    text = binascii.b2a_base64(value.bits.data, newline=False).decode("ascii")
    return {"datatype": value.datatype.name, "shape": value.shape, "base64": text}


def _pieces(value: Any) -> Iterator[bytes | memoryview]:
    """Writes the bytes that one call of orjson would, but a slice at a time, so that other threads get their turn."""
    if isinstance(value, Tensor):
        yield from tensor_pieces(value, {})
    elif isinstance(value, dict):
        yield b"{"
        for number, (key, item) in enumerate(value.items()):
            yield (b"," if number else b"") + orjson.dumps(key) + b":"
            yield from _pieces(item)
        yield b"}"
    else:
        yield orjson.dumps(value, default=_data_form, option=_OPTIONS)


def tensor_pieces(tensor: Tensor, head: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """Writes a tensor object in pieces, with other members in front of its own."""
    text = orjson.dumps({**head, "datatype": tensor.datatype.name, "shape": tensor.shape})
    yield text[:-1] + b',"data":['
    for start in range(0, len(tensor.data), PIECE_ELEMENTS):
        if start:
            yield b","
        piece = orjson.dumps(tensor.data[start : start + PIECE_ELEMENTS], option=orjson.OPT_SERIALIZE_NUMPY)
        yield memoryview(piece)[1:-1]
    yield b"]}"
