"""Answers that stay the same as long as the server runs: they are compressed once, for all who take them so."""

from __future__ import annotations

from functools import lru_cache

from fastapi import Request, Response

from lossmeter.api.negotiation import answer_coding
from lossmeter.wire.compression import COMPRESSORS, compress

KEPT = 16
"""Compressed forms that are kept: of the catalogues of losses and of metrics, in each language and coding."""


def lasting_answer(request: Request, content: bytes, language: str) -> Response:
    """Returns JSON in the coding that the client prefers.

    Args:
        content: the same object each time.
        language: of its texts.
    """
    headers = {"Vary": "Accept-Encoding, Accept-Language", "Content-Language": language}
    coding = answer_coding(request.scope["headers"], COMPRESSORS)
    if coding is not None:
        smaller = _compressed(content, coding)
        if len(smaller) < len(content):
            return Response(smaller, headers={**headers, "Content-Encoding": coding}, media_type="application/json")
    return Response(content, headers=headers, media_type="application/json")


@lru_cache(maxsize=KEPT)
def _compressed(content: bytes, coding: str) -> bytes:
    return b"".join(compress([content], coding) or [content])
