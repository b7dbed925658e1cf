"""Which changes of a schema break whoever sends what it describes, or reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
Changes = dict[str, None]
"""Sentences, in order and without repetition."""

ANYTHING = "anything"
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class Comparison:
    """Compares schemas of two documents; each named one once as sent and once as read.

    Args:
        old, new: the named schemas of both documents.
        found: takes the changes.
    """

    def __init__(self, old: Mapping[str, Schema], new: Mapping[str, Schema], found: Changes) -> None:
        self.old = old
        self.new = new
        self.found = found
        self._done: set[tuple[str, bool]] = set()

    def sent(self, place: str, old: Schema, new: Schema) -> None:
        """What a client sends by the old schema must fit the new one."""
        self._compare(place, old, new, sent=True)

    def read(self, place: str, old: Schema, new: Schema) -> None:
        """What a client reads by the new schema must fit the old one."""
        self._compare(place, old, new, sent=False)

    def _compare(self, place: str, old: Schema, new: Schema, *, sent: bool) -> None:
        default, now_default = _default(old, self.old), _default(new, self.new)
        if sent and default != now_default:
            self._tell(place, f"default was {default!r}, is {now_default!r}")
        self._contents(place, old, new, sent=sent)

    def _contents(self, place: str, old: Schema, new: Schema, *, sent: bool) -> None:
        by, now_by = (schema.get("discriminator", {}).get("propertyName") for schema in (old, new))
        if by != now_by:
            self._tell(place, f"was told apart by {by}, is by {now_by}")
        before, after = _options(old), _options(new)
        # What has a name in one document alone is compared by what it says.
        before, after = _expanded(before, self.old, self.new), _expanded(after, self.new, self.old)
        before, after = _expanded(before, self.old, after), _expanded(after, self.new, before)
        if sent and ANYTHING not in after:
            for label in before.keys() - after.keys():
                self._tell(place, f"takes no {label}")
        if not sent and ANYTHING not in before:
            for label in after.keys() - before.keys():
                self._tell(place, f"may be {label}")
        for label in sorted(before.keys() & after.keys()):
            if label in self.old and label in self.new:
                self._named(label, sent=sent)
            elif label != "null":
                self._inline(place, before[label], after[label], sent=sent)

    def _named(self, name: str, *, sent: bool) -> None:
        if (name, sent) not in self._done:
            self._done.add((name, sent))
            self._contents(name, self.old[name], self.new[name], sent=sent)  # each place has its own default

    def _inline(self, place: str, old: Schema, new: Schema, *, sent: bool) -> None:
        self._words(place, old.get("enum"), new.get("enum"), sent=sent)
        for keyword in ("format", "contentEncoding"):
            if old.get(keyword) != new.get(keyword):
                self._tell(place, f"{keyword} was {old.get(keyword)}, is {new.get(keyword)}")
        if sent:
            self._bounds(place, old, new)
        self._properties(place, old, new, sent=sent)
        for keyword in ("items", "additionalProperties"):
            before, after = old.get(keyword), new.get(keyword)
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                self._compare(f"{place}[]", before, after, sent=sent)
        if sent and old.get("additionalProperties", True) is not False and new.get("additionalProperties") is False:
            self._tell(place, "takes no other properties")

    def _words(self, place: str, old: list[Any] | None, new: list[Any] | None, *, sent: bool) -> None:
        if sent and new is not None:
            lost = ["all others"] if old is None else [repr(word) for word in old if word not in new]
            for word in lost:
                self._tell(place, f"takes no {word}")
        if not sent and old is not None:
            more = ["any other word"] if new is None else [repr(word) for word in new if word not in old]
            for word in more:
                self._tell(place, f"may be {word}")

    def _bounds(self, place: str, old: Schema, new: Schema) -> None:
        for keyword in (*LOWER, *UPPER):
            before, after = old.get(keyword), new.get(keyword)
            sign = 1 if keyword in LOWER else -1
            if after is not None and (before is None or sign * after > sign * before):
                self._tell(place, f"{keyword} was {before}, is {after}")
        if new.get("pattern") not in (None, old.get("pattern")):
            self._tell(place, f"pattern was {old.get('pattern')}, is {new['pattern']}")

    def _properties(self, place: str, old: Schema, new: Schema, *, sent: bool) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                self._tell(f"{place}.{name}", "is gone")
            else:
                self._compare(f"{place}.{name}", before[name], after[name], sent=sent)
        required = [set(schema.get("required", ())) for schema in (old, new)]
        if sent:
            for name in sorted(required[1] - required[0]):
                self._tell(f"{place}.{name}", "is required")
        else:
            for name in sorted((required[0] - required[1]) & after.keys()):
                self._tell(f"{place}.{name}", "may be absent")

    def _tell(self, place: str, what: str) -> None:
        self.found[f"{place}: {what}"] = None


def _default(schema: Schema, named: Mapping[str, Schema]) -> Any:
    """The default of a schema, or of the one that it names."""
    if "default" in schema or "$ref" not in schema:
        return schema.get("default")
    return _default(named[schema["$ref"].rpartition("/")[2]], named)


def _expanded(
    options: Mapping[str, Schema], named: Mapping[str, Schema], other: Mapping[str, Schema]
) -> Mapping[str, Schema]:
    found: dict[str, Schema] = {}
    for label, schema in options.items():
        found |= _options(named[label]) if label in named and label not in other else {label: schema}
    return found


def _options(schema: Schema) -> dict[str, Schema]:
    """What a schema may stand for, by name: a named schema, a type, or anything."""
    if "$ref" in schema:
        return {schema["$ref"].rpartition("/")[2]: schema}
    if "oneOf" in schema:
        found: dict[str, Schema] = {}
        for option in schema["oneOf"]:
            found |= _options(option)
        return found
    kinds = schema.get("type", ANYTHING)
    return dict.fromkeys([kinds] if isinstance(kinds, str) else kinds, schema)
