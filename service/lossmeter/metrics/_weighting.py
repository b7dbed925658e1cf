"""How often each element of a batch counts, and the sums over a batch that follow.

An *element* is what is predicted (a number, a label, a pixel, a query); a *unit* is what was drawn (a sample, an image, a
query) and may hold several elements. Uncertainty comes from units, so replicates draw units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

BLOCK = 8192
DENSE_ELEMENTS = 1 << 22


def quotient(numerator: Any, denominator: Any, empty: float = np.nan) -> Array:
    """The elementwise quotient, `empty` where the denominator is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    result: Array = np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom != 0)
    return result


@dataclass(frozen=True, eq=False)
class Weighting:
    """Weights of the m elements of n units, and how often each of B replicates draws each unit.

    Attributes:
        value: shape (m,), positive; what is masked or weighs nothing has been dropped.
        unit: shape (m,), ascending from 0 to n - 1 without a gap; None if every element is a unit of its own.
        units: the number n.
        draws: shape (B, n); None for the data as they are, which is the point estimate.
    """

    value: Array
    unit: Integers | None
    units: int
    draws: Array | None = None

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes of everything that is summed here: `(B,)` for replicates, otherwise none."""
        return () if self.draws is None else (len(self.draws),)

    def spread(self, per_unit: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """For each element what holds for its unit; (…, n) becomes (…, m)."""
        return per_unit if self.unit is None else per_unit[..., self.unit]

    def per_unit(self, amount: Array) -> Array:
        """Sums over the elements of each unit; (m, …) becomes (n, …)."""
        if self.unit is None or not len(amount):
            return amount
        return np.add.reduceat(amount, np.searchsorted(self.unit, np.arange(self.units)), axis=0)

    def total(self, amount: Array | None = None) -> Array:
        """The weighted sum over all elements; (m, …) becomes (*lead, …)."""
        weighted = self.value if amount is None else (self.value.reshape(-1, *[1] * (amount.ndim - 1)) * amount)
        if self.draws is None:
            return np.asarray(weighted.sum(axis=0), np.float64)
        units = self.per_unit(weighted)
        flat = self.draws @ units.reshape(self.units, math.prod(units.shape[1:]))
        return flat.reshape(*self.lead, *units.shape[1:])

    def tally(self, index: npt.NDArray[Any], size: int, chosen: Booleans | None = None, power: int = 1) -> Array:
        """The weight (or its square) that falls on each of `size` places; (m,) indices become (*lead, size)."""
        value = self.value if power == 1 else self.value**power
        unit = np.arange(self.units) if self.unit is None else self.unit
        if chosen is not None:
            index, value, unit = index[chosen], value[chosen], unit[chosen]
        if self.draws is None:
            return _counts(index, value, size)
        if self.units * size <= DENSE_ELEMENTS:
            dense = np.bincount(unit * size + index, weights=value, minlength=self.units * size)
            return np.asarray(self.draws @ dense.reshape(self.units, size), np.float64)
        return np.stack([_counts(index, row[unit] * value, size) for row in self.draws])


def _counts(index: npt.NDArray[Any], value: Array, size: int) -> Array:
    # Summed block by block: one running sum over millions of equal weights would lose digits.
    total = np.zeros(size)
    step = max(BLOCK, size)
    for start in range(0, len(index), step):
        block = slice(start, start + step)
        total += np.bincount(index[block], weights=value[block], minlength=size)
    return total
