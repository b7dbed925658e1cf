"""What the OpenAPI document says of keys: derived from what the server asks for."""

from __future__ import annotations

from typing import Any

from lossmeter.api.access import is_open, needed
from lossmeter.api.problems import MEDIA_TYPE, OPEN_INFERENCE

SCHEME: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key, `lm_…`, made by `lossmeter keys create`. The names beside it are scopes that a call needs; `admin` "
    "covers all. A server that is told not to ask for keys ignores it.",
}
CHALLENGE = {"WWW-Authenticate": {"description": "As RFC 6750 has it.", "schema": {"type": "string"}}}
LATER = {"Retry-After": {"description": "Seconds until it may be used again.", "schema": {"type": "integer"}}}
REFUSALS: dict[str, dict[str, Any]] = {
    "401": {"description": "There is no key, or it is not good.", "headers": CHALLENGE},
    "403": {"description": "The key does not have the scope that `WWW-Authenticate` names.", "headers": CHALLENGE},
    "429": {"description": "The key is used too often.", "headers": LATER},
}


def with_access(document: dict[str, Any]) -> dict[str, Any]:
    """The document, in which every operation says which key it needs, and how it refuses others."""
    document["components"]["securitySchemes"] = {"key": SCHEME}
    for path, operations in document["paths"].items():
        inference = path.startswith(OPEN_INFERENCE)
        model = {"schema": {"$ref": f"#/components/schemas/{'InferError' if inference else 'Problem'}"}}
        content = {"application/json" if inference else MEDIA_TYPE: model}
        for method, operation in operations.items():
            if is_open(path):
                operation["security"] = []
                continue
            scope = needed(method.upper(), path)
            operation["security"] = [{"key": [] if scope is None else [scope]}]
            refusals = {status: {**said, "content": content} for status, said in REFUSALS.items()}
            if scope is None:
                del refusals["403"]
            operation["responses"] = dict(sorted((operation["responses"] | refusals).items()))
    return document
