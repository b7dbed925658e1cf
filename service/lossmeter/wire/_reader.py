"""Makes Python objects and tensors of the values of a JSON document."""

from __future__ import annotations

import binascii
import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import simdjson

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.tensors import Array, Datatype, Tensor, Texts, coordinates
from lossmeter.wire._extraction import Extracted, Text
from lossmeter.wire._numbers import Numbers, numbers
from lossmeter.wire._values import MAX_DIMENSIONS, MIXED, BadValue, Path, count, read_elements, read_members, shown

MAX_DEPTH = 64
BASE64_CHARACTERS = 1 << 20
"""Characters of base64 that are read at a time: a multiple of four."""
_CONTAINERS = (simdjson.Array, simdjson.Object)
PLAIN = {"b": Datatype.BOOL, "i": Datatype.INT64, "f": Datatype.FP64, "u": Datatype.FP64}
"""The datatypes of numbers that none was declared for, by numpy's kinds."""
TENSOR_MEMBERS = frozenset({"datatype", "shape", "data", "base64"})


class Reader:
    """Reads the values of one document.

    Args:
        text: what simdjson has parsed.
        extracted: what was taken out of it.
    """

    def __init__(self, text: bytes | bytearray, extracted: Extracted) -> None:
        self.extracted = extracted
        self.nested: list[tuple[Path, simdjson.Array]] = []
        self.arrays = 0  # how many opening brackets the arrays read so far account for
        self.opening = text.count(b"[")

    def to_python(self, value: Any, path: Path = ()) -> Any:
        """Makes Python objects of what is no tensor.

        Raises:
            BadValue: if it is nested too deeply, or has two members of one name.
        """
        if isinstance(value, _CONTAINERS) and len(path) >= MAX_DEPTH:
            raise BadValue(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, simdjson.Array):
            self.arrays += 1
            item = self.extracted.get(value)
            if item is not None:
                return self.extracted.to_python(item, MAX_DEPTH - len(path))
            return [self.to_python(x, (*path, i)) if isinstance(x, _CONTAINERS) else x for i, x in enumerate(value)]
        if isinstance(value, simdjson.Object):
            try:
                given = read_members(value)
            except BadValue as bad:
                bad.inside = (*path, *bad.inside)
                raise
            return {key: self.to_python(x, (*path, key)) for key, x in given.items()}
        return value

    def to_tensor(self, value: Any, path: Path) -> Tensor | None:
        """Makes the tensor that stands under a name; None of null.

        Raises:
            BadValue: if it is no tensor.
        """
        if isinstance(value, simdjson.Object):
            return self._to_declared(value, path)
        return self.to_numbers(value, path)

    def to_tensor_or_texts(self, value: Any, path: Path) -> Tensor | Texts | None:
        """Makes a tensor, or texts of nested arrays that begin with one; None of null.

        Raises:
            BadValue: if it is neither.
        """
        first = value
        while isinstance(first, simdjson.Array) and len(first) and self.extracted.get(first) is None:
            first = first[0]
        return _texts(self.to_python(value, path)) if isinstance(first, str) else self.to_tensor(value, path)

    def to_numbers(self, value: Any, path: Path) -> Tensor | None:
        """Makes a tensor of a number, a boolean, or nested arrays of them, in a datatype that holds them all; None of null."""
        if isinstance(value, simdjson.Array):
            return self._nested(value, path)
        if value is None:
            return None
        if isinstance(value, bool | int | float):
            return _tensor(np.array([value]), ())
        raise BadValue(f"is {shown(value)}; expected numbers")

    def _nested(self, array: simdjson.Array, path: Path) -> Tensor:
        item = self.extracted.get(array)
        if isinstance(item, Numbers):
            self.arrays += 1
            if item.bad is not None:
                raise item.bad
            return _tensor(item.flat, item.shape)
        if item is not None:
            self.arrays += 1
            raise BadValue(f"is {shown(self.extracted.decode_text(item))}; expected numbers")
        shape, leaf, opened = _outline(array)
        if opened and isinstance(leaf, int | float) and not isinstance(leaf, bool):
            flat = numbers(array, whole=isinstance(leaf, int))
            if flat is not None and len(flat) == math.prod(shape):
                self.arrays += opened
                self.nested.append((path, array))
                return _tensor(flat, shape)
        flat_and_shape = _careful(self.extracted.restore(array.as_list()))
        self.arrays += opened
        return _tensor(*flat_and_shape)

    def find_hidden(self) -> Iterator[tuple[Path, BadValue]]:
        """Finds what only a count of the brackets reveals: arrays in the place of numbers."""
        # Brackets inside of strings count too, so that the careful look may find nothing.
        if self.arrays != self.opening:
            for path, array in self.nested:
                try:
                    _careful(array.as_list())
                except BadValue as bad:
                    yield path, bad

    def refusal(self, invalid: Invalid) -> Invalid | MalformedBody:
        """Prefers to content that is wrong something that was taken out and is not even JSON, which weighs more."""
        malformed = self.extracted.find_malformed()
        return invalid if malformed is None else malformed.error("an array")

    def _to_declared(self, value: simdjson.Object, path: Path) -> Tensor:
        """Makes a tensor of an object with datatype, shape, and data or base64."""
        given = read_members(value)
        unknown = given.keys() - TENSOR_MEMBERS
        if unknown:
            raise BadValue(f"has an unknown field {shown(min(unknown))}; expected datatype, shape and data or base64")
        datatype = read_datatype(self.to_python(given.get("datatype")))
        shape = self.to_shape(given.get("shape"))
        if ("data" in given) == ("base64" in given):
            raise BadValue("needs either data or base64")
        if "base64" in given:
            return Tensor(datatype, shape, self._base64(given["base64"], datatype, shape))
        if datatype.binary_only:
            raise BadValue(f"is {datatype.name}, which travels in base64 and in the binary formats only")
        return self.fit(given["data"], datatype, shape, path)

    def fit(self, data: Any, datatype: Datatype, shape: tuple[int, ...], path: Path) -> Tensor:
        """Makes a tensor of numbers, flat or nested as the shape says, in a declared datatype."""
        tensor = self.to_numbers(data, path)
        if tensor is None:
            raise BadValue("has no data; expected numbers")
        size = count(shape)
        if len(tensor.data) != size:
            raise BadValue(f"has {len(tensor.data)} numbers in data; expected {size} for shape {list(shape)}")
        if len(tensor.shape) > 1 and tensor.shape != shape:
            raise BadValue(f"has data of shape {list(tensor.shape)}; expected {list(shape)}, or flat data")
        return Tensor(datatype, shape, _convert(tensor.data, datatype, shape))

    def to_shape(self, value: Any) -> tuple[int, ...]:
        """Reads a shape, and refuses those that no memory could hold."""
        if isinstance(value, simdjson.Array) and len(value) > MAX_DIMENSIONS:
            raise BadValue(f"has {len(value)} dimensions; expected at most {MAX_DIMENSIONS}")
        sizes = self.to_python(value)
        if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
            raise BadValue(f"has shape {shown(sizes)}; expected an array of non-negative integers")
        count(sizes)
        return tuple(sizes)

    def _base64(self, value: Any, datatype: Datatype, shape: tuple[int, ...]) -> Array:
        item = self.extracted.get(value) if isinstance(value, simdjson.Array) else None
        if isinstance(item, Text):
            self.arrays += 1
            body, start, stop = self.extracted.body, item.start, item.stop
            # As a rule nothing is escaped, and the text can be read where it stands.
            escaped = body.find(b"\\", start, stop) >= 0 or not memoryview(body)[start:stop].tobytes().isascii()
            bits = _bits(self.extracted.decode_text(item) if escaped else memoryview(body)[start + 1 : stop - 1])
        elif isinstance(value, str):
            bits = _bits(value)
        else:
            raise BadValue(f"has {shown(value)} in base64; expected a string")
        expected = count(shape) * datatype.size
        if len(bits) != expected:
            raise BadValue(
                f"has {len(bits)} bytes in base64; expected {expected} for {datatype.name} of shape {list(shape)}"
            )
        return read_elements(bits, 0, datatype, shape)


def _bits(text: str | memoryview) -> bytearray:
    """Decodes base64 into memory that may be written to."""
    bits = bytearray()
    for start in range(0, len(text), BASE64_CHARACTERS):
        piece = text[start : start + BASE64_CHARACTERS]
        last = start + BASE64_CHARACTERS >= len(text)
        try:
            bits += binascii.a2b_base64(piece, strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise BadValue(f"is not base64: {error}") from None
        if not last and len(bits) % 3:
            raise BadValue("is not base64: padding before the end")
    return bits


def _outline(array: simdjson.Array) -> tuple[tuple[int, ...], Any, int]:
    """Finds the shape by the first elements, the first number, and how many arrays a rectangle of that shape consists of.

    The last is 0 if the arrays of some depth differ in length.

    Raises:
        BadValue: if it is nested too deeply.
    """
    shape: list[int] = []
    first: Any = array
    while isinstance(first, simdjson.Array):
        if len(shape) == MAX_DIMENSIONS:
            raise BadValue(f"is nested deeper than {MAX_DIMENSIONS} levels")
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
        if lengths != {size}:
            return tuple(shape), first, 0
        opened += len(level)
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
    word = "true or false" if boolean else "a number"
    leaves: list[Any] = []

    def walk(value: Any, index: tuple[int, ...]) -> None:
        depth = len(index)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if depth == len(shape):
            if isinstance(value, list):
                raise BadValue(f"is an array; expected {word}", index)
            if not (isinstance(value, bool) if boolean else number):
                wanted = MIXED[boolean] if isinstance(value, int | float) else word
                raise BadValue(f"is {shown(value)}; expected {wanted}", index)
            leaves.append(value)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                walk(item, (*index, i))
            if len(value) != shape[depth]:
                raise BadValue(f"has {len(value)} elements; expected {shape[depth]}, as many as the first", index)
        else:
            raise BadValue(f"is {'a number' if number else shown(value)}; expected an array of {shape[depth]}", index)

    walk(nested, ())
    whole = all(isinstance(leaf, int) and -(2**63) <= leaf < 2**63 for leaf in leaves)
    dtype = np.bool_ if boolean else np.int64 if whole and leaves else np.float64
    return np.array(leaves, dtype), tuple(shape)


def _tensor(flat: Array, shape: tuple[int, ...]) -> Tensor:
    datatype = PLAIN[flat.dtype.kind]
    return Tensor(datatype, shape, flat.astype(datatype.dtype, copy=False), declared=False)


def _texts(nested: Any) -> Texts:
    """Flattens nested lists of texts, which must be as many in each.

    Raises:
        BadValue: at the first place where that is not so.
    """
    shape: list[int] = []
    level, indices = [nested], list[tuple[int, ...]]([()])
    while isinstance(level[0], list):
        size = len(level[0])
        for index, one in zip(indices, level, strict=True):
            if not isinstance(one, list):
                raise BadValue(f"is {shown(one)}; expected an array of {size}", index)
            if len(one) != size:
                raise BadValue(f"has {len(one)} elements; expected {size}, as many as the first", index)
        indices = [(*index, place) for index in indices for place in range(size)]
        level = [item for one in level for item in one]
        shape.append(size)
    for index, one in zip(indices, level, strict=True):
        if not isinstance(one, str):
            raise BadValue(f"is {shown(one)}; expected a text like the first", index)
    return Texts(tuple(shape), level)


def read_datatype(name: Any) -> Datatype:
    """Finds the datatype of a name."""
    if isinstance(name, str) and name in Datatype.__members__:
        return Datatype[name]
    raise BadValue(f"has datatype {shown(name)}; expected one of {', '.join(Datatype.__members__)}")


def _convert(flat: Array, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """Converts numbers to their declared datatype.

    Raises:
        BadValue: at the first that does not fit.
    """
    if (flat.dtype.kind == "b") is not (datatype is Datatype.BOOL) and len(flat):
        expected = "true or false" if datatype is Datatype.BOOL else "a number"
        raise BadValue(f"is {shown(flat[0].item())}; expected {expected}", coordinates(0, shape))
    if datatype.kind == "index":
        bounds = np.iinfo(datatype.dtype)
        wrong = (flat < bounds.min) | (flat > bounds.max) | (flat != np.trunc(flat))
        # 2**63 rounds to itself in float64, and so slips past the comparison above.
        if flat.dtype.kind == "f" and datatype is Datatype.INT64:
            wrong |= flat >= 2.0**63
        if wrong.any():
            first = int(np.argmax(wrong))
            raise BadValue(
                f"is {flat[first]}; expected an integer that fits {datatype.name}", coordinates(first, shape)
            )
    with np.errstate(over="ignore"):  # what overflows FP32 becomes infinite, and is reported as such
        return flat.astype(datatype.dtype, copy=False)
