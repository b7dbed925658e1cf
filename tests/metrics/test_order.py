"""Packed sorts give the order of a plain stable sort, and counted draws the sums of plain ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lossmeter.metrics.order import FEW, ascending, descending
from lossmeter.metrics.weighting import drawn_tally

RNG = np.random.default_rng(7)
MANY = 5 * FEW


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=MANY),
        RNG.normal(size=MANY).round(2),
        RNG.normal(size=MANY).astype(np.float32).astype(np.float64),
        1 + 1e-14 * RNG.random(MANY),  # agree in their upper bits
        np.tile([0.0, -0.0, np.inf, -np.inf, np.nan], FEW),
        RNG.integers(0, 9, MANY),
        RNG.integers(0, 2**64, MANY, dtype=np.uint64),
        RNG.normal(size=9),
    ],
    ids=["normal", "ties", "float32", "close", "special", "small", "hashes", "few"],
)
def test_the_order_is_that_of_a_stable_sort(values: Any) -> None:
    np.testing.assert_array_equal(ascending(values), np.argsort(values, kind="stable"))
    if values.dtype.kind == "f":
        np.testing.assert_array_equal(descending(values), np.argsort(-values, kind="stable"))


@pytest.mark.parametrize("replicates", [7, 12, 16])
@pytest.mark.parametrize("places", [1, 3, 200])
def test_draws_of_equal_weights_are_counted_without_overflow(replicates: int, places: int) -> None:
    drawn = RNG.integers(0, 9, (900, replicates)).astype(np.uint8)
    drawn[:100] = 8
    index = RNG.integers(0, places, 900)
    expected = np.zeros((places + 1, replicates))
    np.add.at(expected, index, 0.25 * drawn)
    np.testing.assert_array_equal(drawn_tally(index, np.full(900, 0.25), places + 1, None, drawn), expected.T)
