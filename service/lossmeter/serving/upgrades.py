"""Overlooks offers to go on in HTTP/2, which the HTTP client of Java makes by itself, as RFC 9110, 7.8 allows.

uvicorn's parser would take what follows the header for the other protocol, and the body of the request would be lost.
"""

from __future__ import annotations

import re

OFFER = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)


def remove_offer(data: bytes) -> bytes:
    """Removes an offer of HTTP/2 from the header at the beginning of a request."""
    end = data.find(b"\r\n\r\n")
    end = len(data) if end < 0 else end + 2
    return data if data.find(b"h2c", 0, end) < 0 else OFFER.sub(b"", data[:end]) + data[end:]
