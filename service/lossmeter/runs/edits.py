"""Edits of what people call a run: its name and its tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lossmeter.errors import Invalid
from lossmeter.runs.run import StoredRun

MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class RunEdit:
    """Says what changes of a run; what is None stays as it is.

    Attributes:
        name: the new one.
        tags: all of them, in the place of those that it has; or some by key, each in the place of the tags `key` and `key=…`:
            with a value `key=value`, with an empty one `key`, with None no tag.
    """

    name: str | None = None
    tags: Sequence[str] | Mapping[str, str | None] | None = None

    def applied(self, run: StoredRun) -> StoredRun:
        """Returns the run with the changes.

        Raises:
            Invalid: it would have too many tags.
        """
        tags = run.tags if self.tags is None else tuple(sorted(set(self._tags(run))))
        if len(tags) > MAX_TAGS:
            raise Invalid.at(f"run {run.id}", "/tags", f"tags would be {len(tags)}; expected at most {MAX_TAGS} items")
        return replace(run, name=run.name if self.name is None else self.name, tags=tags)

    def _tags(self, run: StoredRun) -> Sequence[str]:
        if not isinstance(self.tags, Mapping):
            return self.tags or ()
        keys = self.tags.keys()
        kept = [tag for tag in run.tags if keys.isdisjoint(_keys(tag))]
        return [*kept, *(tag_of(key, value) for key, value in self.tags.items() if value is not None)]


def tag_of(key: str, value: str) -> str:
    """Returns the tag that a key and its value stand for."""
    return f"{key}={value}" if value else key


def _keys(tag: str) -> Iterator[str]:
    """Yields all keys by which a tag is meant: itself, and what stands before each `=`."""
    yield tag
    yield from (tag[:place] for place, letter in enumerate(tag) if letter == "=")
