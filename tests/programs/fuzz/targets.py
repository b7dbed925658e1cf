"""What the fuzzers run: each takes any bytes, and lets nothing out but a proof that something is wrong."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import safetensors

from lossmeter.errors import Invalid, LossmeterError, MalformedBody, TooLarge
from lossmeter.wire import _extraction, _numbers, _rows, compression, open_inference
from lossmeter.wire import json as wire
from lossmeter.wire import safetensors as files
from tests.support.decoding import NAMES, comparable, expected, outcome

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1 << 20
MINIMUMS = (0, 2, 9, 40)
SLICES = (1, 2, 3, 5, 8, 13, 24, 100)
MAX_SLICES = 8
"""Of one text: what happens where two meet is the same for the next two."""
WINDOWS = (1, 7, 64, 1 << 20)


@contextlib.contextmanager
def extracting(way: int, size: int, *, strings: bool) -> Iterator[None]:
    """Arrays are extracted out of the smallest texts, in one of many ways; `mock` would take longer than the decoder."""
    before = (
        wire.LARGE_BODY_BYTES,
        wire.LONG_ARRAY_BYTES,
        _extraction.WINDOW_BYTES,
        _numbers.FIRST_BYTES,
        _numbers.SLICE_BYTES,
    )
    long, quick = _extraction.LONG_STRING_BYTES, _rows.read
    if way & 128:
        _rows.read = _never
    wire.LARGE_BODY_BYTES, wire.LONG_ARRAY_BYTES = 0, MINIMUMS[way % 4]
    if strings:
        _extraction.LONG_STRING_BYTES = max(MINIMUMS[way % 4], 2)
    _numbers.FIRST_BYTES = _numbers.SLICE_BYTES = max(SLICES[way // 4 % 8], size // MAX_SLICES)
    _extraction.WINDOW_BYTES = max(WINDOWS[way // 32 % 4], size // MAX_SLICES)
    try:
        yield
    finally:
        (
            wire.LARGE_BODY_BYTES,
            wire.LONG_ARRAY_BYTES,
            _extraction.WINDOW_BYTES,
            _numbers.FIRST_BYTES,
            _numbers.SLICE_BYTES,
        ) = before
        _extraction.LONG_STRING_BYTES, _rows.read = long, quick


def _never(text: bytes | bytearray, start: int) -> None:
    """Leaves every array to the careful reading."""


def json_text(data: bytes) -> None:
    """Both ways of reading JSON agree with each other, and with the standard library."""
    way, text = data[:1], data[1:]
    plain = outcome(text)
    with extracting(sum(way), len(text), strings=True):
        extracted = outcome(text)
    same = extracted == plain if plain[0] == "fields" else extracted[0] == plain[0]
    assert same, f"small: {plain}; large: {extracted}"
    assert plain[0] == expected(text), f"{plain}; the standard library: {expected(text)}"


def safetensors_file(data: bytes) -> None:
    """What is read as a file is one for the package too, with the same tensors.

    Unless the first byte is 0, the length of the header is put in: few lengths that are guessed would be right.
    """
    way, data = sum(data[:1]), data[1:]
    if way:
        text, memory = data[: len(data) - way % 32], data[len(data) - way % 32 :]
        data = len(text).to_bytes(8, "little") + text + memory
    try:
        fields = files.decode(bytearray(data), NAMES)
    except LossmeterError:
        return
    names = {name: (list(tensor["shape"]), bytes(tensor["data"])) for name, tensor in safetensors.deserialize(data)}
    for name, (shape, memory) in names.items():
        assert list(fields[name].shape) == shape, name
        assert fields[name].bits.tobytes() == memory, name


def inference(data: bytes) -> None:
    """Requests of the Open Inference Protocol are read alike both ways."""
    way, stated, body = sum(data[:1]), int.from_bytes(data[1:3], "little"), data[3:]
    header_bytes = None if stated == 0 else stated - 1
    plain = _asked(body, header_bytes)
    # Names are strings too, and those that are known are shorter than any that is extracted.
    with extracting(way, len(body), strings=False):
        extracted = _asked(body, header_bytes)
    same = extracted == plain if isinstance(plain, dict) else extracted is plain
    assert same, f"small: {plain}; large: {extracted}"


def _asked(body: bytes, header_bytes: int | None) -> Any:
    try:
        asked = open_inference.decode(bytearray(body), header_bytes, NAMES)
    except (Invalid, MalformedBody, TooLarge) as error:
        return type(error)
    tensors = {name: comparable(tensor) for name, tensor in asked.tensors.items()}
    return {"id": asked.id, "tensors": tensors, "parameters": repr(asked.parameters), "outputs": asked.outputs}


def compressed(data: bytes) -> None:
    """What comes out is bounded, and what the libraries make of the whole."""
    coding, body = sorted(compression.EXPANDERS)[sum(data[:1]) % 3], data[1:]
    reserved: list[int] = []
    try:
        found = bytes(compression.expand(bytearray(body), (coding,), LIMIT, reserved.append))
    except (MalformedBody, TooLarge):
        assert sum(reserved) <= LIMIT
        return
    assert sum(reserved) == len(found)
    assert found == _at_once(coding, body)


def _at_once(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "zstd":
        return bytes(zstd.decompress(body))
    try:
        return zlib.decompress(body)
    except zlib.error:
        return zlib.decompress(body, -15)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "json": json_text,
    "safetensors": safetensors_file,
    "open_inference": inference,
    "compression": compressed,
}
