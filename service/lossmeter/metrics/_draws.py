"""Which bootstrap replicate draws which unit how often: a hash of the unit's id, so the same everywhere and in any order.

1. The id as UTF-8 text (a whole number as its decimal digits; without ids, `batch id/position`) is hashed with FNV-1a, 64 bits.
2. That hash seeds SplitMix64. Its output number j (from 0) gives four 16-bit numbers, the lowest first, which belong to the
   replicates 4j to 4j + 3.
3. A unit is drawn k times, k being how many of THRESHOLDS the 16-bit number reaches: Poisson(1), to 16 bits.

Sources: Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012 (the Poisson bootstrap);
http://www.isthe.com/chongo/tech/comp/fnv/ (FNV-1a); Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
2014 (SplitMix64).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lossmeter.metrics._weighting import Array

Hashes = npt.NDArray[np.uint64]

FNV_OFFSET = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
THRESHOLDS = tuple(
    round(65536 * sum(math.exp(-1) / math.factorial(j) for j in range(k + 1)))
    for k in range(9)
    if round(65536 * sum(math.exp(-1) / math.factorial(j) for j in range(k + 1))) < 65536
)
_DRAWN = np.searchsorted(np.array(THRESHOLDS), np.arange(65536), side="right").astype(np.float64)


def hashes(ids: Sequence[str] | Sequence[int] | npt.NDArray[np.int64]) -> Hashes:
    """FNV-1a, 64 bits, of each id."""
    texts = [str(item).encode() for item in ids]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    state = np.full(len(texts), FNV_OFFSET, dtype=np.uint64)
    if not len(texts):
        return state
    width = int(lengths.max())
    table = np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), np.uint8).reshape(len(texts), width)
    for column in range(width):
        state = np.where(lengths > column, (state ^ table[:, column].astype(np.uint64)) * FNV_PRIME, state)
    return state


def positions(batch_id: str, count: int) -> Hashes:
    """The hashes of the samples of a batch without ids: of `batch id/0`, `batch id/1`, …"""
    return hashes([f"{batch_id}/{position}" for position in range(count)])


def draws(units: Hashes, first: int, last: int) -> Array:
    """How often the replicates from `first` up to `last` draw each unit; shape (last - first, n)."""
    start, stop = first // 4, (last + 3) // 4
    numbers = _mixed(units[None, :] + np.arange(start + 1, stop + 1, dtype=np.uint64)[:, None] * GOLDEN_GAMMA)
    drawn = np.empty((stop - start, 4, len(units)))
    for quarter in range(4):
        drawn[:, quarter] = _DRAWN[(numbers >> np.uint64(16 * quarter)).astype(np.uint16)]
    return drawn.reshape(4 * (stop - start), len(units))[first - 4 * start : last - 4 * start]


def _mixed(z: Hashes) -> Hashes:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
