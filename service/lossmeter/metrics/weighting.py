"""Weights of the elements of a batch, and the sums over the batch that follow.

An *element* is what is predicted (a number, a label, a pixel, a query); a *unit* is what was drawn (a sample, an image, a
query) and may hold several elements. Uncertainty comes from units, so replicates draw units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.metrics.draws import THRESHOLDS, Draws
from lossmeter.metrics.order import ascending
from lossmeter.stopping import checkpoint

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

BLOCK = 8192
DRAWN_BLOCK = 1 << 16
"""Draws that are turned into floating numbers at a time: what fits a cache."""
PLACES_AT_ONCE = 8
"""Places, on average, of the elements that are tallied in one product of matrices."""
COUNTED_BLOCK = 1 << 19
"""Draws that are counted at a time."""
MOST_ADDED = 255 // len(THRESHOLDS)
"""Draws of a unit whose sum fits a byte."""
LONG_RUN = 8 * MOST_ADDED
"""Elements of a place, on average, from which each place is summed by itself."""
OFF_CENTRE = 1e4
"""Square of the mean over the variance above which the rounding of the mean shows in squares of deviations from it."""
DENSE_SHARE = 8
"""Places that a table by unit may have for each element."""


def quotient(numerator: Any, denominator: Any, empty: float = np.nan) -> Array:
    """Divides elementwise, `empty` where the denominator is zero."""
    bottom = np.asarray(denominator, np.float64)
    zero = bottom == 0
    if not zero.any():
        return np.asarray(np.asarray(numerator, np.float64) / bottom)
    return np.where(zero, empty, np.asarray(numerator, np.float64) / np.where(zero, 1.0, bottom))


@dataclass(frozen=True, eq=False)
class Weighting:
    """Weights of the m elements of n units, and how often each of B replicates draws each unit.

    Attributes:
        value: shape (m,), positive; what is masked or weighs nothing has been dropped.
        unit: shape (m,), ascending from 0 to n - 1 without a gap; None if every element is a unit of its own.
        units: the number n.
        draws: shape (n, B); None for the data as they are, which is the point estimate.
    """

    value: Array
    unit: Integers | None
    units: int
    draws: Draws | None = None

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes of everything that is summed here: `(B,)` for replicates, otherwise none."""
        return () if self.draws is None else (self.draws.shape[1],)

    @property
    def plain(self) -> bool:
        """Tells whether these are the data as they are, of units that are elements and all have the one weight 1."""
        return self.draws is None and self.unit is None and self.value.strides == (0,)

    def spread(self, per_unit: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Gives each element what holds for its unit; (n, …) becomes (m, …)."""
        return per_unit if self.unit is None else per_unit[self.unit]

    def per_unit(self, amount: Array) -> Array:
        """Sums over the elements of each unit; (m, …) becomes (n, …)."""
        if self.unit is None or not len(amount):
            return amount
        return np.add.reduceat(amount, np.searchsorted(self.unit, np.arange(self.units)), axis=0)

    def total(self, amount: Array | None = None) -> Array:
        """Sums all elements, weighted; (m, …) becomes (*lead, …)."""
        if self.plain:
            return np.asarray(len(self.value) if amount is None else amount.sum(axis=0), np.float64)
        weighted = self.value if amount is None else (self.value.reshape(-1, *[1] * (amount.ndim - 1)) * amount)
        if self.draws is None:
            return np.asarray(weighted.sum(axis=0), np.float64)
        units = self.per_unit(weighted)
        flat = drawn_sums(units.reshape(self.units, math.prod(units.shape[1:])), self.draws)
        return flat.reshape(*self.lead, *units.shape[1:])

    def product(self, first: Array, second: Array) -> Array:
        """Sums the products of two columns, of shape (m,), over the data as they are, weighted."""
        return np.asarray((first if self.plain else self.value * first) @ second, np.float64)

    def totals(self, columns: Sequence[Array]) -> Sequence[Array]:
        """Sums several columns, weighted, each of shape (m,); in replicates all of them at once."""
        if self.draws is None:
            return [self.total(column) for column in columns]
        return np.moveaxis(self.total(np.stack(columns, axis=1)), -1, 0)  # type: ignore[return-value]

    def tally(self, index: npt.NDArray[Any], size: int, chosen: Booleans | None = None, power: int = 1) -> Array:
        """Adds up the weight (or its square) that falls on each of `size` places; (m,) indices become (*lead, size)."""
        value = self.value if power == 1 else self.value**power
        unit = self.unit
        if chosen is not None:
            unit = np.flatnonzero(chosen) if unit is None else unit[chosen]
            index, value = index[chosen], value[chosen]
        if self.draws is None:
            return _counts(index, value, size)
        if self.unit is not None and unit is not None and self.units * size <= DENSE_SHARE * len(index):
            dense = np.bincount(unit * size + index, weights=value, minlength=self.units * size)
            (pairs,) = dense.nonzero()
            value, (unit, index) = np.asarray(dense[pairs], np.float64), np.divmod(pairs, size)
        return drawn_tally(index, value, size, unit, self.draws)


def centred(v: Array, w: Weighting) -> tuple[Array, Array, Array]:
    """Returns the mean of the data as they are, how far each is from it, and the weighted sum of the squares of that."""
    whole = w.total()
    if not whole:
        return np.zeros(()), v, np.zeros(())
    mean = w.total(v) / whole
    apart = v - mean
    squares = w.product(apart, apart)
    if mean * mean * whole > OFF_CENTRE * squares:
        # A second centring removes what rounding left of the mean.
        rest = w.total(apart) / whole
        apart -= rest
        mean, squares = mean + rest, w.product(apart, apart)
    return np.asarray(mean), apart, squares


def drawn_sums(columns: Array, draws: Draws) -> Array:
    """Sums the columns (n, k) in every replicate: (B, k)."""
    replicates = draws.shape[1]
    total = np.zeros((columns.shape[1], replicates))
    step = max(16, DRAWN_BLOCK // max(1, replicates))
    space = np.empty((min(step, len(columns)), replicates))
    for start in range(0, len(columns) if columns.shape[1] else 0, step):
        checkpoint()
        part = draws[start : start + step]
        numbers = space[: len(part)]
        np.copyto(numbers, part)
        total += columns[start : start + step].T @ numbers
    return np.ascontiguousarray(total.T)


def drawn_tally(index: npt.NDArray[Any], value: Array, size: int, unit: npt.NDArray[Any] | None, draws: Draws) -> Array:
    """Adds up the weight that falls on each of `size` places in every replicate: (B, size).

    Elements are sorted by place. Where all weigh the same, their draws are counted; otherwise those of a few places at a time
    are a small dense matrix. (`take` copies rows three times as fast as an index does.)

    Args:
        index: the place of each element; shape (m,).
        value: its weight; shape (m,).
        unit: its unit; shape (m,); None if elements are units.
        draws: shape (n, B).
    """
    replicates = draws.shape[1]
    total = np.zeros((size, replicates))
    order = ascending(index)
    index = index[order]
    unit = order if unit is None else unit[order]
    if len(value) and value.min() == value.max():
        step = max(16, COUNTED_BLOCK // max(1, replicates))
        for start in range(0, len(index), step):
            checkpoint()
            part = slice(start, start + step)
            add_counts(total, index[part], draws.take(unit[part], axis=0))
        return np.ascontiguousarray(total.T) * float(value[0])
    value = value[order]
    first = np.append(True, index[1:] != index[:-1]) if len(index) else np.zeros(0, bool)
    dense_rows = PLACES_AT_ONCE * len(index) // max(1, int(first.sum()))
    step = min(max(64, dense_rows), max(16, DRAWN_BLOCK // max(1, replicates)))
    for start in range(0, len(index), step):
        checkpoint()
        part = slice(start, start + step)
        begins = first[part].copy()
        begins[0] = True
        dense = np.zeros((int(begins.sum()), len(begins)))
        dense[np.cumsum(begins) - 1, np.arange(len(begins))] = value[part]
        total[index[part][begins]] += dense @ draws.take(unit[part], axis=0).astype(np.float64)
    return np.ascontiguousarray(total.T)


def add_counts(total: Array, index: npt.NDArray[Any], draws: Draws) -> None:
    """Adds to each place how often its elements are drawn, in every replicate.

    Draws are added eight at a time, as the bytes of a whole number of 64 bits, and few enough of them that none overflows.

    Args:
        total: shape (size, B); added to in place.
        index: the place of each element, ascending; shape (m,).
        draws: of each element; shape (m, B).
    """
    replicates = draws.shape[1]
    if not draws.size:
        return
    begins = np.flatnonzero(np.append(True, index[1:] != index[:-1]))
    lanes = next(lane for lane in ("u8", "u4", "u2", "u1") if replicates % int(lane[1]) == 0)
    packed = np.ascontiguousarray(draws).view(lanes)
    if LONG_RUN * len(begins) <= len(index):
        for place, rows in zip(index[begins], np.split(packed, begins[1:]), strict=True):
            whole = len(rows) // MOST_ADDED * MOST_ADDED
            several = rows[:whole].reshape(-1, MOST_ADDED, rows.shape[1]).sum(axis=1, dtype=lanes)
            total[place] += several.view(np.uint8).sum(axis=0, dtype=np.uint32)
            total[place] += rows[whole:].sum(axis=0, dtype=lanes).view(np.uint8)
        return
    lengths = np.diff(np.append(begins, len(index)))
    pieces = -(-lengths // MOST_ADDED)
    ends = np.cumsum(pieces)
    within = np.arange(int(ends[-1])) - np.repeat(ends - pieces, pieces)
    starts = np.repeat(begins, pieces) + MOST_ADDED * within
    sums = np.add.reduceat(packed, starts, axis=0, dtype=lanes).view(np.uint8)
    if len(begins) < len(starts):
        sums = np.add.reduceat(sums, ends - pieces, axis=0, dtype=np.uint32)
    total[index[begins]] += sums


def _counts(index: npt.NDArray[Any], value: Array, size: int) -> Array:
    # Summed block by block: one running sum over millions of equal weights would lose digits.
    total = np.zeros(size)
    step = max(BLOCK, size)
    for start in range(0, len(index), step):
        block = slice(start, start + step)
        total += np.bincount(index[block], weights=value[block], minlength=size)
    return total
