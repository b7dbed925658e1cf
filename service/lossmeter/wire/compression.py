"""Expands bodies from gzip, deflate and zstd, a piece at a time and never beyond a bound, and compresses answers."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from lossmeter.errors import MalformedBody, TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Piece = bytes | memoryview

GZIP, ZLIB, RAW = 31, 15, -15
"""The window size of zlib, which also selects the container."""
LEVEL = 1
WINDOW_LOG = 23
"""The largest window of zstd is 8 MB, as RFC 9659 has it for HTTP."""
FED_BYTES = 1 << 16
PIECE_BYTES = 1 << 18
MAX_MEMBERS = 1 << 10
"""Members of one gzip file, or frames of zstd: each costs time, however short it is."""
SAMPLE_BYTES = 1 << 16
WORTH = 0.85
"""Largest share of its size that a sample may keep for compression to be worth it: random float32 keeps 0.93, JSON 0.4."""


def expand(body: bytearray, codings: Sequence[str], limit: int, reserve: Callable[[int], None]) -> bytearray:
    """Undoes the codings of a body, which are listed in the order in which they were applied.

    Args:
        body: as it came.
        codings: names in `EXPANDERS`.
        limit: the most bytes that it may have, after any of the steps.
        reserve: called with a number of bytes before that many are taken.

    Raises:
        MalformedBody: if the bytes are not what the codings make.
        TooLarge: as soon as there are more than `limit`.
    """
    for coding in reversed(codings):
        whole = bytearray()
        for piece in EXPANDERS[coding](memoryview(body)):
            if len(whole) + len(piece) > limit:
                stated = (
                    "the limit of this server (LOSSMETER_MAX_BODY_BYTES), key, or a body that came as that few bytes"
                )
                raise TooLarge(f"The body, expanded, is larger than {limit} bytes, {stated}.")
            reserve(len(piece))
            whole += piece
        body = whole
    return body


def _inflate(body: memoryview, window: int) -> Iterator[bytes]:
    """Expands a zlib stream, or several of them one after the other (gzip allows for that)."""
    position = 0
    for _ in range(MAX_MEMBERS if window == GZIP else 1):
        stream = zlib.decompressobj(window)
        while not stream.eof:
            data: bytes | memoryview = stream.unconsumed_tail
            if not data:
                data = body[position : position + FED_BYTES]
                position += len(data)
            try:
                piece = stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise MalformedBody(f"The body cannot be expanded: {error}.") from None
            if not piece and not data and not stream.eof:
                raise _cut_short()
            yield piece
        position -= len(stream.unused_data)
        if position == len(body):
            return
    raise _too_long(len(body) - position)


def _undo_deflate(body: memoryview) -> Iterator[bytes]:
    # RFC 9110 means the zlib container by "deflate"; some clients send the bare stream.
    contained = len(body) > 1 and body[0] & 15 == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return _inflate(body, ZLIB if contained else RAW)


def _unpack_zstd(body: memoryview) -> Iterator[bytes]:
    """Expands the frames of zstd."""
    position = 0
    for _ in range(MAX_MEMBERS):
        stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
        while not stream.eof:
            data = body[position : position + FED_BYTES] if stream.needs_input else body[:0]
            if stream.needs_input and not data:
                raise _cut_short()
            position += len(data)
            try:
                piece = stream.decompress(data, PIECE_BYTES)
            except zstd.ZstdError as error:
                raise MalformedBody(f"The body cannot be expanded: {error}.") from None
            yield piece
        position -= len(stream.unused_data)
        if position == len(body):
            return
    raise _too_long(len(body) - position)


def _too_long(rest: int) -> MalformedBody:
    return MalformedBody(f"The body has {rest} bytes after its compressed data.")


def _cut_short() -> MalformedBody:
    return MalformedBody("The body ends before its compressed data does.")


EXPANDERS: Mapping[str, Callable[[memoryview], Iterator[bytes]]] = {
    "zstd": _unpack_zstd,
    "gzip": lambda body: _inflate(body, GZIP),
    "deflate": _undo_deflate,
}
COMPRESSORS: Mapping[str, Callable[[], zlib._Compress | zstd.ZstdCompressor]] = {
    "zstd": lambda: zstd.ZstdCompressor(LEVEL),
    "gzip": lambda: zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP),
    "deflate": lambda: zlib.compressobj(LEVEL, zlib.DEFLATED, ZLIB),
}
"""In the order of preference."""


def compress(pieces: Sequence[Piece], coding: str) -> list[Piece] | None:
    """Compresses the pieces together; None if a sample of them says that it is not worth it."""
    sample = b"".join(_slices(pieces, SAMPLE_BYTES))[:SAMPLE_BYTES]
    compressor = COMPRESSORS[coding]()
    if len(compressor.compress(sample)) + len(compressor.flush()) > WORTH * len(sample):
        return None
    compressor = COMPRESSORS[coding]()
    compressed: list[Piece] = [compressor.compress(piece) for piece in _slices(pieces, None)]
    return [piece for piece in (*compressed, compressor.flush()) if piece]


def _slices(pieces: Sequence[Piece], limit: int | None) -> Iterator[Piece]:
    """Cuts the pieces into slices of bounded size, until there are enough bytes."""
    seen = 0
    for piece in pieces:
        for start in range(0, len(piece), PIECE_BYTES):
            if limit is not None and seen >= limit:
                return
            part = memoryview(piece)[start : start + PIECE_BYTES]
            seen += len(part)
            yield part
