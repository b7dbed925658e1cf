"""Documents keys and time limits, as the server asks for them."""

from __future__ import annotations

from typing import Any

from lossmeter.api.access import is_open, required_scope

SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, `lm_…`, made by `lossmeter keys create`. The names beside it are scopes that a call needs; "
        "`admin` covers all. A server that is told not to ask for keys ignores it.",
    }
}


def security(method: str, path: str) -> list[dict[str, list[str]]]:
    """Returns which key an operation needs."""
    if is_open(path):
        return []
    scope = required_scope(method.upper(), path)
    return [{"key": [] if scope is None else [scope]}]


def refusals(method: str, path: str, *, takes_body: bool) -> tuple[int, ...]:
    """Returns the statuses by which an operation refuses a client without such a key, or gives up."""
    keys = () if is_open(path) else (401, 429) if required_scope(method.upper(), path) is None else (401, 403, 429)
    return (*keys, 408, 504) if takes_body else keys
