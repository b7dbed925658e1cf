"""Which content codings a request has, and which one its answer takes."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from lossmeter.api.messages.headers import header, items
from lossmeter.errors import UnsupportedFormat
from lossmeter.wire.compression import COMPRESSORS, EXPANDERS

MINIMUM_BYTES = 8192
"""Answers below this size are sent as they are: they are a few packets either way."""
MOST = 4
"""Codings one after the other that are undone."""
ALIASES = {"x-gzip": "gzip"}
IDENTITY = "identity"


def of_request(scope: Scope) -> tuple[str, ...]:
    """The codings of the body, in the order in which they were applied.

    Raises:
        UnsupportedFormat: if one is not known here.
    """
    if header(scope, b"content-encoding") is None:
        return ()
    names = [ALIASES.get(name, name) for name, _ in items(scope, b"content-encoding") if name != IDENTITY]
    unknown = [name for name in names if name not in EXPANDERS]
    if unknown or len(names) > MOST:
        given = ", ".join(names)
        raise UnsupportedFormat(f"Content-Encoding is {given!r}; expected at most {MOST} of {', '.join(EXPANDERS)}.")
    return tuple(names)


def of_answer(scope: Scope, offered: Iterable[str] = COMPRESSORS) -> str | None:
    """The coding that the client prefers among those offered, if it prefers one to none at all."""
    if header(scope, b"accept-encoding") is None:
        return None
    wanted = {ALIASES.get(name, name): weight for name, weight in items(scope, b"accept-encoding")}
    weights = {name: wanted.get(name, wanted.get("*", 0.0)) for name in offered}
    best = max(weights, key=weights.__getitem__)  # the first of equals
    return best if weights[best] > 0 and weights[best] >= wanted.get(IDENTITY, 0.0) else None
