"""What the document says of keys: derived from what the server asks for."""

from __future__ import annotations

from typing import Any

from lossmeter.api.access import is_open, needed

SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, `lm_…`, made by `lossmeter keys create`. The names beside it are scopes that a call needs; "
        "`admin` covers all. A server that is told not to ask for keys ignores it.",
    }
}


def requirement(method: str, path: str) -> list[dict[str, list[str]]]:
    """The keys of which a call needs one; none at all if anybody may make it."""
    if is_open(path):
        return []
    scope = needed(method.upper(), path)
    return [{"key": [] if scope is None else [scope]}]


def refusals(method: str, path: str) -> tuple[int, ...]:
    """The statuses by which a call is refused for lack of a key."""
    if is_open(path):
        return ()
    return (401, 429) if needed(method.upper(), path) is None else (401, 403, 429)
