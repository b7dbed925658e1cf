"""Records as bytes: the JSON, then the numbers of all arrays, which a reader need not parse; compressed.

    length of the JSON in bytes (u32) | JSON | numbers of all arrays

all little-endian, and compressed as a whole (zlib). In the JSON an array is `{"shape": […], "type": "|u1", "byte": k}`, k being
the number of bytes before it: most are counts, and are written as the smallest type that holds each number exactly. Earlier
versions wrote `{"shape": […], "at": k}` with k doubles before it.
"""

from __future__ import annotations

import zlib
from math import prod
from typing import Any

import numpy as np
import orjson

from lossmeter.evaluation.record import Record
from lossmeter.tensors import Array

DOUBLE = np.dtype("<f8")
SMALLER = tuple(np.dtype(name) for name in ("|u1", "<u2", "<f4"))
WORTH_NUMBERS = 64
"""Smaller arrays stay doubles: there is nothing to gain."""
FASTEST = 1


def serialize(record: Record) -> bytes:
    """Writes a record as bytes."""
    arrays: list[bytes] = []
    before = 0

    def write(array: Array) -> dict[str, Any]:
        nonlocal before
        small = _smallest(array.astype(DOUBLE, copy=False))
        place = {"shape": array.shape, "type": small.dtype.str, "byte": before}
        arrays.append(small.tobytes())
        before += small.nbytes
        return place

    text = orjson.dumps(record.to_json(write))
    return zlib.compress(b"".join([len(text).to_bytes(4, "little"), text, *arrays]), FASTEST)


def _smallest(array: Array) -> Array:
    """Returns the numbers in the smallest type from which they come back bit for bit."""
    if array.size < WORTH_NUMBERS:
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        for kind in SMALLER:
            small = array.astype(kind)
            if np.array_equal(small.astype(DOUBLE).view(np.int64), array.view(np.int64)):
                return small
    return array


def deserialize(content: bytes) -> Record:
    """Reads what `serialize` wrote."""
    content = zlib.decompress(content)
    begin = 4 + int.from_bytes(content[:4], "little")

    def read(place: Any) -> Array:
        kind, byte = (DOUBLE, DOUBLE.itemsize * place["at"]) if "at" in place else (place["type"], place["byte"])
        numbers = np.frombuffer(content, kind, prod(place["shape"]), begin + byte)
        return numbers.reshape(place["shape"]).astype(np.float64)

    return Record.from_json(orjson.loads(content[4:begin]), read)
