"""Overlooks offers to go on in another protocol, as RFC 9110, 7.8 allows: no other is spoken here.

uvicorn's parser would take what follows the header for the other protocol, and the body of the request would be lost. The HTTP
client of Java offers HTTP/2 by itself.
"""

from __future__ import annotations

import re

OFFER = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n[^ \t])", re.IGNORECASE)


class Offers:
    """Removes offers from the header at the beginning of what a connection brings.

    Attributes:
        held: the line of the header that is not complete yet: it may become an offer.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = b""

    def remove(self, data: bytes, limit: int) -> bytes:
        """Returns what to parse now of bytes of a header and what follows it; holds back no more than a limit."""
        if self.held:
            data, self.held = self.held + data, b""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            end = data.rfind(b"\r\n")
            if end < 0 and data.endswith(b"\r"):
                end = len(data) - 1
            if end >= 0 and len(data) - end <= limit:
                data, self.held = data[:end], data[end:]
                end = len(data)
            return OFFER.sub(b"", data + b"\r\n.")[:-3] if _offered(data, len(data)) else data
        end += 3  # with the beginning of the empty line, which is no continuation
        return OFFER.sub(b"", data[:end]) + data[end:] if _offered(data, end) else data


def _offered(data: bytes, end: int) -> bool:
    return b"upgrade:" in data[:end].lower()
