"""Headers of a request, read from the scope."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.types import Scope

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""What keeps a browser from making more of an answer than it is; every answer has them."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header, or none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def announced(scope: Scope) -> int | None:
    """Returns the size that the body is announced to have; None if the header is missing or no number."""
    length = header(scope, b"content-length")
    return int(length) if length is not None and length.isdigit() else None


def items(scope: Scope, name: bytes) -> Iterator[tuple[str, float]]:
    """The items of a header that is a list, in lower case, with the weight of each.

    A list may be spread over several headers of the name.
    """
    for key, value in scope["headers"]:
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
