"""Uncertainty of figures: standard errors, intervals and paired tests. `docs/confidence.md` shows how often they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossmeter.metrics._distributions import binomial_tail, normal_quantile, student_quantile, student_tail
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array


@dataclass(frozen=True)
class Interval:
    """An estimate's uncertainty.

    Attributes:
        standard_error: in the unit of the estimate.
        low, high: ends of the interval, which holds the true value with the probability `level`.
        level: 0.95, say.
        method: `student`, `wilson` or `bootstrap`.
    """

    standard_error: float
    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Difference:
    """Second minus first, measured on the same samples.

    Attributes:
        value: the difference.
        interval: its interval; None if there are too few samples.
        p_value: how probable so large a difference is, either way, if there is none in truth; NaN if unknown.
    """

    value: float
    interval: Interval | None
    p_value: float


def student(
    ratio: Ratio,
    level: float,
    value: Callable[[Quotient], Array] = lambda q: q.mean,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Interval | None:
    """Computes Student's interval of a mean or ratio of sums, or of a rising function of it; None below two units.

    The ends are transformed, not the error, and cut off at the bounds: those of `rmse` are roots of those of `mse`.
    """
    error = float(ratio.standard_error)
    if not math.isfinite(error):
        return None
    reach = student_quantile(level, float(ratio.units) - 1) * error
    mean = float(ratio.mean)

    def at(point: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            return value(Quotient(point, np.ones_like(point)))

    least, most = _limits(bounds)
    low, high = at(np.array([mean - reach, mean + reach])).tolist()
    # A mean of squares is not negative: where the lower end would be, its root does not exist.
    low, high = least if math.isnan(low) else max(low, least), min(high, most)
    step = np.array([mean - 1e-4 * error, mean + 1e-4 * error])
    # Divided by the step as it was rounded, so that the slope of the mean itself is exactly 1.
    slope = np.diff(at(step))[0] / np.diff(step)[0] if step[0] < step[1] else 0.0
    return Interval(abs(float(slope)) * error, low, high, level, "student")


def wilson(successes: float, trials: float, level: float, effective: float | None = None) -> Interval | None:
    """Computes Wilson's interval of a proportion; None without trials.

    Args:
        successes, trials: weights.
        level: 0.95, say.
        effective: number of trials of equal weight that would say as much, (Σw)² / Σw² (Kish); `trials` if they weigh 1.

    Source:
        Wilson, Probable Inference, 1927. https://doi.org/10.1080/01621459.1927.10502953
    """
    n = trials if effective is None else effective
    if not trials > 0 or not n > 0:
        return None
    p = min(max(successes / trials, 0.0), 1.0)
    z = normal_quantile((1 + level) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = max(centre - reach, 0.0), min(centre + reach, 1.0)
    return Interval(math.sqrt(p * (1 - p) / n), low if p > 0 else 0.0, high if p < 1 else 1.0, level, "wilson")


def bootstrap(
    value: float, replicates: Array, level: float, bounds: tuple[float | None, float | None] = (None, None)
) -> Interval | None:
    """Takes the value plus and minus t times the spread of the replicates; None if half of them are undefined.

    Replicates give the spread alone: the value itself, of the data as they are, stays the estimate. Where the metric has
    bounds the spread is taken on a scale without any (logit, Fisher's z, logarithm), which keeps the ends possible and lets
    the interval lean away from a bound that is near; where a replicate or the value stands on the bound itself, on the plain
    scale, cut off at the bounds.

    Source:
        Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012; Efron and Tibshirani, An Introduction to the
        Bootstrap, 1993, section 12.6 (scales).
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2 or 2 * len(known) < len(replicates) or not math.isfinite(value):
        return None
    error = float(np.std(known, ddof=1))
    t = student_quantile(level, len(known) - 1)
    least, most = _limits(bounds)
    open_scale = _scale(least, most)
    inside = least < min(value, float(known.min())) and max(value, float(known.max())) < most
    if open_scale is None or not inside:
        return Interval(error, max(value - t * error, least), min(value + t * error, most), level, "bootstrap")
    there, back = open_scale
    middle, reach = there(np.asarray(value)), t * np.std(there(known), ddof=1)
    ends = sorted(float(back(middle + side * reach)) for side in (-1, 1))
    return Interval(error, ends[0], ends[1], level, "bootstrap")


def _limits(bounds: tuple[float | None, float | None]) -> tuple[float, float]:
    return (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])


def _scale(least: float, most: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]] | None:
    """Maps what lies between the bounds to all real numbers, and back."""
    if math.isinf(least) and math.isinf(most):
        return None
    if math.isinf(most):
        return lambda v: np.log(v - least), lambda u: least + np.exp(u)
    if math.isinf(least):
        return lambda v: np.log(most - v), lambda u: most - np.exp(u)
    return (
        lambda v: np.log((v - least) / (most - v)),
        lambda u: least + (most - least) / (1 + np.exp(-u)),
    )


def paired_bootstrap(first: float, second: float, replicates: tuple[Array, Array], level: float) -> Difference:
    """Subtracts two figures whose replicates drew the same samples; number b of one pairs with b of the other."""
    apart = replicates[1] - replicates[0]
    interval = bootstrap(second - first, apart, level)
    p_value = math.nan
    if interval is not None:
        p_value = _tail(second - first, interval.standard_error, np.isfinite(apart).sum() - 1)
    return Difference(second - first, interval, p_value)


def _tail(value: float, error: float, freedom: float) -> float:
    if not math.isfinite(error):
        return math.nan
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return student_tail(value / error, float(freedom))


def mcnemar(only_first: float, only_second: float) -> float:
    """Computes McNemar's exact mid-p value for the accuracies of two classifiers on the same samples.

    Args:
        only_first, only_second: how many samples only the one, only the other has right.

    Source:
        Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data, 2013.
        https://doi.org/10.1186/1471-2288-13-91
    """
    least, trials = min(only_first, only_second), only_first + only_second
    if trials == 0:
        return 1.0
    # Twice the tail, less the probability of exactly what was seen
    seen = binomial_tail(least, trials) - (binomial_tail(least - 1, trials) if least >= 1 else 0.0)
    return min(1.0, 2 * binomial_tail(least, trials) - seen)


def discordant(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> tuple[int, int]:
    """Counts the samples that only the first, and only the second, has right: what `mcnemar` takes."""
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    return int((first & ~second).sum()), int((second & ~first).sum())
