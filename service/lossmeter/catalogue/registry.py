"""Keeps the entries of a catalogue by name and alias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from lossmeter.catalogue.entries import Entry
from lossmeter.errors import NotFound

T = TypeVar("T", bound=Entry)


class Catalogue(Mapping[str, T], Generic[T]):
    """Maps proper names to entries, in the order in which they were added; refuses a name that is taken.

    Args:
        noun: the word for an entry in messages.
        path: where the service lists them all.
    """

    def __init__(self, noun: str, path: str) -> None:
        self.noun = noun
        self.path = path
        self.aliases: dict[str, str] = {}
        self._entries: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T) -> None:
        """Adds an entry under its name and aliases.

        Raises:
            ValueError: one of them is taken.
        """
        names = (entry.name, *entry.aliases)
        for position, name in enumerate(names):
            if self.knows(name) or name in names[:position]:
                raise ValueError(f"{name}: this name is taken")
        self._entries[entry.name] = entry
        self.aliases.update(dict.fromkeys(entry.aliases, entry.name))

    def discard(self, name: str) -> None:
        """Forgets an entry and its aliases."""
        entry = self._entries.pop(name, None)
        for alias in entry.aliases if entry is not None else ():
            del self.aliases[alias]

    def knows(self, name: str) -> bool:
        """Returns whether a name or alias leads to an entry."""
        return name in self._entries or name in self.aliases

    def find(self, name: str) -> T:
        """Finds the entry of a name or alias.

        Raises:
            NotFound: with the nearest names that exist.
        """
        entry = self._entries.get(self.aliases.get(name, name))
        if entry is None:
            import difflib

            near = difflib.get_close_matches(name, [*self._entries, *self.aliases], n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise NotFound(f"There is no {self.noun} {name!r}.{hint} GET {self.path} lists all {len(self)}.")
        return entry
