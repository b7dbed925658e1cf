"""Scales on which the spread of a figure is nearly normal, near a bound too: cube roots of the distances from its bounds.

Cube roots make sums of few squares nearly normal (Wilson and Hilferty, 1931), and counts of few failures too. They are finite
at the bound itself, so that nothing changes suddenly there. With two bounds the scale is the difference of both roots, which is
a folded power (Tukey, Exploratory Data Analysis, 1977, chapter 15).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lossmeter.metrics.weighting import Array

Bounds = tuple[float | None, float | None]
Map = Callable[[Array], Array]

NEWTON_STEPS = 8
"""Two more than any number between -1 and 1 needs."""
NEAR = 1e-12
"""Share of the range within which a replicate stands on the bound."""


def limits(bounds: Bounds) -> tuple[float, float]:
    """Returns the bounds as numbers, infinite where there is none."""
    return (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])


def clamped(value: Array, bounds: Bounds) -> Array:
    """Moves values that rounding took beyond a bound back onto it, and onto a best value those within rounding of it."""
    least, most = limits(bounds)
    value = np.clip(value, least, most)
    if math.isinf(most):
        return np.asarray(value)
    size = most - least if math.isfinite(least) else max(abs(most), 1.0)
    for bound in (most, least) if math.isfinite(least) else (most,):
        value = np.where(np.abs(value - bound) <= NEAR * size, bound, value)
    return np.asarray(value)


def scale(bounds: Bounds) -> tuple[Map, Map]:
    """Returns the map from the values to the scale, and the one back; both rise."""
    least, most = limits(bounds)
    if math.isinf(least) and math.isinf(most):
        return lambda v: v, lambda u: u
    if math.isinf(most):
        return lambda v: np.cbrt(v - least), lambda u: least + np.maximum(u, 0.0) ** 3
    if math.isinf(least):
        return lambda v: -np.cbrt(most - v), lambda u: most - np.maximum(-u, 0.0) ** 3
    return (
        lambda v: np.cbrt((v - least) / (most - least)) - np.cbrt((most - v) / (most - least)),
        lambda u: least + (most - least) * _unfold(u),
    )


def _unfold(u: Array) -> Array:
    """Solves p^(1/3) - (1 - p)^(1/3) = u for p in [0, 1].

    With a and b the two roots, a - b = u and a³ + b³ = 1: for s = a + b, s³ + 3 s u² = 4, which rises in s and is convex:
    Newton's steps from the greatest s go down to the root and never beyond it.
    """
    u = np.clip(u, -1.0, 1.0)
    square = u * u
    s = np.full_like(u, 2.0)
    for _ in range(NEWTON_STEPS):
        s = s - (s * (s * s + 3 * square) - 4) / (3 * (s * s + square))
    # From the smaller root, so that a tail keeps its digits.
    a, b = (s + u) / 2, (s - u) / 2
    return np.where(u <= 0, np.maximum(a, 0.0) ** 3, 1 - np.maximum(b, 0.0) ** 3)
