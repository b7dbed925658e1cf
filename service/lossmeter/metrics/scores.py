"""States of scores: histograms of a fixed size, and exact samples, whose size is that of the data.

Both answer `steps`, from which every curve follows: going down from the highest score, the weight of positives and negatives
at or above each threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from lossmeter.metrics.batches import sigmoid
from lossmeter.metrics.draws import Hashes, draws
from lossmeter.metrics.order import ascending, descending
from lossmeter.metrics.states import State, merged_by, total
from lossmeter.metrics.weighting import Array, Booleans, Integers, Weighting, quotient
from lossmeter.stopping import checkpoint

SLAB_ELEMENTS = 1 << 22


class Steps(NamedTuple):
    """Weight at or above each threshold, from the highest threshold down; the arrays end in the same axis."""

    threshold: Array
    positive: Array
    negative: Array


class Areas(NamedTuple):
    """Areas under curves per class, how far each can be from the exact one, and whether there is one; shape (…, C)."""

    value: Array
    error: Array
    defined: Booleans


class Scored:
    """Scores of C classes, and the areas under their curves, which several figures ask for and are computed once."""

    classes: Any
    steps: Callable[[int], Steps]

    @cached_property
    def _areas(self) -> tuple[Areas, Areas]:
        roc, precision = [], []
        for column in range(self.classes):
            _, tp, fp = self.steps(column)
            roc.append(_roc_area(tp, fp))
            precision.append(_precision(tp, fp))
        return _stacked(roc), _stacked(precision)

    @property
    def roc_areas(self) -> Areas:
        """Areas under the ROC curves; the error is half the share of pairs that are tied."""
        return self._areas[0]

    @property
    def precisions(self) -> Areas:
        """Average precisions; the error is how far each can be from the exact one."""
        return self._areas[1]


def _stacked(each: Iterable[Areas]) -> Areas:
    return Areas(*(np.stack(part, axis=-1) for part in zip(*each, strict=True)))


def _roc_area(tp: Array, fp: Array) -> Areas:
    if not tp.shape[-1]:
        tp, fp = (np.zeros((*tp.shape[:-1], 1)) for _ in range(2))
    pairs = tp[..., -1] * fp[..., -1]
    dt, df = (np.diff(part, axis=-1, prepend=0.0) for part in (tp, fp))
    before = np.concatenate([np.zeros_like(tp[..., :1]), tp[..., :-1]], axis=-1)
    # Running sums do not move where nothing is added: so what is perfect is known without rounding.
    best = (np.where(df > 0, before, tp[..., -1:]) == tp[..., -1:]).all(axis=-1)
    worst = (np.where(df > 0, tp, 0.0) == 0).all(axis=-1)
    value = np.clip(quotient(((tp - dt / 2) * df).sum(axis=-1), pairs, 0.0), 0.0, 1.0)
    ties = quotient((dt * df).sum(axis=-1) / 2, pairs, 0.0)
    return Areas(np.where(best, 1.0, np.where(worst, 0.0, value)), ties, np.asarray(pairs > 0))


def _precision(tp: Array, fp: Array) -> Areas:
    positives = tp[..., -1] if tp.shape[-1] else np.zeros(tp.shape[:-1])
    dt, df = (np.diff(part, axis=-1, prepend=0.0) for part in (tp, fp))
    # Divided by what the steps add up to, so that a precision of 1 throughout is 1.
    rises = dt.sum(axis=-1)
    value = (dt * quotient(tp, tp + fp, 0.0)).sum(axis=-1)
    # All positives of a bin before its negatives, at one score; and after them, one by one: ∫ (a + t) / (a + t + b) dt.
    highest = (dt * quotient(tp, tp + fp - df, 0.0)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.where(fp > 0, fp * np.log((tp + fp) / (tp - dt + fp)), 0.0)
    lowest = (dt - np.minimum(missed, dt)).sum(axis=-1)
    error = quotient(np.maximum(highest - value, value - lowest), positives, 0.0)
    return Areas(np.clip(quotient(value, rises, 0.0), 0.0, 1.0), error, np.asarray(positives > 0))


@dataclass(frozen=True, eq=False)
class ScoreHistogram(Scored, State, kind="score_histogram"):
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
class Samples(Scored, State, kind="samples"):
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
        """Returns them in an order of their own, so that sums do not depend on that of arrival; as they are, if none does."""
        if self.countable:
            return self
        units = self.units
        order = ascending(units)
        (same,) = np.nonzero(np.diff(units[order]) == 0)
        if len(same):
            # Elements of one unit, or of equal ids, are ordered by what they say.
            several = np.zeros(len(order), bool)
            several[same] = several[same + 1] = True
            some = order[several]
            keys = (self.weight, self.y, self.x, self.column, units)
            order[several] = some[np.lexsort([key[some] for key in keys])]
        return replace(self, **{name: getattr(self, name)[order] for name in self.arrays()})

    @cached_property
    def falling(self) -> tuple[Integers, Integers]:
        """The order by column, in each from the highest score down, and where in it each column begins and the last ends."""
        order = descending(self.x)
        if self.classes == 1:
            return order, np.array([0, len(order)])
        order = order[ascending(self.column[order])]
        return order, np.searchsorted(self.column[order], np.arange(self.classes + 1))

    def pooled(self) -> Samples:
        """Returns the same of all classes together, as if they were one."""
        return self if self.classes == 1 else self._together

    @cached_property
    def _together(self) -> Samples:
        return replace(self, classes=1, column=np.zeros_like(self.column))

    @cached_property
    def countable(self) -> bool:
        """Tells whether all are positive or negative, weigh the same and are units of their own: then sums are exact counts."""
        if self.weight.ndim > 1 or not len(self.weight) or self.weight.min() < self.weight.max():
            return False
        if not ((self.y == 0) | (self.y == 1)).all():
            return False
        units = np.sort(self.units)
        return not (units[1:] == units[:-1]).any()

    @cached_property
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
        if not len(self.weight) or self.countable:
            return float(len(self.weight))
        begins = np.flatnonzero(np.append(True, (np.diff(self.high) != 0) | (np.diff(self.low) != 0)))
        each = np.add.reduceat(self.weight, begins)
        return float(each.sum() ** 2 / (each @ each))

    def effective_units(self, y: int) -> Array:
        """(Σ W)² / Σ W² per class over the units, W being the weight in a unit of elements with that label; once ordered."""
        if self.countable:
            return self._counts(self.y == y)
        counts = np.zeros(self.classes)
        order = ascending(self.column) if self.classes > 1 else np.arange(len(self.column))
        chosen = order[self.y[order] == y]
        bounds = np.searchsorted(self.column[chosen], np.arange(self.classes + 1))
        high, low, weight = self.high[chosen], self.low[chosen], self.weight[chosen]
        fresh = np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))
        for column, (start, stop) in enumerate(pairwise(bounds.tolist())):
            checkpoint()
            if start < stop:
                begins = start + np.flatnonzero(np.append(True, fresh[start + 1 : stop]))
                each = np.add.reduceat(weight[:stop], begins)
                counts[column] = each.sum() ** 2 / (each @ each)
        return counts

    @cached_property
    def support(self) -> Array:
        if self.countable:
            return np.asarray(self._counts(self.y == 1) * self.weight[0])
        order, bounds = self.falling
        positive = (self.weight * self.y)[..., order]
        return np.stack([positive[..., slice(*ends)].sum(axis=-1) for ends in pairwise(bounds.tolist())], axis=-1)

    def _counts(self, chosen: Booleans) -> Array:
        """Counts the chosen ones of each column."""
        return np.bincount(self.column[chosen].astype(np.int64), minlength=self.classes).astype(np.float64)

    def steps(self, column: int) -> Steps:
        checkpoint()
        order, bounds = self.falling
        order = order[bounds[column] : bounds[column + 1]]
        score, y = self.x[order], self.y[order]
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(order) else np.zeros(0, np.int64)
        if self.countable:
            above = np.cumsum(y)[ends]
            ones, zeros = above * self.weight[0], (ends + 1 - above) * self.weight[0]
        else:
            weight = self.weight[..., order]
            ones, zeros = (np.cumsum(weight * part, axis=-1)[..., ends] for part in (y, 1 - y))
        return Steps(sigmoid(score[ends]) if self.logits else score[ends], ones, zeros)
