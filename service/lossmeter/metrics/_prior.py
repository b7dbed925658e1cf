"""Half counts that replicates of counts are given, so that what never failed in the data may still fail.

A replicate of counts is nearly a draw from their posterior distribution without a prior: an empty cell stays empty. With a
Gamma(1/2) variable added to a right and to a wrong cell each, it is one under Jeffreys' prior. Of more than two cells, two
are drawn at random in every replicate: so the prior weighs as much as two decisions of two classes, however many there are.

The variables are quantiles in an order that a hash decides, and so the same everywhere.

Sources: Jeffreys, An Invariant Form for the Prior Probability in Estimation Problems, 1946; Rubin, The Bayesian Bootstrap,
1981; Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, 2001.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from lossmeter.metrics.draws import GOLDEN_GAMMA, hashes
from lossmeter.metrics.weighting import Array, Integers, quotient


@lru_cache(maxsize=64)
def half_counts(count: int, name: str) -> Array:
    """Returns Gamma(1/2) variables, one for each of `count` replicates: half the squares of normal ones."""
    normal = np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])
    squares = np.square(normal)
    drawn: Array = (squares / 2)[np.argsort(_numbers(count, name), kind="stable")]
    drawn.setflags(write=False)
    return drawn


def choices(count: int, name: str, among: int) -> Integers:
    """Draws one of so many in each replicate."""
    return (_numbers(count, name) % np.uint64(max(among, 1))).astype(np.int64)


def _numbers(count: int, name: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    z = hashes([name]) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_GAMMA
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(z ^ (z >> np.uint64(31)))


def unit_weight(whole: Array, replicates: Array) -> Array:
    """Σ W² / Σ W over the units: what a unit weighs, on average by weight.

    In a replicate each unit counts as often as a Poisson variable says, whose variance is 1: so the weight of all units has the
    variance Σ W². This knows of groups too, wherever their samples arrived.
    """
    squares = ((replicates - whole) ** 2).mean(axis=0)
    return quotient(squares, whole, 0.0)
