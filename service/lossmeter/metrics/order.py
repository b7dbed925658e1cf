"""Stable orders by number, at the speed of sorting whole numbers: a number and its place are packed into 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

FEW = 1 << 10
"""Up to so many a plain sort is as fast."""
SIGN = np.uint64(1 << 63)


def ascending(values: npt.NDArray[Any]) -> Places:
    """Returns what `np.argsort(values, kind="stable")` does; NaN come last.

    The upper bits of each number are sorted together with its place, as whole numbers, which takes a tenth of the time. Where
    numbers agree in all bits that there is room for and yet differ, those few are sorted again.

    Args:
        values: float64, or whole numbers from 0; shape (m,).
    """
    if len(values) <= FEW:
        return np.argsort(values, kind="stable")
    ranks = ordinals(values)
    bits = np.uint64((len(values) - 1).bit_length())
    whole = ranks.max() >> (np.uint64(64) - bits) == 0
    # What is small fits in beside its place, and otherwise its upper bits do.
    packed = ranks << bits if whole else ranks >> bits << bits
    packed |= np.arange(len(values), dtype=np.uint64)
    packed.sort()
    order = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    return order if whole else _settled(order, packed >> bits, ranks)


def descending(values: npt.NDArray[np.float64]) -> Places:
    """Returns the order from the largest float64 down, equal ones in the order in which they come."""
    return ascending(-values)


def ordinals(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Returns whole numbers that are ordered and equal as the values are."""
    if values.dtype.kind != "f":
        return values.astype(np.uint64)
    # Zero has two signs, and NaN many bits; adding 0 leaves one of each zero.
    bits = (values.astype(np.float64, copy=False) + 0.0).view(np.uint64)
    bits[np.isnan(values)] = np.uint64(0x7FF8 << 48)
    # A number below zero is the smaller the larger its other bits are.
    flipped = (bits.view(np.int64) >> 63).view(np.uint64)
    flipped |= SIGN
    bits ^= flipped
    return bits


def _settled(order: Places, upper: npt.NDArray[np.uint64], ranks: npt.NDArray[np.uint64]) -> Places:
    """Sorts again what agrees in its upper bits and differs below."""
    (near,) = np.nonzero(upper[1:] == upper[:-1])
    if not (ranks[order[near + 1]] < ranks[order[near]]).any():
        return order
    again = np.zeros(len(order), bool)
    again[near] = again[near + 1] = True
    (places,) = np.nonzero(again)
    order[places] = order[places][np.lexsort((ranks[order[places]], upper[places]))]
    return order
