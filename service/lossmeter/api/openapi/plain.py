"""Rewrites schemas in the form that generators of clients understand best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossmeter.api.openapi.components import ENUMERATIONS, REF, UNIONS, Schema, ref
from lossmeter.api.openapi.formulas import readable

NULL: Schema = {"type": "null"}
FORMATS = {"number": "double", "integer": "int64"}
NAMES = {tuple(schema["enum"]): name for name, schema in ENUMERATIONS.items()}


def plain(part: Any) -> Any:
    """Writes a schema, or a part of the document with schemas in it, plainly.

    Tensors, unions and lists of words become references to their schemas; nothing is `anyOf` with null; numbers have a format;
    what has one value only is an enumeration of one; titles that only repeat a name are gone.
    """
    if isinstance(part, list):
        return [plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    for rewrite in REWRITES:
        part = rewrite(part)
    if isinstance(part.get("description"), str):
        part = {**part, "description": readable(part["description"])}
    return {
        # Names of properties are no keywords, and data is no schema.
        key: {name: plain(schema) for name, schema in value.items()}
        if key == "properties"
        else value
        if key in ("examples", "example", "default", "enum", "required")
        else plain(value)
        for key, value in part.items()
    }


def _untitled(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}


def _tensor(schema: Schema) -> Schema:
    if "x-tensor" not in schema:
        return schema
    return {"$ref": REF.format(model="Tensor"), **{key: value for key, value in schema.items() if key != "x-tensor"}}


def _no_default(schema: Schema) -> Schema:
    """Removes a default of null, which means that the field may be left out."""
    if schema.get("default", ...) is not None:
        return schema
    return {key: value for key, value in schema.items() if key != "default"}


def _constant(schema: Schema) -> Schema:
    return _replaced(schema, "const", {"enum": [schema["const"]]}) if "const" in schema else schema


def _union(schema: Schema) -> Schema:
    """Writes a union of simple types by its name; one with null as a type that includes null."""
    options = schema.get("anyOf")
    if options is None and isinstance(schema.get("type"), list):
        options = [{"type": kind} for kind in schema["type"]]
    if options is None:
        return schema
    keyword = "anyOf" if "anyOf" in schema else "type"
    kept = [option for option in options if option != NULL]
    null = [NULL] if len(kept) < len(options) else []
    simple = frozenset(option["type"] for option in kept if set(option) == {"type"})
    name = UNIONS.get(simple) if len(simple) == len(kept) else None
    if name is not None:
        reference = ref(name)
        return _replaced(schema, keyword, {"oneOf": [reference, *null]} if null else reference)
    if keyword == "type":
        return schema
    if null and len(kept) == 1 and isinstance(kept[0].get("type"), str):
        return _replaced(schema, keyword, {**kept[0], "type": [kept[0]["type"], "null"]})
    return _replaced(schema, keyword, {"oneOf": [*kept, *null]})


def _words(schema: Schema) -> Schema:
    name = NAMES.get(tuple(map(str, schema.get("enum", ()))))
    if name is None or schema.get("type") != "string":
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("enum", "type")}
    if rest.get("description") == ENUMERATIONS[name]["description"]:
        del rest["description"]
    return {"$ref": REF.format(model=name), **rest}


def _format(schema: Schema) -> Schema:
    kinds = schema.get("type", [])
    form = next((FORMATS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind in FORMATS), None)
    return schema if form is None else {"format": form, **schema}


def _replaced(schema: Schema, keyword: str, by: Schema) -> Schema:
    """Puts other keywords in place of one; those that the schema has itself stand."""
    return {**by, **{key: value for key, value in schema.items() if key != keyword}}


REWRITES: tuple[Callable[[Schema], Schema], ...] = (_untitled, _tensor, _no_default, _constant, _union, _words, _format)
