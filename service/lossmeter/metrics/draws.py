"""Draws bootstrap replicates: a hash of the unit's id decides how often each draws it, the same everywhere and in any order.

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

from lossmeter.stopping import checkpoint

Hashes = npt.NDArray[np.uint64]
Draws = npt.NDArray[np.uint8]

FNV_OFFSET = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
THRESHOLDS = tuple(
    round(65536 * sum(math.exp(-1) / math.factorial(j) for j in range(k + 1)))
    for k in range(9)
    if round(65536 * sum(math.exp(-1) / math.factorial(j) for j in range(k + 1))) < 65536
)
FEW_TEXTS = 8
"""Texts up to which each is hashed by itself."""
TEXT_BLOCK = 1 << 16
SLAB_DRAWS = 1 << 25
"""Most draws that are held at a time: 32 MiB."""
BLOCK_NUMBERS = 1 << 15
"""Numbers of 64 bits that are mixed at a time: what fits the cache of the core."""


def hashes(ids: Sequence[str] | Sequence[int] | npt.NDArray[np.int64]) -> Hashes:
    """Hashes each id with FNV-1a, 64 bits."""
    texts = list(map(str, ids))
    joined = "".join(texts)
    if not joined.isascii():
        return _fnv([text.encode() for text in texts], joined.encode())
    return _fnv(texts, joined.encode())


def _fnv(texts: Sequence[str] | Sequence[bytes], joined: bytes) -> Hashes:
    """Hashes texts whose lengths are those of their bytes, and which stand one after the other in `joined`."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    # The longest first: those that have a byte number k are then the first so many.
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    lengths = lengths[order]
    letters = np.frombuffer(joined, np.uint8)
    state = np.full(len(texts), FNV_OFFSET, dtype=np.uint64)
    left = len(texts)
    shortest_last = -lengths
    for place in range(int(lengths[0]) if left else 0):
        left = int(np.searchsorted(shortest_last[:left], -place))
        if left <= FEW_TEXTS:
            for number in range(left):
                state[number] = _continued(
                    int(state[number]), letters[starts[number] + place :][: lengths[number] - place]
                )
            break
        state[:left] ^= letters[starts[:left] + place]
        state[:left] *= FNV_PRIME
    unsorted = np.empty_like(state)
    unsorted[order] = state
    return unsorted


def _continued(state: int, letters: npt.NDArray[np.uint8]) -> int:
    """Hashes the rest of one text: where few are that long, this takes a tenth of the time of arrays of so few numbers."""
    prime, mask = int(FNV_PRIME), (1 << 64) - 1
    for start in range(0, len(letters), TEXT_BLOCK):
        checkpoint()
        for letter in letters[start : start + TEXT_BLOCK].tolist():
            state = ((state ^ letter) * prime) & mask
    return state


def positions(batch_id: str, count: int) -> Hashes:
    """Hashes the samples of a batch without ids: of `batch id/0`, `batch id/1`, …

    A number's hash is that of its digits but the last, continued by the last: no text is made of any.
    """
    digits = np.arange(ord("0"), ord("9") + 1, dtype=np.uint64)
    longer = (hashes([f"{batch_id}/"])[:, None] ^ digits[: min(count, 10)]) * FNV_PRIME
    found = [longer.reshape(-1)]
    made = len(found[0])
    while made < count:
        prefixes = found[-1][1:] if len(found) == 1 else found[-1]  # no number begins with 0
        prefixes = prefixes[: -(-(count - made) // 10)]
        found.append(((prefixes[:, None] ^ digits) * FNV_PRIME).reshape(-1)[: count - made])
        made += len(found[-1])
    return np.concatenate(found)


def draws(units: Hashes, first: int, last: int) -> Draws:
    """Counts how often the replicates from `first` up to `last` draw each unit; shape (n, last - first)."""
    start, stop = first // 4, (last + 3) // 4
    steps = np.arange(start + 1, stop + 1, dtype=np.uint64) * GOLDEN_GAMMA
    counts = np.empty((len(units), 4 * (stop - start)), np.uint8)
    rows = max(1, BLOCK_NUMBERS // max(1, stop - start))
    space = np.empty((2, rows, stop - start), np.uint64)
    reached = np.empty((rows, counts.shape[1]), np.bool_)
    for begin in range(0, len(units), rows):
        drawn = counts[begin : begin + rows]
        numbers, spare = space[:, : len(drawn)]
        np.add(units[begin : begin + rows, None], steps, out=numbers)
        _mix(numbers, spare)
        # On any machine the lowest 16 bits come first.
        quarters = numbers.astype("<u8", copy=False).view("<u2")
        above = reached[: len(drawn)]
        np.greater_equal(quarters, THRESHOLDS[0], out=drawn.view(np.bool_))
        for threshold in THRESHOLDS[1:]:
            np.greater_equal(quarters, threshold, out=above)
            np.add(drawn, above.view(np.uint8), out=drawn)
    return counts[:, first - 4 * start : last - 4 * start]


def _mix(z: Hashes, spare: Hashes) -> None:
    """Mixes each number by SplitMix64, in place."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, None)):
        np.right_shift(z, shift, out=spare)
        np.bitwise_xor(z, spare, out=z)
        if factor is not None:
            np.multiply(z, np.uint64(factor), out=z)
