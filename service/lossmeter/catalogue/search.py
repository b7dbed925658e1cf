"""Searches entries by words: their names and what is said of them, in all languages at once."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lossmeter.catalogue.entries import Description
from lossmeter.catalogue.registry import fold

T = TypeVar("T", bound=Description)

WEIGHTS = {"name": 8.0, "alias": 8.0, "suits": 4.0, "summary": 3.0, "tasks": 3.0, "use_when": 2.0}
"""What a word counts in each part of an entry."""
NAMED = 100.0
"""What an entry counts whose name or alias was asked for, in any spelling."""
SHORT = 8
"""Words of a text that counts for its brevity: one of many words is less about any of them."""
KEPT = 0.4
"""Entries are found that count at least this share of the best."""

HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
WORD = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]+")
ENDING = re.compile(r"(?<=\w{4})(?:(?<=l)ling|(?<=l)led|ings?|ed|ies|es|(?<!s)s|e|y)$")
"""Endings of English words that differ where the meaning does not: label, labels, labelled."""
EVERYDAY = frozenset(
    re.findall(
        r"\w+",
        "a about all also an and any are as at be but by can data do for from get has have how i if in into is it its me model "
        "my no not of on one or our out should so some than that the their them then there they this to too use want was we "
        "what when where which who why will with you your loss losses function",
    )
)
"""Words that say nothing of a loss."""


@dataclass(frozen=True)
class Match:
    """A part of an entry that holds words of a query.

    Attributes:
        part: its kind, a key of `WEIGHTS`.
        weight: what it counts among others of its kind.
    """

    part: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class _Part:
    match: Match
    words: frozenset[str]
    weight: float


def words(text: str) -> Iterator[str]:
    """Yields the words of a text: English ones without their endings, Chinese ones as pairs of characters."""
    for word in WORD.findall(HUMP.sub(" ", text).lower()):
        if word[0] >= "\u4e00":
            yield from (word[place : place + 2] for place in range(max(len(word) - 1, 1)))
        elif word not in EVERYDAY:
            yield ENDING.sub("", word)


class Index(Generic[T]):
    """The words of entries, by the part in which they stand.

    Args:
        entries: with the texts of each part, which may be in several languages.
    """

    def __init__(self, entries: Mapping[T, Iterable[Match]]) -> None:
        self._parts = {entry: [_read(match) for match in matches] for entry, matches in entries.items()}
        held = Counter(
            word for parts in self._parts.values() for word in frozenset[str]().union(*(part.words for part in parts))
        )
        # A word that many entries hold tells little; one that none holds, nothing.
        self._worth = {word: math.log(1 + len(self._parts) / number) for word, number in held.items()}

    def search(self, query: str) -> list[tuple[T, tuple[Match, ...]]]:
        """Finds the entries of which parts hold words of a query, the best first, each with those parts."""
        asked = frozenset(words(query)) & self._worth.keys()
        names = {fold(query), *(fold(word.rpartition(".")[2]) for word in query.split())}
        found: dict[T, dict[Match, float]] = {}
        scores: dict[T, float] = {}
        for entry, parts in self._parts.items():
            best = dict.fromkeys(asked, 0.0)
            worth: dict[Match, float] = {}
            for part in parts:
                shared = {word: part.weight * self._worth[word] for word in asked & part.words}
                named = part.match.part in ("name", "alias") and fold(part.match.text) in names
                if shared or named:
                    worth[part.match] = sum(shared.values()) + NAMED * named
                    best.update({word: max(value, best[word]) for word, value in shared.items()})
            if worth:
                found[entry] = worth
                # Words that stand together mean more than the same ones here and there.
                scores[entry] = sum(best.values()) + max(worth.values())
        least = KEPT * max(scores.values(), default=0.0)
        ranked = sorted((entry for entry in scores if scores[entry] >= least), key=lambda entry: -scores[entry])
        return [(entry, tuple(sorted(found[entry], key=lambda match: -found[entry][match]))) for entry in ranked]


def _read(match: Match) -> _Part:
    """Reads the words of a part; a name is a word as a whole, too."""
    held = frozenset(words(match.text))
    if match.part in ("name", "alias"):
        held |= {*words(fold(match.text))}
    return _Part(match, held, match.weight * WEIGHTS[match.part] * math.sqrt(SHORT / (SHORT + len(held))))
