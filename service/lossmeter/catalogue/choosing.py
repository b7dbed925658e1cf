"""Chooses entries by what is predicted, by what is known of the data, and by words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Generic, TypeVar

from lossmeter.catalogue.entries import Description
from lossmeter.catalogue.registry import SHOWN, Catalogue, fold
from lossmeter.catalogue.search import Index, Match, words
from lossmeter.catalogue.translations import ENGLISH, LANGUAGES, reasons, texts
from lossmeter.errors import Invalid, pointer

T = TypeVar("T", bound=Description)

USUAL = "usual"
"""The situation of which nothing unusual is known."""
MAX_QUERY = 200
"""Characters of a query."""


@dataclass(frozen=True)
class Choice(Generic[T]):
    """An entry that was chosen.

    Attributes:
        reason: why it suits the situation, or when it is used.
        matched: its parts that hold words of the query, the best first.
    """

    entry: T
    reason: str
    matched: tuple[Match, ...] = ()


class Chooser(Generic[T]):
    """Chooses from a catalogue, by the words that its entries name.

    Args:
        entries: to choose from.
        tasks: what predictions are for, by name; `situations`: what may be known of the data. Each with what it means.
    """

    def __init__(self, entries: Catalogue[T], tasks: Mapping[str, str], situations: Mapping[str, str]) -> None:
        self.entries = entries
        self.tasks = tasks
        self.situations = situations
        self._who = entries.path.rpartition("/")[2]

    def choose(
        self, task: str | None, situation: str | None, query: str | None, language: str = ENGLISH
    ) -> list[Choice[T]]:
        """Lists the entries that are for a task, suit a situation and match a query, as far as these are given; the best first.

        By words, those come first that match best; otherwise those that are made for the situation; then the usual ones; then
        those of which the task is the chief one.

        Raises:
            Invalid: a word that is none, or a query without words or of too many.
        """
        for place, word, known in (("task", task, self.tasks), ("situation", situation, self.situations)):
            if word is not None and word not in known:
                raise Invalid.at(self._who, pointer(place), _unknown(place, word, known))
        found: dict[T, tuple[Match, ...]] = dict.fromkeys(self.entries.values(), ())
        if query is not None:
            found = dict(self._search(query))
        fitting = [
            entry
            for entry in found
            if (task is None or task in entry.tasks) and (situation is None or situation in entry.suits)
        ]
        if query is None:
            fitting.sort(key=lambda entry: _rank(entry, task, situation))
        return [Choice(entry, _reason(entry, situation, language), found[entry]) for entry in fitting]

    def _search(self, query: str) -> list[tuple[T, tuple[Match, ...]]]:
        if not 0 < len(query) <= MAX_QUERY or not query.strip():
            given = "empty" if not query.strip() else f"of {len(query)} characters"
            raise Invalid.at(self._who, "/query", f"query is {given}; expected words, at most {MAX_QUERY} characters")
        found = self._index.search(query)
        near = [] if found else self.entries.near(query)  # a name that is spelled wrong
        return found or [(self.entries[name], (Match("name", name),)) for name in near]

    @cached_property
    def _index(self) -> Index[T]:
        """Indexes all entries, in all languages."""
        return Index({entry: list(self._parts(entry)) for entry in self.entries.values()})

    def _parts(self, entry: T) -> list[Match]:
        special = [one for one in entry.suits if one != USUAL]
        # What it is made for counts more than what it suits too.
        weight = {one: 1.0 if one in (USUAL, *special[:1]) else 0.75 for one in entry.suits}
        parts = [Match("name", entry.name), *(Match("alias", alias) for alias in entry.aliases)]
        parts += [Match("suits", f"{one}: {self.situations[one]}", weight[one]) for one in special]
        parts += [Match("tasks", f"{one}: {self.tasks[one]}") for one in entry.tasks]
        for language in LANGUAGES:
            said = texts(entry, language)
            parts += [Match(part, said[part]) for part in ("summary", "use_when")]
            parts += [Match("suits", reason, weight[one]) for one, reason in reasons(entry, language).items()]
        return parts


def _rank(entry: Description, task: str | None, situation: str | None) -> tuple[int, bool, int]:
    """Sorts entries: those made for the situation before those that suit it too."""
    special = [one for one in entry.suits if one != USUAL]
    place = special.index(situation) if situation in special else 0
    return place, USUAL not in entry.suits, 0 if task is None else entry.tasks.index(task)


def _reason(entry: Description, situation: str | None, language: str) -> str:
    return texts(entry, language)["use_when"] if situation is None else reasons(entry, language)[situation]


def _unknown(place: str, word: str, known: Mapping[str, str]) -> str:
    folded = {fold(one): one for one in known}
    near = get_close_matches(fold(word), folded, n=1, cutoff=0.6)
    asked = set(words(word))
    meant = [folded[near[0]]] if near else [one for one, about in known.items() if asked & set(words(about))]
    hint = f" Did you mean {' or '.join(meant[:SHOWN])}?" if meant else ""
    return f"{place} is {word!r}; expected one of {', '.join(known)}.{hint}"
