"""Levels: scores in groups of neighbours, from which replicates of the areas under curves follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lossmeter.metrics.draws import SLAB_DRAWS, Draws, Hashes, draws
from lossmeter.metrics.order import ascending
from lossmeter.metrics.scores import SLAB_ELEMENTS, Samples, Scored, Steps
from lossmeter.metrics.weighting import COUNTED_BLOCK, Array, Integers, add_counts, drawn_tally, quotient
from lossmeter.stopping import checkpoint

LEVELS = 1000
"""Scores of replicates are told apart as far as one part in so many of the positives or of the negatives lies between."""


@dataclass(frozen=True, eq=False)
class Levels(Scored):
    """The weight of positives and negatives at each level, that is in each group of neighbouring scores, in B replicates.

    A level holds a single score, or at most a thousandth of the positives and of the negatives. So a replicate's area under a
    curve is off by half of a thousandth at most, and by nearly the same in every replicate, whose spread is what is asked for.

    Attributes:
        positive, negative: by column, from the highest level down; each of shape (B, levels).
    """

    positive: Sequence[Array]
    negative: Sequence[Array]

    @classmethod
    def of(cls, total: Array, sizes: Integers) -> Levels:
        """Splits the weight of places, shape (B, places), into columns of so many levels each."""
        both = total.reshape(len(total), -1, 2)
        return cls(*(np.split(both[..., side], np.cumsum(sizes)[:-1], axis=-1) for side in (1, 0)))

    @property
    def classes(self) -> int:
        return len(self.positive)

    def pooled(self) -> Levels:
        """Levels of different classes cannot be compared: pool the samples, and then take their levels."""
        if self.classes != 1:
            raise ValueError(f"these are levels of {self.classes} classes")
        return self

    @property
    def support(self) -> Array:
        return np.stack([part.sum(axis=-1) for part in self.positive], axis=-1)

    def steps(self, column: int) -> Steps:
        checkpoint()
        ones, zeros = (np.cumsum(part[column], axis=-1) for part in (self.positive, self.negative))
        return Steps(np.arange(ones.shape[-1], 0.0, -1.0), ones, zeros)


def levelled(samples: Samples, count: int) -> Iterator[Levels]:
    """Yields the levels of scores in `count` replicates, a few replicates at a time; of samples in order."""
    flat, sizes = _places(samples)
    width = 2 * int(sizes.sum())
    weight, units = samples.weight, samples.units
    if samples.countable:
        # Each draws for itself, and all weigh the same: so they are drawn place by place, and counted.
        order = ascending(flat)
        flat, units = flat[order], units[order]
    step = 4 * max(1, SLAB_ELEMENTS // (4 * max(1, width)))
    for first in range(0, count, step):
        last = min(first + step, count)
        if samples.countable:
            total = _counted(flat, units, width, first, last) * weight[0]
        else:
            total = np.zeros((last - first, width))
            rows = max(1, SLAB_DRAWS // (last - first))
            for start in range(0, len(flat), rows):
                checkpoint()
                part = slice(start, start + rows)
                distinct, unit = np.unique(units[part], return_inverse=True)
                total += drawn_tally(flat[part], weight[part], width, unit, draws(distinct, first, last))
        yield Levels.of(total, sizes)


@dataclass(frozen=True, eq=False)
class LevelCounts:
    """Counts the draws of each level, of samples that are units of their own and weigh 1, along with other replicates.

    Sums of whole numbers are exact, so these are the very levels that `levelled` finds.

    Attributes:
        place: of each sample, twice its level and 1 more if it is positive; shape (m,).
        sizes: how many levels each column has.
        total: how often the samples of each place are drawn; shape (B, places). It grows.
    """

    place: Integers
    sizes: Integers
    total: Array

    @classmethod
    def of(cls, samples: Samples, count: int) -> LevelCounts | None:
        """Begins with no draws; None where levels cannot be counted so, or all replicates of them take too much memory."""
        if samples.classes > 1 or not len(samples.weight) or not (samples.weight == 1).all():
            return None
        place, sizes = _places(samples)
        width = 2 * int(sizes.sum())
        return cls(place, sizes, np.zeros((count, width))) if width * count <= SLAB_ELEMENTS else None

    def add(self, start: int, drawn: Draws) -> None:
        """Counts the draws of the samples that begin at `start`; shape (n, B)."""
        place = self.place[start : start + len(drawn)]
        np.add(self.total, drawn_tally(place, np.ones(len(place)), self.total.shape[1], None, drawn), out=self.total)

    @property
    def levels(self) -> Levels:
        return Levels.of(self.total, self.sizes)


def _counted(place: Integers, units: Hashes, size: int, first: int, last: int) -> Array:
    """Counts how often the units of each place are drawn, in the replicates from `first` up to `last`; shape (B, size)."""
    total = np.zeros((size, last - first))
    rows = max(16, COUNTED_BLOCK // (last - first))
    for start in range(0, len(place), rows):
        checkpoint()
        part = slice(start, start + rows)
        add_counts(total, place[part], draws(units[part], first, last))
    return np.ascontiguousarray(total.T)


def _places(samples: Samples) -> tuple[Integers, Integers]:
    """Returns the place of each element, and how many levels each column has.

    The place is twice the level, counted through all columns from the highest score of each, and 1 more of a positive.
    """
    place = np.zeros(len(samples.x), np.int64)
    sizes = np.zeros(samples.classes, np.int64)
    falling, bounds = samples.falling
    for column in range(samples.classes):
        checkpoint()
        order = falling[bounds[column] : bounds[column + 1]]
        score, y, weight = samples.x[order], samples.y[order], samples.weight[order]
        begins = np.append(True, score[1:] != score[:-1]) if len(order) else np.zeros(0, bool)
        number = np.cumsum(begins) - 1
        if len(order) and number[-1] >= 2 * LEVELS:
            # Of the positives and of the negatives, how many thousandths lie above a score, and how many at or above it.
            shares = [quotient(np.bincount(number, weights=weight * part), weight @ part, 0.0) for part in (y, 1 - y)]
            reached = np.floor(LEVELS * np.cumsum(sum(shares)))
            limits = np.stack([np.append(0, reached[:-1]), reached])
            level = np.cumsum(np.append(0, (np.diff(limits, axis=1) != 0).any(axis=0)))
            number = level[number]
        sizes[column] = number[-1] + 1 if len(number) else 0
        place[order] = number + sizes[:column].sum()
    return 2 * place + (samples.y == 1), sizes
