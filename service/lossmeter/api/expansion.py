"""Bodies that were compressed for the way: gzip and deflate, expanded a bounded piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from starlette.types import Scope

from lossmeter.api.body import header, over
from lossmeter.errors import MalformedBody, UnsupportedFormat

PIECE_BYTES = 1 << 20
FEED_BYTES = 1 << 16
MAX_MEMBERS = 1 << 10
"""Members of one gzip file: each costs time, however short it is."""
GZIP_BITS, ZLIB_BITS = 31, 15
ENCODINGS = {"gzip": GZIP_BITS, "x-gzip": GZIP_BITS, "deflate": ZLIB_BITS}


def encoding_of(scope: Scope) -> str | None:
    """The encoding of a body; none if it comes as it is.

    Raises:
        UnsupportedFormat: if it is none of those spoken here.
    """
    given = (header(scope, b"content-encoding") or b"").decode("latin-1").strip().lower()
    if given in ("", "identity"):
        return None
    if given not in ENCODINGS:
        raise UnsupportedFormat(f"Content-Encoding is {given!r}; expected gzip or deflate.")
    return given


def expand(body: bytearray, encoding: str, limit: int, reserve: Callable[[int], None]) -> bytearray:
    """The body as it was before; room for each piece is reserved as it appears.

    Raises:
        MalformedBody: if the bytes are not what the encoding says, or end too early.
        TooLarge: as soon as more than `limit` bytes come out.
        Busy: if there is no room for them.
    """
    whole = bytearray()
    bits = ENCODINGS[encoding]
    view = memoryview(body)
    expander = zlib.decompressobj(bits)
    position, members = 0, 1
    rest: bytes | memoryview = b""
    try:
        while True:
            if not rest:
                # What is left of the input is copied at each step, and so comes in pieces too.
                rest = view[position : position + FEED_BYTES]
                position += len(rest)
            ended = not rest
            piece = expander.decompress(rest, min(PIECE_BYTES, limit - len(whole) + 1))
            rest = expander.unused_data or expander.unconsumed_tail
            if len(whole) + len(piece) > limit:
                raise over(limit)
            reserve(len(piece))
            whole += piece
            if expander.eof:
                if not rest and position == len(view):
                    return whole
                if bits != GZIP_BITS or members == MAX_MEMBERS:
                    raise MalformedBody(f"The body is not {encoding}: more follows its end.")
                expander = zlib.decompressobj(bits)
                members += 1
            elif ended and not piece:
                raise MalformedBody(f"The body is not {encoding}: it ends too early.")
    except zlib.error as error:
        raise MalformedBody(f"The body is not {encoding}: {error}.") from None
