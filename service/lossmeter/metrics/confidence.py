"""Uncertainty of figures: standard errors, intervals and paired tests. `docs/confidence.md` shows how often they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lossmeter.metrics._distributions import (
    beta_quantile,
    binomial_tail,
    normal_quantile,
    poisson_least,
    student_quantile,
    student_tail,
)
from lossmeter.metrics._scales import Bounds, Map, clamped, limits, scale
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array

NOTHING = 1e-9
"""Ends that agree to such a share of the value tell nothing."""
ROUNDING = 1e-12
"""Share of two figures below which their difference is rounding."""
FEW, FEW_TRIALS = 3, 50
"""Up to so many events Wilson's interval is corrected; up to one less of them in so few trials."""
SKEWED = 0.7
"""Share of a mean up to which errors of it are corrected for skewness by their square; beyond, it stays as it is."""
OUTLYING = 4.0
"""Standard deviations, by the middle 68 % of replicates, beyond which one is an outlier."""
LARGEST_EXPONENT = 600.0
LEAST_UNITS = 1.5
"""Of the number of groups, which is estimated from replicates; a single one tells nothing."""


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
    bounds: Bounds = (None, None),
) -> Interval | None:
    """Computes Student's interval of a mean or ratio of sums, or of a rising function of it; None below two units.

    Where the mean has bounds the ends are taken on a scale on which a skewed mean is nearly normal. They are then transformed,
    not the error: those of `rmse` are roots of those of `mse`.

    Args:
        bounds: of the mean itself.
    """
    error, mean, units = float(ratio.standard_error), float(ratio.mean), float(ratio.units)
    if not (math.isfinite(error) and math.isfinite(mean)):
        return None
    least, most = limits(bounds)
    if error == 0 and mean in (least, most) and math.isfinite(most - least):
        # Every unit stands on the bound: as many trials without a failure.
        found = wilson_of_bounded(mean, float(ratio.effective_units), level, (least, most))
        if found is None:
            return None
        low, high = found.low, found.high
    else:
        low, high = _reached(mean, error, student_quantile(level, units - 1), bounds)

    def at(point: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            return value(Quotient(point, np.ones_like(point)))

    ends = at(np.array([low, high])).tolist()
    step = np.array([mean - 1e-4 * error, mean + 1e-4 * error])
    # Divided by the step as it was rounded, so that the slope of the mean itself is exactly 1.
    slope = np.diff(at(step))[0] / np.diff(step)[0] if step[0] < step[1] else 0.0
    method = "student" if error else "wilson"
    return settled(Interval(abs(float(slope)) * error, ends[0], ends[1], level, method), float(at(np.asarray(mean))))


def _reached(mean: float, error: float, t: float, bounds: Bounds) -> tuple[float, float]:
    """Returns the ends that are t errors away from the mean, on a scale that its bounds suggest.

    Where only a lower one exists this is the logarithm, and above more: the fewer values carry a mean of squares, the further
    may the truth lie above it. Let a be t errors as a share of the mean. The upper end of a skewed mean lies 3/8 a² times k
    beyond a, to the second order, where its values' skewness is k times their coefficient of variation (Hall, On the Removal of
    Skewness by Transformation, 1992). The logarithm has a² / 2, as if k were little more than 1. It is 2 for exponential and
    squared normal errors, and above 3 for log-normal ones; few samples do not show it. Another a² makes it 4.
    """
    least, most = limits(bounds)
    if error == 0 or mean < least or (math.isinf(least) and math.isinf(most)):
        return mean - t * error, mean + t * error
    if math.isinf(most):
        apart = t * error / (mean - least) if mean > least else math.inf
        up = min(apart + min(apart, SKEWED) ** 2, LARGEST_EXPONENT)
        return least + (mean - least) * math.exp(-apart), least + (mean - least) * math.exp(up)
    there, back = scale((least, most))
    shares = (mean - least) / (most - least), (most - mean) / (most - least)
    if min(shares) <= 0:
        return max(mean - t * error, least), min(mean + t * error, most)
    slope = sum(share ** (-2 / 3) for share in shares) / (3 * (most - least))
    middle = float(there(np.asarray(mean)))
    low, high = back(np.array([middle - t * slope * error, middle + t * slope * error])).tolist()
    return low, high


def settled(interval: Interval, value: float, size: float | None = None) -> Interval | None:
    """Returns the interval around the value, or None if its ends agree to NOTHING of it: then nothing is known.

    Args:
        size: of what the ends are measured by; the value itself, if left out.
    """
    low, high = min(interval.low, value), max(interval.high, value)
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return None
    if high - low <= NOTHING * (abs(value) if size is None else size):
        return None
    return replace(interval, low=low, high=high)


def wilson(successes: float, trials: float, level: float, effective: float | None = None) -> Interval | None:
    """Computes Wilson's interval of a proportion; None without trials.

    Args:
        successes, trials: weights.
        level: 0.95, say.
        effective: number of trials of equal weight that would say as much, (Σw)² / Σw² (Kish); `trials` if they weigh 1.

    Source:
        Wilson, Probable Inference, 1927. https://doi.org/10.1080/01621459.1927.10502953; with the correction for one to three
        successes or failures of Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, 2001, section 4.1.1.
    """
    n = trials if effective is None else effective
    if not trials > 0 or not n > 0:
        return None
    p = min(max(successes / trials, 0.0), 1.0)
    z = normal_quantile((1 + level) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = max(min(centre - reach, _least_rate(n * p, n, level)), 0.0)
    high = min(max(centre + reach, 1 - _least_rate(n * (1 - p), n, level)), 1.0)
    return Interval(math.sqrt(p * (1 - p) / n), low if p > 0 else 0.0, high if p < 1 else 1.0, level, "wilson")


@lru_cache(maxsize=1024)
def clopper_pearson(successes: float, trials: float, level: float) -> tuple[float, float]:
    """Computes the ends of the exact interval of a proportion; 0 and 1 without trials.

    Args:
        successes, trials: numbers, which may be fractions where they are effective ones.
        level: 0.95, say.

    Source:
        Clopper and Pearson, The Use of Confidence or Fiducial Limits, 1934. https://doi.org/10.1093/biomet/26.4.404
    """
    outside, failures = (1 - level) / 2, trials - successes
    low = beta_quantile(outside, successes, failures + 1) if successes > 0 else 0.0
    high = 1 - beta_quantile(outside, failures, successes + 1) if failures > 0 else 1.0
    return low, high


def _least_rate(events: float, trials: float, level: float) -> float:
    """Returns the least rate of events that few of them leave possible: Wilson's end would lie too near to them."""
    few = FEW if trials > FEW_TRIALS else FEW - 1
    if not 0 < events <= few:
        return 1.0
    whole = math.floor(events)
    below, above = (poisson_least(number, 1 - level) for number in (whole, whole + 1))
    return (below + (events - whole) * (above - below)) / trials


def wilson_of_bounded(value: float, units: float, level: float, bounds: Bounds) -> Interval | None:
    """Computes Wilson's interval of a mean that stands on its bound: so many trials without a failure."""
    least, most = limits(bounds)
    found = wilson((value - least) / (most - least), 1.0, level, units)
    if found is None:
        return None
    low, high = (least + (most - least) * end for end in (found.low, found.high))
    return settled(Interval(0.0, low, high, level, "wilson"), value)


def bootstrap(
    value: float,
    replicates: Array,
    level: float,
    bounds: Bounds = (None, None),
    *,
    units: float = math.inf,
    prior: bool = False,
    size: float | None = None,
) -> Interval | None:
    """Takes t times the spread of the replicates to either side; None if half of them are undefined, or their spread is.

    Replicates give the spread alone: the value itself, of the data as they are, stays the estimate. Only if they were given a
    prior is it their mean too from which the ends are taken, which then are those of a posterior distribution. Where the metric
    has bounds all this is done on a scale of cube roots, which keeps the ends possible and lets the interval lean away from a
    bound that is near.

    Args:
        units: how many units were drawn from: replicates, however many, know no more of the spread than these do. With a prior
            of a decision that is known already, and so infinite unless units are groups.
        prior: whether the replicates of counts were given half counts.
        size: of what the ends are measured by, to tell whether anything is known; the value itself, if left out.

    Source:
        Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012; Efron and Tibshirani, An Introduction to the
        Bootstrap, 1993, section 12.6 (scales).
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2 or 2 * len(known) < len(replicates) or not math.isfinite(value) or units < LEAST_UNITS:
        return None
    there, back = scale(bounds)
    if bounds.count(None) == 1:
        known = _bounded(known, there, back)
    error = spread(known, units)
    if not math.isfinite(error):
        return None
    t = student_quantile(level, freedom(len(known), units))
    drawn = there(clamped(known, bounds))
    centre = float(there(clamped(np.asarray(value), bounds)))
    # A posterior's mean lies nearer to the middle than the value; each end is measured from whichever is nearer to it.
    middle = float(drawn.mean()) if prior else centre
    reach = t * spread(drawn, units)
    low, high = back(np.array([min(middle, centre) - reach, max(middle, centre) + reach])).tolist()
    return settled(Interval(error, low, high, level, "bootstrap"), value, size)


def _bounded(replicates: Array, there: Map, back: Map) -> Array:
    """Moves replicates that lie far beyond the others nearer to them.

    A figure without a bound may be anything in a replicate of few samples that are nearly alike: R² of nearly constant labels.
    One of these would make the whole spread. Of normal ones hardly any are so far out.
    """
    left, middle, right = np.quantile(there(replicates), [0.159, 0.5, 0.841])
    reach = OUTLYING * (right - left) / 2
    return np.clip(replicates, *back(np.array([middle - reach, middle + reach]))) if reach > 0 else replicates


def spread(replicates: Array, units: float) -> float:
    """Standard deviation of the replicates, corrected for what so few units vary less than where they came from."""
    return float(np.std(replicates, ddof=1)) * math.sqrt(1 / (1 - 1 / units))


def freedom(replicates: int, units: float) -> float:
    """Degrees of freedom of a spread that so many replicates of so many units have: their variances' errors add up."""
    return 1 / (1 / (replicates - 1) + 1 / (units - 1))


def paired_bootstrap(
    first: float,
    second: float,
    replicates: tuple[Array, Array],
    level: float,
    *,
    units: float = math.inf,
    believed: tuple[Array, Array] | None = None,
) -> Difference:
    """Subtracts two figures whose replicates drew the same samples; number b of one pairs with b of the other.

    Args:
        units: how many units both have. Of n pairs no sign tells more than 2^(1-n): that is the least probability.
        believed: the same replicates with a prior, from which the interval is then taken.
    """
    size = max(abs(first), abs(second))
    apart = replicates[1] - replicates[0]
    value = 0.0 if abs(second - first) <= ROUNDING * size else second - first
    known = apart[np.isfinite(apart)]
    p_value = math.nan
    if math.isfinite(value) and len(known) >= 2 and 2 * len(known) >= len(apart) and units >= LEAST_UNITS:
        error = spread(known, units)
        error = error if error > ROUNDING * size else 0.0
        p_value = max(_tail(value, error, freedom(len(known), units)), 2.0 ** (1 - units))
    if believed is None:
        interval = bootstrap(value, apart, level, units=units, size=size)
    else:
        interval = bootstrap(value, believed[1] - believed[0], level, prior=True, size=size)
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
