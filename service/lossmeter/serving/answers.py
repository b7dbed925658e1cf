"""Encodes answers that a connection gives by itself, without the application."""

from __future__ import annotations

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from lossmeter.api.headers import ALWAYS

Headers = Iterable[tuple[bytes, bytes]]


def encode_answer(status: int, content: bytes, media_type: str, request_id: str, *headers: Headers) -> bytes:
    """Encodes a whole answer, with the headers that every answer has and those that are given."""
    common = (
        (b"content-type", media_type.encode("ascii")),
        (b"content-length", b"%d" % len(content)),
        (b"x-request-id", request_id.encode("ascii")),
    )
    return encode_head(status, *headers, ALWAYS, common) + content


def encode_head(status: int, *headers: Headers) -> bytes:
    """Encodes the head of an answer."""
    lines = [b"%s: %s\r\n" % header for some in headers for header in some]
    return b"%s%s\r\n" % (STATUS_LINE[status], b"".join(lines))
