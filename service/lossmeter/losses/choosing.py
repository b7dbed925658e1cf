"""Chooses losses by what is predicted, by what is known of the data, and by words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from lossmeter.catalogue.registry import SHOWN, fold
from lossmeter.catalogue.search import Index, Match, words
from lossmeter.catalogue.translations import ENGLISH, LANGUAGES, reasons, texts
from lossmeter.errors import Invalid, pointer
from lossmeter.losses.catalogue import LOSSES, Loss
from lossmeter.losses.situations import SITUATIONS, TASKS, USUAL

MAX_QUERY = 200
"""Characters of a query."""


@dataclass(frozen=True)
class Choice:
    """A loss that was chosen.

    Attributes:
        reason: why it suits the situation, or when it is used.
        matched: its parts that hold words of the query, the best first.
    """

    loss: Loss
    reason: str
    matched: tuple[Match, ...] = ()


def choose(task: str | None, situation: str | None, query: str | None, language: str = ENGLISH) -> list[Choice]:
    """Lists the losses that are for a task, suit a situation and match a query, as far as these are given; the best first.

    By words, those come first that match best; otherwise those that are made for the situation; then the usual ones; then
    those of which the task is the chief one.

    Raises:
        Invalid: a word that is none, or a query without words or of too many.
    """
    for place, word, known in (("task", task, TASKS), ("situation", situation, SITUATIONS)):
        if word is not None and word not in known:
            raise Invalid.at("losses", pointer(place), _unknown(place, word, known))
    found: dict[Loss, tuple[Match, ...]] = dict.fromkeys(LOSSES.values(), ())
    if query is not None:
        found = dict(_search(query))
    fitting = [
        loss
        for loss in found
        if (task is None or task in loss.tasks) and (situation is None or situation in loss.suits)
    ]
    if query is None:
        fitting.sort(key=lambda loss: _rank(loss, task, situation))
    return [Choice(loss, _reason(loss, situation, language), found[loss]) for loss in fitting]


def _rank(loss: Loss, task: str | None, situation: str | None) -> tuple[int, bool, int]:
    """Sorts losses: those made for the situation before those that suit it too."""
    special = [one for one in loss.suits if one != USUAL]
    place = special.index(situation) if situation in special else 0
    return place, USUAL not in loss.suits, 0 if task is None else loss.tasks.index(task)


def _reason(loss: Loss, situation: str | None, language: str) -> str:
    return texts(loss, language)["use_when"] if situation is None else reasons(loss, language)[situation]


def _search(query: str) -> list[tuple[Loss, tuple[Match, ...]]]:
    if not 0 < len(query) <= MAX_QUERY or not query.strip():
        given = "empty" if not query.strip() else f"of {len(query)} characters"
        raise Invalid.at("losses", "/query", f"query is {given}; expected words, at most {MAX_QUERY} characters")
    found = _index().search(query)
    near = [] if found else LOSSES.near(query)  # a name that is spelled wrong
    return found or [(LOSSES[name], (Match("name", name),)) for name in near]


def _unknown(place: str, word: str, known: Mapping[str, str]) -> str:
    folded = {fold(one): one for one in known}
    near = get_close_matches(fold(word), folded, n=1, cutoff=0.6)
    asked = set(words(word))
    meant = [folded[near[0]]] if near else [one for one, about in known.items() if asked & set(words(about))]
    hint = f" Did you mean {' or '.join(meant[:SHOWN])}?" if meant else ""
    return f"{place} is {word!r}; expected one of {', '.join(known)}.{hint}"


@cache
def _index() -> Index[Loss]:
    """Returns the index of all losses, in all languages."""
    return Index({loss: list(_parts(loss)) for loss in LOSSES.values()})


def _parts(loss: Loss) -> list[Match]:
    special = [one for one in loss.suits if one != USUAL]
    # What it is made for counts more than what it suits too.
    weight = {one: 1.0 if one in (USUAL, *special[:1]) else 0.75 for one in loss.suits}
    parts = [Match("name", loss.name), *(Match("alias", alias) for alias in loss.aliases)]
    parts += [Match("suits", f"{one}: {SITUATIONS[one]}", weight[one]) for one in special]
    parts += [Match("tasks", f"{one}: {TASKS[one]}") for one in loss.tasks]
    for language in LANGUAGES:
        said = texts(loss, language)
        parts += [Match(part, said[part]) for part in ("summary", "use_when")]
        parts += [Match("suits", reason, weight[one]) for one, reason in reasons(loss, language).items()]
    return parts
