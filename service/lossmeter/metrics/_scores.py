"""States of scores: histograms of a fixed size, and exact samples, whose size is that of the data.

Both answer `steps`, from which every curve follows: going down from the highest score, the weight of positives and negatives
at or above each threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from lossmeter.metrics._draws import Hashes, draws
from lossmeter.metrics._states import State, merged_by, total
from lossmeter.metrics._weighting import Array, Booleans, Integers, Weighting

SLAB_ELEMENTS = 1 << 22


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
        flat = column * bins + place
        shape = (*w.lead, classes, bins)
        ones, zeros = (w.tally(flat, classes * bins, which).reshape(shape) for which in (positive, ~positive))
        return cls(low, high, ones, zeros)

    @property
    def classes(self) -> int:
        return int(self.positive.shape[-2])

    @property
    def support(self) -> Array:
        """Weight of the positives per class."""
        return np.asarray(self.positive.sum(axis=-1))

    def steps(self, column: int) -> Steps:
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
    """

    classes: int
    x: Array = merged_by("append")
    y: Array = merged_by("append")
    column: Array = merged_by("append")
    weight: Array = merged_by("append")
    high: Array = merged_by("append")
    low: Array = merged_by("append")

    @classmethod
    def of(cls, x: Array, y: Array, column: Integers, classes: int, w: Weighting, units: Hashes) -> Samples:
        ids = w.spread(units)
        high, low = ids >> np.uint64(32), ids & np.uint64(0xFFFFFFFF)
        return cls(classes, x, y, column.astype(np.float64), w.value, high.astype(np.float64), low.astype(np.float64))

    def _fits(self, name: str, mine: Array, theirs: Array) -> bool:  # noqa: ARG002
        return mine.ndim == theirs.ndim

    def _merged(self, other: Self) -> dict[str, Any]:
        return {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.arrays()}

    def ordered(self) -> Samples:
        """In an order of their own, so that sums do not depend on the order of arrival."""
        order = np.lexsort((self.weight, self.y, self.x, self.column, self.low, self.high))
        return replace(self, **{name: getattr(self, name)[order] for name in self.arrays()})

    def replicated(self, count: int) -> Iterator[Samples]:
        """The samples with the weights of `count` replicates, a few replicates at a time."""
        units = (self.high.astype(np.uint64) << np.uint64(32)) | self.low.astype(np.uint64)
        step = 4 * max(1, SLAB_ELEMENTS // (4 * max(1, len(units))))
        for first in range(0, count, step):
            yield replace(self, weight=draws(units, first, min(first + step, count)) * self.weight)

    @property
    def support(self) -> Array:
        positive = self.weight * self.y
        return np.stack([positive[..., self.column == c].sum(axis=-1) for c in range(self.classes)], axis=-1)

    def steps(self, column: int) -> Steps:
        chosen = np.flatnonzero(self.column == column)
        order = chosen[np.argsort(-self.x[chosen], kind="stable")]
        score, y, weight = self.x[order], self.y[order], self.weight[..., order]
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(order) else np.zeros(0, np.int64)
        ones, zeros = (np.cumsum(weight * part, axis=-1)[..., ends] for part in (y, 1 - y))
        return Steps(score[ends], ones, zeros)
