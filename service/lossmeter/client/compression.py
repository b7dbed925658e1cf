"""Compresses the bodies of requests."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from lossmeter.client.exchanges import Piece, Request

T = TypeVar("T")

MINIMUM_BYTES = 1024
"""A smaller body fits into one packet as it is."""
LEVEL = 1
"""Tensors of floats hardly shrink further at the higher ones, which take ten times as long."""
GZIP_WINDOW = 31


class Compressor(Protocol):
    """Compresses bytes that come in pieces."""

    def compress(self, data: Piece, /) -> bytes:
        """Takes a piece, and returns what is ready."""

    def flush(self) -> bytes:
        """Returns the rest."""


def _gzip() -> Compressor:
    return zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)


def _zstd() -> Compressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        try:
            from backports import zstd
        except ImportError as error:
            raise ImportError('compression="zstd" needs backports.zstd: pip install "lossmeter[zstd]"') from error
    return zstd.ZstdCompressor(LEVEL)


COMPRESSORS: Mapping[str, Callable[[], Compressor]] = {"zstd": _zstd, "gzip": _gzip}


def compressed(request: Request[T], coding: str) -> Request[T]:
    """Compresses the body of a request, and says so in its headers; returns it as it is if that would save nothing."""
    size = request.size
    if size < MINIMUM_BYTES:
        return request
    body = packed(request.body, COMPRESSORS[coding]())
    if sum(map(len, body)) >= size:
        return request
    headers: dict[str, Any] = {**request.headers, "Content-Encoding": coding}
    return replace(request, headers=headers, body=body)


def packed(pieces: Sequence[Piece], compressor: Compressor) -> list[Piece]:
    """Compresses pieces together."""
    output: list[Piece] = [compressor.compress(piece) for piece in pieces]
    return [piece for piece in (*output, compressor.flush()) if piece]
