"""Offers to go on in HTTP/2, as the HTTP client of Java makes them by itself: overlooked, as they may be (RFC 9110, 7.8).

uvicorn's parser would take what follows the header for the other protocol, and the body of the request would be lost.
"""

from __future__ import annotations

import re

OFFER = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)


def without_offer(data: bytes) -> bytes:
    """The beginning of a request without an offer of HTTP/2 in its header."""
    end = data.find(b"\r\n\r\n")
    end = len(data) if end < 0 else end + 2
    return data if data.find(b"h2c", 0, end) < 0 else OFFER.sub(b"", data[:end]) + data[end:]
