"""Intervals of areas under curves, from how many positives and negatives there are: they hold at an area of 1 too."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lossmeter.metrics._distributions import normal_quantile
from lossmeter.metrics.confidence import Interval, bootstrap, settled
from lossmeter.metrics.weighting import Array, Booleans

Ends = Callable[[Array, Array, Array, float], tuple[Array, Array]]
"""From areas, positives, negatives and the level of confidence: the lower and the upper ends."""
HALVINGS = 60


def newcombe(area: Array, positives: Array, negatives: Array, level: float) -> tuple[Array, Array]:
    """Computes Newcombe's score interval of areas under ROC curves: all θ from which the area is no more than z errors away.

    Source:
        Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, 2006, method 5.
        https://doi.org/10.1002/sim.2324
    """
    z = normal_quantile((1 + level) / 2)
    n = (positives + negatives) / 2

    def outside(theta: Array) -> Booleans:
        inner = 1 + (n - 1) * (1 - theta) / (2 - theta) + (n - 1) * theta / (1 + theta)
        return np.asarray((area - theta) ** 2 > z * z * theta * (1 - theta) * inner / (positives * negatives))

    far, near = np.stack([np.zeros_like(area), np.ones_like(area)]), np.stack([area, area])
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        out = outside(middle)
        near, far = np.where(out, near, middle), np.where(out, middle, far)
    low, high = (near + far) / 2
    return low, high


def of_positives(area: Array, positives: Array, negatives: Array, level: float) -> tuple[Array, Array]:
    """Computes the score interval of areas under precision-recall curves, as if each positive were a trial.

    Source:
        Boyd, Eng and Page, Area under the Precision-Recall Curve, 2013 (the binomial interval), with Wilson's ends in place of
        those that shrink to a point at 1. https://doi.org/10.1007/978-3-642-40994-3_29
    """
    z = normal_quantile((1 + level) / 2)

    def end(trials: Array, side: int) -> Array:
        scaled = z * z / trials
        reach = np.sqrt(area * (1 - area) * scaled + scaled * scaled / 4)
        return np.asarray((area + scaled / 2 + side * reach) / (1 + scaled))

    # Of few positives the area is too high on average: below, they count as half a one less.
    low, high = end(np.maximum(positives - 0.5, 0.5), -1), end(positives, 1)
    return np.where(area > 0, np.maximum(low, 0.0), 0.0), np.where(area < 1, np.minimum(high, 1.0), 1.0)


def interval(
    ends: Ends,
    value: float,
    areas: Array,
    shares: Array,
    support: tuple[Array, Array],
    replicates: Array | None,
    level: float,
) -> Interval | None:
    """Averages the intervals of classes, and takes the wider of that and of the bootstrap's, side by side.

    The distances of the ends add up as errors do (Newcombe's square-and-add); where classes go together, the bootstrap sees it.

    Args:
        value: the average of the areas.
        areas, shares: of the classes, and what each is of the average.
        support: positives and negatives of each class, in units of equal weight.
        replicates: of the value.
        level: of the interval.
    """
    counted = (shares > 0) & (np.minimum(*support) > 0)
    if not math.isfinite(value) or not counted.any():
        return None
    share, area = shares[counted], np.clip(areas[counted], 0.0, 1.0)
    low, high = ends(area, support[0][counted], support[1][counted], level)
    reach = [math.sqrt(float((share**2 * (area - end) ** 2).sum())) for end in (low, high)]
    error = (reach[0] + reach[1]) / (2 * normal_quantile((1 + level) / 2))
    least, most = max(value - reach[0], 0.0), min(value + reach[1], 1.0)
    method = "newcombe" if ends is newcombe else "wilson"
    if replicates is not None:
        drawn = bootstrap(value, replicates, level, (0.0, 1.0))
        if drawn is not None:
            least, most, error = min(least, drawn.low), max(most, drawn.high), drawn.standard_error
    return settled(Interval(error, least, most, level, method), value)
