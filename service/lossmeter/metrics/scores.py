"""States of scores: histograms of a fixed size, and exact samples, whose size is that of the data.

Both answer `steps`, from which every curve follows: going down from the highest score, the weight of positives and negatives
at or above each threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from lossmeter.metrics.batches import sigmoid
from lossmeter.metrics.draws import SLAB_DRAWS, Hashes, draws
from lossmeter.metrics.states import State, merged_by, total
from lossmeter.metrics.weighting import Array, Booleans, Integers, Weighting, drawn_tally, quotient
from lossmeter.stopping import checkpoint

SLAB_ELEMENTS = 1 << 22
LEVELS = 1000
"""Scores of replicates are told apart as far as one part in so many of the positives or of the negatives lies between."""


class Steps(NamedTuple):
    """Weight at or above each threshold, from the highest threshold down; the arrays end in the same axis."""

    threshold: Array
    positive: Array
    negative: Array


@dataclass(frozen=True, eq=False)
class ScoreHistogram(State, kind="score_histogram"):
    """Weight of positives and negatives by score, for each of C classes; bin j begins at low + j (high - low) / bins.

    Attributes:
        low, high: the declared range of the scores, both ends included.
        positive, negative: weight per bin; shape (C, bins).
    """

    low: float
    high: float
    positive: Array = total()
    negative: Array = total()

    @classmethod
    def of(
        cls,
        score: Array,
        positive: Booleans,
        column: Integers,
        size: tuple[int, int],
        bounds: tuple[float, float],
        w: Weighting,
    ) -> ScoreHistogram:
        classes, bins = size
        low, high = bounds
        place = np.clip(((score - low) / (high - low) * bins).astype(np.int64), 0, bins - 1)
        flat = (column * bins + place) * 2 + positive
        both = w.tally(flat, 2 * classes * bins).reshape(*w.lead, classes, bins, 2)
        return cls(low, high, both[..., 1], both[..., 0])

    @property
    def classes(self) -> int:
        return int(self.positive.shape[-2])

    @property
    def mass(self) -> Array:
        return np.asarray((self.positive + self.negative).sum(axis=(-2, -1)))

    def pooled(self) -> ScoreHistogram:
        """Returns the same of all classes together, as if they were one."""
        sums = (part.sum(axis=-2, keepdims=True) for part in (self.positive, self.negative))
        return ScoreHistogram(self.low, self.high, *sums)

    @property
    def support(self) -> Array:
        """Weight of the positives per class."""
        return np.asarray(self.positive.sum(axis=-1))

    def steps(self, column: int) -> Steps:
        checkpoint()
        bins = self.positive.shape[-1]
        edges = self.low + np.arange(bins)[::-1] * ((self.high - self.low) / bins)
        ones, zeros = (np.cumsum(part[..., column, ::-1], axis=-1) for part in (self.positive, self.negative))
        return Steps(edges, ones, zeros)


@dataclass(frozen=True, eq=False)
class Samples(State, kind="samples"):
    """The data themselves: exact for everything, as large as the data.

    Attributes:
        classes: number of columns, 1 for plain numbers.
        x: predictions or scores; shape (m,).
        y: labels, for scores 1 for positive and 0 for negative; shape (m,).
        column: class or label that the score is of; shape (m,).
        weight: weights; shape (m,), with a leading axis in replicates.
        high, low: upper and lower 32 bits of the hash of the unit's id, from which replicates are drawn; shape (m,).
        logits: whether scores are the logits of probabilities. Before version 2 they were the probabilities.
    """

    version: ClassVar[int] = 2
    classes: int
    x: Array = merged_by("append")
    y: Array = merged_by("append")
    column: Array = merged_by("append")
    weight: Array = merged_by("append")
    high: Array = merged_by("append")
    low: Array = merged_by("append")
    logits: bool = False

    @classmethod
    def of(
        cls, x: Array, y: Array, column: Integers, classes: int, w: Weighting, units: Hashes, *, logits: bool = False
    ) -> Samples:
        ids = w.spread(units)
        halves = ((ids >> np.uint64(32)).astype(np.float64), (ids & np.uint64(0xFFFFFFFF)).astype(np.float64))
        return cls(classes, x, y, column.astype(np.float64), w.value, *halves, logits)

    def merge(self, other: Self) -> Self:
        """Returns the samples of both, as logits if either has logits.

        Raises:
            Invalid: the other state is of another kind, size or setting.
        """
        if isinstance(other, Samples) and self.logits != other.logits:
            return super(Samples, self.as_logits()).merge(other.as_logits())
        return super().merge(other)

    def as_logits(self) -> Self:
        """Returns the same with logits in place of probabilities."""
        if self.logits:
            return self
        with np.errstate(divide="ignore"):
            return replace(self, x=np.log(self.x) - np.log1p(-self.x), logits=True)

    def _fits(self, name: str, mine: Array, theirs: Array) -> bool:  # noqa: ARG002
        return mine.ndim == theirs.ndim

    def _merged(self, other: Self) -> dict[str, Any]:
        return {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.arrays()}

    @property
    def mass(self) -> Array:
        return np.asarray(self.weight.sum(axis=-1))

    def ordered(self) -> Samples:
        """Returns them in an order of their own, so that sums do not depend on the order of arrival."""
        order = np.lexsort((self.weight, self.y, self.x, self.column, self.low, self.high))
        return replace(self, **{name: getattr(self, name)[order] for name in self.arrays()})

    def pooled(self) -> Samples:
        """Returns the same of all classes together, as if they were one."""
        return replace(self, classes=1, column=np.zeros_like(self.column))

    @property
    def units(self) -> Hashes:
        """The hash of the id of each element's unit."""
        return (self.high.astype(np.uint64) << np.uint64(32)) | self.low.astype(np.uint64)

    def replicated(self, count: int) -> Iterator[Samples]:
        """Yields the samples with the weights of `count` replicates, a few replicates at a time."""
        step = 4 * max(1, SLAB_ELEMENTS // (4 * max(1, len(self.x))))
        for first in range(0, count, step):
            yield replace(self, weight=draws(self.units, first, min(first + step, count)).T * self.weight)

    @property
    def groups(self) -> float:
        """(Σ W)² / Σ W² over the units; once ordered."""
        if not len(self.weight):
            return 0.0
        begins = np.flatnonzero(np.append(True, (np.diff(self.high) != 0) | (np.diff(self.low) != 0)))
        each = np.add.reduceat(self.weight, begins)
        return float(each.sum() ** 2 / (each @ each))

    def effective_units(self, y: int) -> Array:
        """(Σ W)² / Σ W² per class over the units, W being the weight in a unit of elements with that label; once ordered."""
        counts = np.zeros(self.classes)
        for column in range(self.classes):
            checkpoint()
            chosen = np.flatnonzero((self.column == column) & (self.y == y))
            high, low, weight = self.high[chosen], self.low[chosen], self.weight[chosen]
            if len(chosen):
                begins = np.flatnonzero(np.append(True, (np.diff(high) != 0) | (np.diff(low) != 0)))
                each = np.add.reduceat(weight, begins)
                counts[column] = each.sum() ** 2 / (each @ each)
        return counts

    @property
    def support(self) -> Array:
        positive, sums = self.weight * self.y, []
        for column in range(self.classes):
            checkpoint()
            sums.append(positive[..., self.column == column].sum(axis=-1))
        return np.stack(sums, axis=-1)

    def steps(self, column: int) -> Steps:
        checkpoint()
        chosen = np.flatnonzero(self.column == column)
        order = chosen[np.argsort(-self.x[chosen], kind="stable")]
        score, y, weight = self.x[order], self.y[order], self.weight[..., order]
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(order) else np.zeros(0, np.int64)
        ones, zeros = (np.cumsum(weight * part, axis=-1)[..., ends] for part in (y, 1 - y))
        return Steps(sigmoid(score[ends]) if self.logits else score[ends], ones, zeros)


@dataclass(frozen=True)
class Levels:
    """The weight of positives and negatives at each level, that is in each group of neighbouring scores, in B replicates.

    A level holds a single score, or at most a thousandth of the positives and of the negatives. So a replicate's area under a
    curve is off by half of a thousandth at most, and by nearly the same in every replicate, whose spread is what is asked for.

    Attributes:
        positive, negative: by column, from the highest level down; each of shape (B, levels).
    """

    positive: Sequence[Array]
    negative: Sequence[Array]

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
    """Yields the levels of scores in `count` replicates, a few replicates at a time."""
    place, sizes = _levels(samples)
    ends = np.cumsum(sizes)
    width = 2 * int(ends[-1])
    flat = 2 * place + (samples.y == 1)
    step = 4 * max(1, SLAB_ELEMENTS // (4 * max(1, width)))
    for first in range(0, count, step):
        last = min(first + step, count)
        total = np.zeros((last - first, width))
        rows = max(1, SLAB_DRAWS // (last - first))
        for start in range(0, len(flat), rows):
            checkpoint()
            part = slice(start, start + rows)
            units, unit = np.unique(samples.units[part], return_inverse=True)
            total += drawn_tally(flat[part], samples.weight[part], width, unit, draws(units, first, last))
        both = total.reshape(last - first, -1, 2)
        yield Levels(*(np.split(both[..., side], ends[:-1], axis=-1) for side in (1, 0)))


def _levels(samples: Samples) -> tuple[Integers, Integers]:
    """Returns the level of each element, counted through all columns from the highest score of each, and how many each has."""
    place = np.zeros(len(samples.x), np.int64)
    sizes = np.zeros(samples.classes, np.int64)
    for column in range(samples.classes):
        checkpoint()
        chosen = np.flatnonzero(samples.column == column)
        order = chosen[np.argsort(-samples.x[chosen], kind="stable")]
        score, y, weight = samples.x[order], samples.y[order], samples.weight[order]
        begins = np.append(True, score[1:] != score[:-1]) if len(order) else np.zeros(0, bool)
        number = np.cumsum(begins) - 1
        if len(order) and number[-1] >= 2 * LEVELS:
            # Of the positives and of the negatives, how many thousandths lie above a score, and how many at or above it.
            shares = [quotient(np.bincount(number, weights=weight * part), weight @ part, 0.0) for part in (y, 1 - y)]
            reached = np.floor(LEVELS * np.cumsum(sum(shares)))
            bounds = np.stack([np.append(0, reached[:-1]), reached])
            level = np.cumsum(np.append(0, (np.diff(bounds, axis=1) != 0).any(axis=0)))
            number = level[number]
        sizes[column] = number[-1] + 1 if len(number) else 0
        place[order] = number + sizes[:column].sum()
    return place, sizes
