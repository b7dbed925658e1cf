"""The OpenAPI document in the words of OpenAPI 3.0, for tools that know no other.

Nothing is lost without a word: what 3.0 can say otherwise is said otherwise, and a keyword that this module does not know is an
error rather than left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

VERSION = "3.0.3"
LICENSES = {"Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
Schema = dict[str, Any]

SAME = frozenset(
    {
        *("title", "description", "default", "deprecated", "format", "enum", "example", "discriminator"),
        *("minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required"),
    }
)
"""Keywords that mean the same in both."""
NULL: Schema = {"type": "null"}
NULL_3_0: Schema = {"type": "object", "nullable": True, "enum": [None]}
"""What is null and nothing else: 3.0 has no type for it, and `nullable` says nothing beside a reference."""


def converted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in 3.0.

    Raises:
        ValueError: it says something for which this module knows no words of 3.0.
    """
    whole = {**document, "openapi": VERSION, "info": _info(document["info"])}
    unknown = whole.keys() - {"openapi", "info", "servers", "tags", "paths", "components", "security"}
    if unknown:
        raise ValueError(f"there are no words in 3.0 for {', '.join(sorted(unknown))}")
    whole["paths"] = _everywhere(document["paths"])
    for item in whole["paths"].values():
        for operation in item.values():
            _keyless_scopes(operation)
    components = _everywhere({name: part for name, part in document["components"].items() if name != "schemas"})
    components["schemas"] = {name: schema_3_0(schema) for name, schema in document["components"]["schemas"].items()}
    whole["components"] = components
    return whole


def _keyless_scopes(operation: dict[str, Any]) -> None:
    """Only OAuth has scopes in 3.0: those of keys are said in the description."""
    security: list[dict[str, list[str]]] = operation.get("security", [])
    scopes = sorted({scope for one in security for scopes in one.values() for scope in scopes})
    if scopes:
        operation["security"] = [{scheme: [] for scheme in one} for one in security]
        operation["description"] += f"\n\nScope: `{'`, `'.join(scopes)}`."


def _info(info: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in info.items() if name != "summary"}
    rest["description"] = f"{info['summary']}\n\n{info['description']}"
    name = info["license"]["name"]
    rest["license"] = {"name": name, "url": LICENSES[name]}
    return rest


def _everywhere(part: Any) -> Any:
    """Converts the schemas of a part of the document that is none itself; examples are data, and stay as they are."""
    if isinstance(part, list):
        return [_everywhere(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: schema_3_0(value)
        if name == "schema"
        else value
        if name in ("example", "examples")
        else _everywhere(value)
        for name, value in part.items()
    }


def schema_3_0(schema: Mapping[str, Any]) -> Schema:
    """A schema in 3.0.

    Raises:
        ValueError: it has a keyword that this module does not know.
    """
    if "$ref" in schema:
        siblings = {name: value for name, value in schema.items() if name != "$ref"}
        return {"allOf": [{"$ref": schema["$ref"]}], **schema_3_0(siblings)} if siblings else dict(schema)
    result: Schema = {}
    for keyword, value in schema.items():
        if keyword in SAME or keyword.startswith("x-"):
            result[keyword] = value
        elif keyword in CONVERSIONS:
            CONVERSIONS[keyword](result, value)
        else:
            raise ValueError(f"there are no words in 3.0 for the keyword {keyword!r} of {dict(schema)}")
    if result.get("nullable") and "enum" in result and None not in result["enum"]:
        result["enum"] = [*result["enum"], None]
    return result


def _type(result: Schema, value: str | list[str]) -> None:
    if isinstance(value, str):
        result["type"] = value
        return
    kinds = [kind for kind in value if kind != "null"]
    if len(kinds) < len(value):
        result["nullable"] = True
    if len(kinds) == 1:
        result["type"] = kinds[0]
    else:
        result["oneOf"] = [{"type": kind} for kind in kinds]


def _one_of(result: Schema, value: list[Schema]) -> None:
    result["oneOf"] = [NULL_3_0 if option == NULL else schema_3_0(option) for option in value]


def _properties(result: Schema, value: dict[str, Schema]) -> None:
    result["properties"] = {name: schema_3_0(schema) for name, schema in value.items()}


def _additional(result: Schema, value: bool | Schema) -> None:
    result["additionalProperties"] = value if isinstance(value, bool) else schema_3_0(value)


def _exclusive(bound: str) -> Callable[[Schema, float], None]:
    def convert(result: Schema, value: float) -> None:
        result[bound] = value
        result["exclusive" + bound.capitalize()] = True

    return convert


CONVERSIONS: Mapping[str, Callable[[Schema, Any], None]] = {
    "type": _type,
    "oneOf": _one_of,
    "anyOf": lambda result, value: result.update(anyOf=[schema_3_0(option) for option in value]),
    "allOf": lambda result, value: result.update(allOf=[schema_3_0(option) for option in value]),
    "not": lambda result, value: result.update({"not": schema_3_0(value)}),
    "const": lambda result, value: result.update(enum=[value]),
    "items": lambda result, value: result.update(items=schema_3_0(value)),
    "properties": _properties,
    "additionalProperties": _additional,
    "exclusiveMinimum": _exclusive("minimum"),
    "exclusiveMaximum": _exclusive("maximum"),
    "examples": lambda result, value: result.update(example=value[0]),
    "contentEncoding": lambda result, value: result.update(format={"base64": "byte"}[value]),
}
