"""Encodes answers that a connection gives by itself, without the application."""

from __future__ import annotations

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from lossmeter.api.headers import ALWAYS

Headers = Iterable[tuple[bytes, bytes]]


def encode_answer(status: int, content: bytes, media_type: str, request_id: str, *headers: Headers) -> bytes:
    """Encodes a whole answer, with the headers that every answer has and those that are given."""
    lines = b"".join([b"%s: %s\r\n" % header for some in (*headers, ALWAYS) for header in some])
    common = f"content-type: {media_type}\r\ncontent-length: {len(content)}\r\nx-request-id: {request_id}\r\n\r\n"
    return b"%s%s%s%s" % (STATUS_LINE[status], lines, common.encode("ascii"), content)
