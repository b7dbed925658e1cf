"""Records as bytes: the JSON, then the numbers of all arrays, which a reader need not parse; compressed.

    length of the JSON in bytes (u32) | JSON | IEEE doubles of all arrays

all little-endian, and compressed as a whole (zlib). In the JSON an array is `{"shape": […], "at": k}`, k being the number of
doubles before it.
"""

from __future__ import annotations

import zlib
from math import prod
from typing import Any

import numpy as np
import orjson

from lossmeter.evaluation import Record
from lossmeter.tensors import Array

DOUBLE = np.dtype("<f8")
FASTEST = 1


def serialize(record: Record) -> bytes:
    """Writes a record as bytes."""
    arrays: list[bytes] = []
    before = 0

    def write(array: Array) -> dict[str, Any]:
        nonlocal before
        place = {"shape": array.shape, "at": before}
        arrays.append(array.astype(DOUBLE, copy=False).tobytes())
        before += array.size
        return place

    text = orjson.dumps(record.to_json(write))
    return zlib.compress(b"".join([len(text).to_bytes(4, "little"), text, *arrays]), FASTEST)


def deserialize(content: bytes) -> Record:
    """Reads what `serialize` wrote."""
    content = zlib.decompress(content)
    begin = 4 + int.from_bytes(content[:4], "little")
    doubles = np.frombuffer(content, DOUBLE, offset=begin).astype(np.float64, copy=False)

    def read(place: Any) -> Array:
        size = prod(place["shape"])
        return doubles[place["at"] : place["at"] + size].reshape(place["shape"])

    return Record.from_json(orjson.loads(content[4:begin]), read)
