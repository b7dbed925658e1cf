"""Keeps the entries of a catalogue by name and alias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from lossmeter.catalogue.entries import Description
from lossmeter.errors import Invalid, NotFound

T = TypeVar("T", bound=Description)

NEAR = 0.75
"""How alike two names are, from 0 to 1, of which one may have been meant for the other."""
LONGEST = 100
"""Of the names that are compared with others: the time for that grows with the square of their length."""
SHOWN = 3
"""Names that a message suggests."""


def fold(name: str) -> str:
    """Returns what is equal for one name in the spellings of several libraries: `MeanSquaredError`, `mean_squared_error`."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


class Catalogue(Mapping[str, T], Generic[T]):
    """Maps proper names to entries, in the order in which they were added; refuses a name that is taken.

    Args:
        noun: the word for an entry in messages.
        path: where the service lists them all.
    """

    def __init__(self, noun: str, path: str) -> None:
        self.noun = noun
        self.path = path
        self._entries: dict[str, T] = {}
        self._known: dict[str, str] = {}
        self._shared: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T) -> None:
        """Adds an entry under its name and aliases, in any spelling.

        Raises:
            ValueError: one of them is taken.
        """
        names = [fold(name) for name in (entry.name, *entry.aliases)]
        shared = [fold(name) for name in entry.shared_names]
        for position, name in enumerate(names):
            if name in self._known or name in self._shared or name in (*names[:position], *shared):
                raise ValueError(f"{(entry.name, *entry.aliases)[position]}: this name is taken")
        for name in shared:
            if name in self._known:
                raise ValueError(f"{entry.name}: {name} is shared, and is the name of {self._known[name]} alone")
            self._shared.setdefault(name, []).append(entry.name)
        self._entries[entry.name] = entry
        self._known.update(dict.fromkeys(names, entry.name))

    def discard(self, name: str) -> None:
        """Forgets an entry and its aliases."""
        if self._entries.pop(name, None) is None:
            return
        self._known = {folded: of for folded, of in self._known.items() if of != name}
        for folded, entries in list(self._shared.items()):
            self._shared[folded] = [one for one in entries if one != name]
            if not self._shared[folded]:
                del self._shared[folded]

    def get_known(self, name: str) -> T | None:
        """Returns the entry of a name or alias, in any spelling; None if there is none, or more than one."""
        entry = self._entries.get(name)
        if entry is not None:
            return entry
        known = self._known.get(fold(name))
        return None if known is None else self._entries[known]

    def knows(self, name: str) -> bool:
        """Returns whether a name or alias leads to an entry."""
        return self.get_known(name) is not None

    def find(self, name: str) -> T:
        """Finds the entry of a name or alias.

        Raises:
            NotFound: with the names that may have been meant.
        """
        entry = self.get_known(name)
        if entry is None:
            raise NotFound(self.explain(name))
        return entry

    def choose(self, name: str, pointer: str) -> T:
        """Finds the entry of a name that stands in a request.

        Raises:
            Invalid: with the names that may have been meant.
        """
        entry = self.get_known(name)
        if entry is None:
            raise Invalid.at(self.noun, pointer, self.explain(name))
        return entry

    def explain(self, name: str) -> str:
        """Writes why a name leads to no entry: it means several, or none."""
        shared = self._shared.get(fold(name))
        if shared:
            meanings = " or ".join(f"{one} ({self._entries[one].summary.rstrip('.')})" for one in shared)
            return f"{name!r} means different things: {meanings}. Say which."
        near = self.near(name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"There is no {self.noun} {name!r}.{hint} GET {self.path} lists all {len(self)}."

    def near(self, name: str) -> list[str]:
        """Returns the proper names of the entries that may have been meant, the likeliest first."""
        if len(name) > LONGEST:
            return []
        from difflib import SequenceMatcher

        asked, words = fold(name), set(name.lower().replace("-", "_").split("_"))
        found: dict[str, float] = {}
        for proper, entry in self._entries.items():
            for known in (proper, *entry.aliases):
                like = SequenceMatcher(None, asked, fold(known)).ratio()
                if words < set(known.split("_")) or words > set(known.split("_")):
                    like = max(like, NEAR)
                if like >= NEAR:
                    found[proper] = max(like, found.get(proper, 0.0))
        return sorted(found, key=lambda one: -found[one])[:SHOWN]
