"""Checks values that a client sent, for several formats, and says what is wrong with one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import simdjson

from lossmeter.errors import Flaw, MalformedBody, pointer
from lossmeter.tensors import Array, Datatype, brackets, coordinates

Buffer = bytes | bytearray | memoryview
Path = tuple[str | int, ...]

MAX_MEMBERS = 256
"""Members of one object: simdjson finds each by going through all before it."""
MAX_DIMENSIONS = 64
"""The most that numpy can express; the requests themselves allow fewer."""
MAX_ELEMENTS = 2**60
"""So many of eight bytes are all that memory could be addressed, and more than libraries take even where a dimension is 0."""
MIXED = {
    False: "a number like the first (or true and false throughout)",
    True: "true or false like the first (or numbers throughout)",
}
"""Words for the expected kind, where a tensor that begins with a number (False) or a boolean (True) holds the other."""


class BadValue(Exception):
    """Says that a value is not what it should be.

    Attributes:
        message: what was given and what was expected.
        index: of the offending element, if the value is a tensor.
        inside: path to the offending value, if it stands inside of this one.
        malformed: the bytes are not even the format that they claim to be.
        place: line and column, if it is malformed there.
    """

    def __init__(
        self,
        message: str,
        index: tuple[int, ...] | None = None,
        *,
        inside: Path = (),
        malformed: bool = False,
        place: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.inside = inside
        self.malformed = malformed
        self.place = place

    def flaw(self, *path: str | int) -> Flaw:
        """Makes the flaw of the value that stands at a path in the request."""
        path = (*path, *self.inside)
        name = ".".join(map(str, path)) or "the body"
        return Flaw(pointer(*path), f"{name}{brackets(self.index or ())} {self.message}", self.index)

    def error(self, name: str) -> MalformedBody:
        return MalformedBody(f"The body is malformed: {name}{brackets(self.index or ())} {self.message}.")


def read_members(document: simdjson.Object) -> dict[str, Any]:
    """Reads the members of an object, each as it stands in the parser.

    Raises:
        BadValue: if there are too many, or two of one name, or a name that no lookup finds.
    """
    if len(document) > MAX_MEMBERS:
        raise BadValue(f"has {len(document)} members; expected at most {MAX_MEMBERS}")
    read: dict[str, Any] = {}
    for name in document:
        if name in read:
            raise BadValue("appears twice", inside=(name,))
        if "\0" in name:
            raise BadValue("has a zero byte in its name", inside=(name,))
        read[name] = document[name]
    return read


def count(shape: Sequence[int]) -> int:
    """Counts the elements of a shape that a client sent.

    Raises:
        BadValue: if no memory could ever hold a tensor of that shape, empty or not.
    """
    if len(shape) > MAX_DIMENSIONS:
        raise BadValue(f"has {len(shape)} dimensions; expected at most {MAX_DIMENSIONS}")
    if math.prod(max(size, 1) for size in shape) >= MAX_ELEMENTS:
        raise BadValue(f"has shape {list(shape)}: 2**60 elements or more")
    return math.prod(shape)


def read_elements(body: Buffer, start: int, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """Reads the elements of a tensor whose bytes begin at `start` and lie within `body`: a view, if they are aligned.

    Raises:
        BadValue: if a boolean is neither 0 nor 1.
    """
    size = math.prod(shape)
    if not size:
        return np.empty(0, datatype.dtype)
    if datatype is Datatype.BOOL:
        raw = np.frombuffer(body, np.uint8, size, start)
        if raw.max() > 1:
            first = int(np.argmax(raw > 1))
            raise BadValue(f"is the byte {raw[first]}; expected 0 or 1 (BOOL)", coordinates(first, shape))
    flat = np.frombuffer(body, datatype.dtype, size, start)
    # torch wants memory that is aligned and may be written to
    return flat if flat.flags.aligned and flat.flags.writeable else flat.copy()


def shown(value: Any) -> str:
    """Writes a value as a message shows it: short."""
    text = orjson.dumps(value).decode() if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "…"


def loads(text: Buffer) -> Any:
    """Reads JSON by the standard library, which is slow, but says what is wrong.

    Raises:
        BadValue: if it is no JSON, or holds a number that is not read here.
        RecursionError: if it is nested deeply.
    """
    numbers = _Numbers()
    try:
        # A byte order mark is no part of JSON, but may be passed over.
        whole = bytes(text).decode("utf-8-sig")
        value = json.loads(whole, parse_int=numbers.integer, parse_float=numbers.float, parse_constant=numbers.constant)
    except UnicodeDecodeError as error:
        raise BadValue(f"is not JSON: it is not UTF-8 ({error.reason} at byte {error.start})", malformed=True) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadValue(f"is not JSON: {error.msg}", malformed=True, place=place) from None
    if numbers.bad is None:
        return value
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadValue("is not JSON: a string holds half of a surrogate pair", malformed=True) from None
    raise numbers.bad


class _Numbers:
    """Reads numbers, and remembers the first that is too large: what follows it may not even be JSON."""

    bad: BadValue | None = None

    def integer(self, digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
            expected = "an integer that fits 64 bits (write 1e20 for a float)"
            self.bad = self.bad or BadValue(f"holds {digits[:40]}; expected {expected}")
            return 0
        return int(digits)

    def float(self, digits: str) -> float:
        if math.isinf(float(digits)):
            self.bad = self.bad or BadValue(f"holds {digits[:40]}; expected a number within the range of FP64")
        return float(digits)

    def constant(self, name: str) -> None:
        message = f"holds {name}, which is not JSON; non-finite numbers travel in the binary forms"
        raise BadValue(message, malformed=True)
