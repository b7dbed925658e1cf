"""What breaks clients of the last release: `python -m tests.contracts.compatibility`.

The OpenAPI document is compared with the newest of `openapi/released/`. What a client sends must still be taken, what it reads
must still be there, and the names by which generated code calls things must be the same. A change that breaks one needs a
decision record that quotes it, word for word, between backticks.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.contracts import schema_changes
from tests.contracts.schema_changes import Changes

ROOT = Path(__file__).parents[2]
CURRENT = ROOT / "openapi" / "openapi.json"
RELEASED = ROOT / "openapi" / "released"
DECISIONS = ROOT / "docs" / "decisions"

Document = Mapping[str, Any]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


def changes(old: Document, new: Document) -> list[str]:
    """All that breaks a client of the old document, in the order in which the old document has it."""
    found: Changes = {}
    compared = schema_changes.Comparison(old["components"]["schemas"], new["components"]["schemas"], found)
    for path, method, before in operations(old):
        after = new["paths"].get(path, {}).get(method)
        place = f"{method.upper()} {path}"
        if after is None:
            found[f"{place} is gone"] = None
        else:
            _operation(place, _whole(old, before), _whole(new, after), compared)
    for name in old["components"]["schemas"]:
        if name not in new["components"]["schemas"]:
            found[f"schema {name} is gone"] = None
    return list(found)


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _whole(document: Document, operation: Mapping[str, Any]) -> dict[str, Any]:
    """An operation with its responses and parameters in place of references to them."""
    answers = {status: named(document, answer) for status, answer in operation["responses"].items()}
    return {**operation, "responses": answers, "parameters": parameters(document, operation)}


def parameters(document: Document, operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of an operation, its own and those that it names."""
    return [named(document, one) for one in operation.get("parameters", [])]


def named(document: Document, part: dict[str, Any]) -> dict[str, Any]:
    """A response or a parameter, or the shared one that it names."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].split("/")[2:]
    return dict(document["components"][kind][name])


def _operation(place: str, old: dict[str, Any], new: dict[str, Any], compared: schema_changes.Comparison) -> None:
    found = compared.found
    if old.get("operationId") != new.get("operationId"):
        found[f"{place}: operationId was {old.get('operationId')}, is {new.get('operationId')}"] = None
    if old.get("tags") != new.get("tags"):
        found[f"{place}: tags were {old.get('tags')}, are {new.get('tags')}"] = None
    if new.get("security") and old.get("security") != new["security"]:
        found[f"{place}: needs {json.dumps(new['security'])}"] = None
    _parameters(place, old, new, compared)
    _body(place, old.get("requestBody"), new.get("requestBody"), compared)
    for status, answer in old["responses"].items():
        if status in new["responses"]:
            _answer(f"{place} {status}", answer, new["responses"][status], compared)
        elif status < "400":
            found[f"{place}: status {status} is gone"] = None


def _parameters(place: str, old: dict[str, Any], new: dict[str, Any], compared: schema_changes.Comparison) -> None:
    before, after = (
        {f"{one['in']} parameter {one['name']}": one for one in whole.get("parameters", [])} for whole in (old, new)
    )
    for name, one in after.items():
        if one.get("required") and not before.get(name, {}).get("required"):
            compared.found[f"{place}: {name} is required"] = None
    for name, one in before.items():
        if name not in after:
            compared.found[f"{place}: {name} is gone"] = None
        else:
            compared.sent(f"{place} {name}", one["schema"], after[name]["schema"])


def _body(place: str, old: Any, new: Any, compared: schema_changes.Comparison) -> None:
    if new and new.get("required") and not (old and old.get("required")):
        compared.found[f"{place}: a body is required"] = None
    for media_type, one in (old or {"content": {}})["content"].items():
        if not new or media_type not in new["content"]:
            compared.found[f"{place}: takes no {media_type}"] = None
        else:
            compared.sent(f"{place} request", one["schema"], new["content"][media_type]["schema"])


def _answer(place: str, old: dict[str, Any], new: dict[str, Any], compared: schema_changes.Comparison) -> None:
    for header in old.get("headers", {}):
        if header not in new.get("headers", {}):
            compared.found[f"{place}: header {header} is gone"] = None
    for media_type, one in old.get("content", {}).items():
        if media_type not in new.get("content", {}):
            compared.found[f"{place}: gives no {media_type}"] = None
        else:
            compared.read(f"{place} answer", one["schema"], new["content"][media_type]["schema"])


def last_release() -> Path:
    """The document of the newest release, by version.

    Raises:
        ValueError: there is none.
    """
    return max(RELEASED.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])


def undecided(found: list[str]) -> list[str]:
    """The changes that no decision record quotes; a `*` in front stands for the beginning of any name."""
    records = "\n".join(path.read_text() for path in sorted(DECISIONS.glob("*.md")))
    suffixes = tuple(re.findall(r"`\*(\w+\.[^`]+)`", records))
    return [change for change in found if f"`{change}`" not in records and not change.endswith(suffixes)]


def main() -> int:
    """Entry point of `python -m tests.contracts.compatibility`."""
    released = last_release()
    found = undecided(changes(json.loads(released.read_text()), json.loads(CURRENT.read_text())))
    for change in found:
        sys.stderr.write(f"breaks clients of {released.stem}: {change}\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
