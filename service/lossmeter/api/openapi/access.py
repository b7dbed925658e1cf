"""Documents keys, as the server asks for them."""

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
