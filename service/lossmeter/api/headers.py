"""Reads the headers of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI has them."""

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer: they keep a browser from making more of it than it is."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """Returns the value of a header; None if it is missing."""
    for key, value in headers:
        if key == name:
            return bytes(value)
    return None


def announced_size(headers: Headers) -> int | None:
    """Returns the size that the body is announced to have; None if the header is missing or no number."""
    length = header(headers, b"content-length")
    return int(length) if length is not None and length.isdigit() else None


def items(headers: Headers, name: bytes) -> Iterator[tuple[str, float]]:
    """Yields the items of a header that is a list, in lower case, with the weight of each.

    A list may be spread over several headers of the name.
    """
    for key, value in headers:
        if key == name:
            for item in value.decode("latin-1").lower().split(","):
                text, _, parameters = item.partition(";")
                if text.strip():
                    yield text.strip(), _weight(parameters)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
