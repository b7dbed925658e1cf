"""A record: the sums of the data so far. It merges in any order and is plain JSON; see `docs/statistics.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmeter.errors import Invalid, MalformedBody
from lossmeter.evaluation.hardest import HardestSample, hardest
from lossmeter.evaluation.statistics import Statistics
from lossmeter.metrics.states import Reader, Writer, from_lists, to_lists

FORMAT = "lossmeter.record"
VERSION = 1
Slices = Mapping[str, Mapping[str, Statistics]]
"""By column, then by value as JSON text: 1, "1" and true are three values."""


@dataclass(frozen=True, eq=False)
class Record:
    """The sums of the data so far.

    Attributes:
        classes: number of classes or labels; None where the task has none.
        whole: the states of losses and metrics over all samples.
        slices: the same over the samples of each slice.
        limit: how many of the hardest samples are kept.
        hardest: those with the highest loss, in order.
    """

    classes: int | None
    whole: Statistics
    slices: Slices
    limit: int
    hardest: tuple[HardestSample, ...]

    @property
    def samples(self) -> int:
        """The number of samples that count."""
        return self.whole.samples

    def merge(self, other: Record) -> Record:
        """Returns the record of the data of both.

        Raises:
            Invalid: they are of different plans, or of different numbers of classes.
        """
        if self.classes != other.classes:
            raise Invalid.at("merge", "/classes", f"{other.classes} classes cannot be added to {self.classes}")
        if self.slices.keys() != other.slices.keys() or self.limit != other.limit:
            raise Invalid.at("merge", "/slices", "the records are of different plans")
        with np.errstate(invalid="ignore", over="ignore"):  # a loss may be infinite
            return Record(
                self.classes,
                self.whole.merge(other.whole),
                {column: _joined(parts, other.slices[column]) for column, parts in self.slices.items()},
                self.limit,
                hardest(self.limit, (*self.hardest, *other.hardest)),
            )

    @property
    def parts(self) -> list[Statistics]:
        """Lists the statistics of all samples and of each slice."""
        return [self.whole, *(part for column in self.slices.values() for part in column.values())]

    @property
    def numbers(self) -> int:
        """Counts the numbers in all states."""
        states = [one for part in self.parts for of in (part.states, part.replicates) for one in of.values()]
        return sum(getattr(state, name).size for state in states for name in state.arrays())

    def to_json(self, write: Writer = to_lists) -> dict[str, Any]:
        """Returns plain numbers, strings and lists, unless `write` makes something else of arrays."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "classes": self.classes,
            "whole": self.whole.to_json(write),
            "slices": {
                column: [
                    {"value": json.loads(value), "statistics": part.to_json(write)}
                    for value, part in sorted(parts.items())
                ]
                for column, parts in self.slices.items()
            },
            "hardest": {"limit": self.limit, "samples": [one.to_json() for one in self.hardest]},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], read: Reader = from_lists) -> Record:
        """Reads what `to_json` wrote.

        Raises:
            MalformedBody: it is not that, or of a version that is not known here.
        """
        if record.get("format") != FORMAT or record.get("version") != VERSION:
            raise MalformedBody("record: the format or its version is not known")
        try:
            return cls(
                record["classes"],
                Statistics.from_json(record["whole"], read),
                {
                    column: {
                        json.dumps(part["value"]): Statistics.from_json(part["statistics"], read) for part in parts
                    }
                    for column, parts in record["slices"].items()
                },
                int(record["hardest"]["limit"]),
                tuple(HardestSample.from_json(one) for one in record["hardest"]["samples"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedBody(f"record: {error!r}") from error


def merge_all(parts: Iterable[Record]) -> Record:
    """Merges the parts, of which there is at least one, in pairs, so that sums stay balanced."""
    level = list(parts)
    while len(level) > 1:
        rest = level[len(level) & ~1 :]
        level = [one.merge(other) for one, other in zip(level[::2], level[1::2], strict=False)] + rest
    return level[0]


def _joined(mine: Mapping[str, Statistics], theirs: Mapping[str, Statistics]) -> dict[str, Statistics]:
    both = {value: part.merge(theirs[value]) for value, part in mine.items() if value in theirs}
    return {**mine, **theirs, **both}
