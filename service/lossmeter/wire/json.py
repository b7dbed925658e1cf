"""JSON ⇄ tensors.

A request is read in one pass by simdjson. Out of a large one the big arrays are lifted first and read on their own (see
`_numbers`), which bounds the memory; what remains is small. Both ways give the same result, and a body on which the fast one
fails is read the careful way, which knows what is wrong and where.
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import orjson
import simdjson

from lossmeter.errors import Flaw, Invalid, MalformedBody, pointer
from lossmeter.tensors import Array, Datatype, Tensor, coordinates, elements
from lossmeter.wire._lift import Lifted, Path, lift
from lossmeter.wire._numbers import BadArray, numbers

MEDIA_TYPE = "application/json"
LIFT_BYTES = 1 << 18
"""Bodies larger than this have their arrays lifted."""
LIFTED_BYTES = 1 << 12
"""Arrays shorter than this stay where they are."""
PIECE_ELEMENTS = 1 << 16
"""Elements of an answer that are written at a time."""

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


def decode(body: bytes | bytearray, tensors: AbstractSet[str]) -> dict[str, Any]:
    """The members of a JSON object, those named in `tensors` as `Tensor`.

    Raises:
        MalformedBody: if the body is not JSON.
        Invalid: if it is, but not an object, or one of the tensors is not rectangular, not numeric or not consistent.
    """
    if not body:
        raise MalformedBody("The body is empty; expected a JSON object.")
    lifted: Lifted = {}
    text: bytes | bytearray = body
    if len(body) > LIFT_BYTES:
        text, lifted = lift(body, LIFTED_BYTES)
    parser = simdjson.Parser()
    try:
        document = parser.parse(text)
    except (ValueError, RuntimeError) as error:
        raise _diagnosis(body, str(error)) from None
    if not isinstance(document, simdjson.Object):
        raise Invalid.at("request", "", "the body is not an object; expected the fields of the request")
    return _Reader(text, lifted, tensors).members(document)


class _Reader:
    def __init__(self, text: bytes | bytearray, lifted: Lifted, tensors: AbstractSet[str]) -> None:
        self.lifted = lifted
        self.tensors = tensors
        self.arrays = 0  # how many opening brackets the arrays read so far account for
        self.opening = text.count(b"[")

    def members(self, document: simdjson.Object) -> dict[str, Any]:
        found: dict[str, Any] = {}
        flaws: list[Flaw] = []
        nested: list[tuple[str, simdjson.Array]] = []
        for name in document:
            value = document[name]
            if name in found:
                flaws.append(Flaw(pointer(name), f"{name} appears twice"))
            elif name not in self.tensors:
                found[name] = self.plain(value, (name,))
            else:
                try:
                    found[name] = self.tensor(value, (name,))
                    if isinstance(value, simdjson.Array):
                        nested.append((name, value))
                except BadArray as bad:
                    if bad.malformed:
                        raise bad.error(name) from None
                    flaws.append(bad.flaw(pointer(name), name))
                    found[name] = None
        if not flaws and self.arrays != self.opening:
            # Somewhere there is a bracket too many: inside a string, or an array in the place of a number.
            for name, value in nested:
                try:
                    if (name,) not in self.lifted:
                        _careful(value.as_list())
                except BadArray as bad:
                    flaws.append(bad.flaw(pointer(name), name))
        if flaws:
            raise Invalid.of("request", flaws)
        return found

    def plain(self, value: Any, path: Path) -> Any:
        """Python objects, for what is no tensor."""
        if isinstance(value, simdjson.Array):
            self.arrays += 1
            return [self.plain(item, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, simdjson.Object):
            return {key: self.plain(value[key], (*path, key)) for key in value}
        if value is None and path in self.lifted:
            flat, shape = self.lifted[path]
            return flat.reshape(shape).tolist()
        return value

    def tensor(self, value: Any, path: Path) -> Tensor | None:
        if isinstance(value, simdjson.Array):
            return self.nested(value)
        if isinstance(value, simdjson.Object):
            return self.declared(value, path)
        if value is None:
            return _tensor(*self.lifted[path]) if path in self.lifted else None
        if isinstance(value, bool | int | float):
            return _tensor(np.array([value]), ())
        raise BadArray(f"is {_shown(value)}; expected numbers")

    def nested(self, array: simdjson.Array) -> Tensor:
        shape, leaf, opened = _outline(array)
        self.arrays += opened
        if isinstance(leaf, int | float) and not isinstance(leaf, bool):
            flat = numbers(array, whole=isinstance(leaf, int))
            if flat is not None and len(flat) == elements(shape):
                return _tensor(flat, shape)
        return _tensor(*_careful(array.as_list()))

    def declared(self, value: simdjson.Object, path: Path) -> Tensor:
        given = {key: value[key] for key in value}
        unknown = given.keys() - {"datatype", "shape", "data", "base64"}
        if unknown:
            raise BadArray(f"has an unknown field {min(unknown)!r}; expected datatype, shape and data or base64")
        datatype = _datatype(given.get("datatype"))
        shape = _shape(self.plain(given.get("shape"), (*path, "shape")))
        if ("data" in given) == ("base64" in given):
            raise BadArray("needs either data or base64")
        if "base64" in given:
            return Tensor(datatype, shape, _bits(given["base64"], datatype, shape))
        if datatype.binary_only:
            raise BadArray(f"is {datatype.name}, which travels in base64 and in the binary formats only")
        numbers = self.tensor(given["data"], (*path, "data"))
        if numbers is None:
            raise BadArray("has no data; expected numbers")
        if len(numbers.data) != elements(shape):
            raise BadArray(
                f"has {len(numbers.data)} numbers in data; expected {elements(shape)} for shape {list(shape)}"
            )
        return Tensor(datatype, shape, _fitted(numbers.data, datatype, shape))


def _outline(array: simdjson.Array) -> tuple[tuple[int, ...], Any, int]:
    """The shape by the first elements, the first number, and how many arrays a rectangle of that shape consists of.

    Raises:
        BadArray: if an array differs in length from the first of its depth.
    """
    shape: list[int] = []
    first: Any = array
    while isinstance(first, simdjson.Array):
        shape.append(len(first))
        first = first[0] if shape[-1] else None
    level: list[Any] = [array]
    opened = 1
    for size in shape[1:]:
        try:
            level = [inner for outer in level for inner in outer]
            lengths = set(map(len, level))
        except TypeError:
            lengths = set()
        opened += len(level)
        if lengths != {size}:
            _careful(array.as_list())
            raise BadArray("is ragged")
    return tuple(shape), first, opened


def _careful(nested: Any) -> tuple[Array, tuple[int, ...]]:
    """Reads what the fast path would not: booleans, empty arrays, and whatever is wrong, which it names."""
    shape: list[int] = []
    first = nested
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    boolean = isinstance(first, bool)
    if boolean:
        with contextlib.suppress(ValueError):
            array = np.array(nested)
            if array.dtype.kind == "b":
                return array.reshape(-1), array.shape
    leaves: list[Any] = []

    def walk(value: Any, index: tuple[int, ...]) -> None:
        depth = len(index)
        if depth == len(shape):
            if isinstance(value, list):
                raise BadArray(f"is an array; expected {'true or false' if boolean else 'a number'}", index)
            if isinstance(value, bool) is not boolean or not isinstance(value, int | float):
                raise BadArray(f"is {_shown(value)}; expected {'true or false' if boolean else 'a number'}", index)
            leaves.append(value)
            return
        if not isinstance(value, list):
            raise BadArray(f"is {_shown(value)}; expected an array of {shape[depth]}", index)
        if len(value) != shape[depth]:
            raise BadArray(f"has {len(value)} elements; expected {shape[depth]}, as many as the first", index)
        for i, item in enumerate(value):
            walk(item, (*index, i))

    walk(nested, ())
    whole = all(isinstance(leaf, int) and -(2**63) <= leaf < 2**63 for leaf in leaves)
    dtype = np.bool_ if boolean else np.int64 if whole and leaves else np.float64
    return np.array(leaves, dtype), tuple(shape)


def _tensor(flat: Array, shape: tuple[int, ...]) -> Tensor:
    datatype = {"b": Datatype.BOOL, "i": Datatype.INT64, "f": Datatype.FP64, "u": Datatype.FP64}[flat.dtype.kind]
    return Tensor(datatype, shape, flat.astype(datatype.dtype, copy=False), declared=False)


def _datatype(name: Any) -> Datatype:
    if isinstance(name, str) and name in Datatype.__members__:
        return Datatype[name]
    raise BadArray(f"has datatype {_shown(name)}; expected one of {', '.join(Datatype.__members__)}")


def _shape(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, list) and all(type(size) is int and size >= 0 for size in sizes):
        return tuple(sizes)
    raise BadArray(f"has shape {_shown(sizes)}; expected an array of non-negative integers")


def _bits(text: Any, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    if not isinstance(text, str):
        raise BadArray(f"has {_shown(text)} in base64; expected a string")
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadArray(f"is not base64: {error}") from None
    expected = elements(shape) * datatype.size
    if len(raw) != expected:
        raise BadArray(
            f"has {len(raw)} bytes in base64; expected {expected} for {datatype.name} of shape {list(shape)}"
        )
    return np.frombuffer(bytearray(raw), datatype.dtype)  # torch wants memory that may be written to


def _fitted(flat: Array, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """The numbers in their declared datatype.

    Raises:
        BadArray: at the first that does not fit.
    """
    if (flat.dtype.kind == "b") is not (datatype is Datatype.BOOL) and len(flat):
        expected = "true or false" if datatype is Datatype.BOOL else "a number"
        raise BadArray(f"is {_shown(flat[0].item())}; expected {expected}", coordinates(0, shape))
    if datatype.kind == "index":
        bounds = np.iinfo(datatype.dtype)
        wrong = (flat < bounds.min) | (flat > bounds.max) | (flat != np.trunc(flat))
        # 2**63 rounds to itself in float64, and so slips past the comparison above.
        if flat.dtype.kind == "f" and datatype is Datatype.INT64:
            wrong |= flat >= 2.0**63
        if wrong.any():
            first = int(np.argmax(wrong))
            raise BadArray(
                f"is {flat[first]}; expected an integer that fits {datatype.name}", coordinates(first, shape)
            )
    return flat.astype(datatype.dtype, copy=False)


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode() if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "…"


def _diagnosis(body: bytes | bytearray, complaint: str) -> Exception:
    """Why simdjson would not have the body."""
    if "deep" in complaint:
        return Invalid.at(
            "request", "", "the body is nested deeper than 1024 levels; tensors have far fewer dimensions"
        )
    try:
        rest, _ = lift(body, 0)
        orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        where = f" (line {error.lineno}, column {error.colno})" if rest == body else ""
        return MalformedBody(f"The body is not JSON: {error.msg}{where}.")
    except (Invalid, MalformedBody) as error:
        return error
    return MalformedBody(f"The body is not JSON: {complaint}.")


# --- answers --------------------------------------------------------------------------------------------------------------


def encode(answer: Mapping[str, Any], *, base64: bool = False) -> list[bytes | memoryview]:
    """The answer as pieces of JSON; tensors as tensor objects. A number that is not finite becomes null."""
    form = _base64_form if base64 else _data_form
    if base64 or _largest(answer) <= PIECE_ELEMENTS:
        return [orjson.dumps(answer, default=form, option=_OPTIONS)]
    return list(_pieces(answer))


def _largest(answer: Mapping[str, Any]) -> int:
    """Elements of the largest tensor of an answer."""
    sizes = [0]
    for value in answer.values():
        if isinstance(value, Tensor):
            sizes.append(len(value.data))
        elif isinstance(value, dict):
            sizes.append(_largest(value))
    return max(sizes)


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
    """The same bytes as from one call of orjson, but a slice at a time, so that other threads get their turn."""
    if isinstance(value, Tensor) and len(value.data) > PIECE_ELEMENTS:
        head = orjson.dumps({"datatype": value.datatype.name, "shape": value.shape})
        yield head[:-1] + b',"data":['
        for start in range(0, len(value.data), PIECE_ELEMENTS):
            if start:
                yield b","
            piece = orjson.dumps(value.data[start : start + PIECE_ELEMENTS], option=orjson.OPT_SERIALIZE_NUMPY)
            yield memoryview(piece)[1:-1]
        yield b"]}"
    elif isinstance(value, dict):
        yield b"{"
        for number, (key, item) in enumerate(value.items()):
            yield (b"," if number else b"") + orjson.dumps(key) + b":"
            yield from _pieces(item)
        yield b"}"
    else:
        yield orjson.dumps(value, default=_data_form, option=_OPTIONS)
