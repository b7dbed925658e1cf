"""Normal, Student and binomial distributions, as far as intervals and tests need them."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300
MOST = 1e12
"""A quantile above this is taken for infinite."""
HALVINGS = 60


def normal_quantile(probability: float) -> float:
    """The number below which a standard normal variable stays with that probability."""
    return NormalDist().inv_cdf(probability)


def student_tail(t: float, freedom: float) -> float:
    """Probability that a Student variable is further from 0 than |t|: I_x(ν/2, 1/2) with x = ν / (ν + t²)."""
    if math.isinf(freedom) or freedom > 1e8:
        return math.erfc(abs(t) / math.sqrt(2))
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t))


@lru_cache(maxsize=4096)
def student_quantile(level: float, freedom: float) -> float:
    """The t with probability `level` between -t and t.

    The tail falls ever more slowly, and a normal variable has less of it: Newton's steps from the normal quantile go up to the
    root and never beyond it.
    """
    t = normal_quantile((1 + level) / 2)
    if math.isinf(freedom):
        return t
    front = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    while t <= MOST:
        density = math.exp(front - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (student_tail(t, freedom) - (1 - level)) / (2 * density) if density > 0 else math.inf
        if step <= 1e-15 * t:
            return t
        t += step
    return math.inf


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Regularised I_x(a, b), with rest = 1 - x given apart so that neither loses digits.

    Continued fraction 8.17.22 of the NIST Digital Library of Mathematical Functions, evaluated after Lentz.
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, rest, x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)) / a
    c, d = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _kept(1 + numerator * d)
            c = _kept(1 + numerator / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return front * fraction


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The number below which a Beta(a, b) variable stays with that probability."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if incomplete_beta(a, b, middle, 1 - middle) < probability else (low, middle)
    return (low + high) / 2


def binomial_tail(least: float, trials: float) -> float:
    """Probability of at most `least` heads in `trials` throws of a fair coin; the trials may be fractional weights."""
    return 1.0 if least >= trials else incomplete_beta(trials - least, least + 1, 0.5, 0.5)


@lru_cache(maxsize=256)
def poisson_least(events: int, probability: float) -> float:
    """The mean of a Poisson variable that is at least so many with that probability; 0 for none."""
    low, high = 0.0, events + 10 * math.sqrt(events) - math.log1p(-probability)
    for _ in range(80):
        middle = (low + high) / 2
        fewer = sum(math.exp(-middle) * middle**k / math.factorial(k) for k in range(events))
        low, high = (middle, high) if 1 - fewer < probability else (low, middle)
    return low if events else 0.0


def _kept(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
