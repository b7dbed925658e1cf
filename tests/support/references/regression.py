"""References of the losses for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
from scipy import special, stats

from tests.support.references._exact import Array, exactly


def mse(predictions: Array, labels: Array) -> Array:
    return np.square(predictions - labels)


def mae(predictions: Array, labels: Array) -> Array:
    return np.abs(predictions - labels)


def smooth_l1(predictions: Array, labels: Array, beta: float = 1.0) -> Array:
    difference = predictions - labels
    return special.huber(beta, difference) / beta if beta else np.abs(difference)


def huber(predictions: Array, labels: Array, delta: float = 1.0) -> Array:
    return special.huber(delta, predictions - labels)


def log_cosh(predictions: Array, labels: Array) -> Array:
    return exactly(lambda x, y: mpmath.log(mpmath.cosh(x - y)), predictions, labels)


def charbonnier(predictions: Array, labels: Array, epsilon: float = 1e-3) -> Array:
    return exactly(lambda x, y: mpmath.sqrt((x - y) ** 2 + mpmath.mpf(epsilon) ** 2), predictions, labels)


def barron(predictions: Array, labels: Array, alpha: float = 1.0, scale: float = 1.0) -> Array:
    def value(x: Any, y: Any) -> Any:
        square = ((x - y) / scale) ** 2
        if alpha == 2:
            return square / 2
        if alpha == 0:
            return mpmath.log(square / 2 + 1)
        width = abs(mpmath.mpf(alpha) - 2)
        return width / alpha * ((square / width + 1) ** (mpmath.mpf(alpha) / 2) - 1)

    return exactly(value, predictions, labels)


def msle(predictions: Array, labels: Array) -> Array:
    return exactly(lambda x, y: mpmath.log((1 + x) / (1 + y)) ** 2, predictions, labels)


def mape(predictions: Array, labels: Array, epsilon: float = 2.220446049250313e-16) -> Array:
    return np.abs(predictions - labels) / np.maximum(np.abs(labels), epsilon)


def smape(predictions: Array, labels: Array) -> Array:
    values = np.zeros(np.shape(labels))
    total = np.abs(predictions) + np.abs(labels)
    return np.divide(2 * np.abs(predictions - labels), total, out=values, where=total > 0)


def cosine_distance(predictions: Array, labels: Array, epsilon: float = 1e-8) -> Array:
    values = np.zeros(len(labels))
    for row, (first, second) in enumerate(zip(predictions, labels, strict=True)):
        exact = [[mpmath.mpf(float(number)) for number in vector] for vector in (first, second)]
        lengths = [max(mpmath.sqrt(mpmath.fsum(one * one for one in vector)), mpmath.mpf(epsilon)) for vector in exact]
        values[row] = 1 - mpmath.fsum(a * b for a, b in zip(*exact, strict=True)) / (lengths[0] * lengths[1])
    return values


def tweedie(predictions: Array, labels: Array, power: float = 1.5) -> Array:
    def value(x: Any, y: Any) -> Any:
        p = mpmath.mpf(power)
        if p == 0:
            return (y - x) ** 2
        if p == 1:
            return 2 * ((y * mpmath.log(y / x) if y else 0) - y + x)
        if p == 2:
            return 2 * (mpmath.log(x / y) + y / x - 1)
        first = max(y, 0) ** (2 - p) / ((1 - p) * (2 - p))
        return 2 * (first - y * x ** (1 - p) / (1 - p) + x ** (2 - p) / (2 - p))

    return exactly(value, predictions, labels)


def poisson_deviance(predictions: Array, labels: Array) -> Array:
    return tweedie(predictions, labels, power=1.0)


def gamma_deviance(predictions: Array, labels: Array) -> Array:
    return tweedie(predictions, labels, power=2.0)


def quantile(predictions: Array, labels: Array, quantiles: Sequence[float] = (0.5,)) -> Array:
    error = labels - np.moveaxis(predictions, -1, 0)
    losses = [np.maximum(q * one, (q - 1) * one) for q, one in zip(quantiles, error, strict=True)]
    return np.asarray(sum(losses) / len(losses))


def expectile(predictions: Array, labels: Array, tau: float = 0.5) -> Array:
    high, low = np.clip(predictions - labels, 0, None), np.clip(labels - predictions, 0, None)
    return tau * low**2 + (1 - tau) * high**2


def crps_gaussian(predictions: Array, labels: Array, scale: Array) -> Array:
    def value(x: Any, y: Any, s: Any) -> Any:
        if s == 0:
            return abs(y - x)
        z = (y - x) / s
        if abs(z) > 50:
            return abs(y - x) - s / mpmath.sqrt(mpmath.pi)
        return s * (z * (2 * mpmath.ncdf(z) - 1) + 2 * mpmath.npdf(z) - 1 / mpmath.sqrt(mpmath.pi))

    return exactly(value, predictions, labels, scale)


def crps_ensemble(predictions: Array, labels: Array, fair: bool = True) -> Array:
    members = predictions.shape[-1]
    error = np.abs(predictions - labels[:, np.newaxis]).mean(-1)
    distances = np.abs(predictions[:, :, np.newaxis] - predictions[:, np.newaxis]).sum((-1, -2))
    pairs = members * (members - 1) if fair else members**2
    return error - (distances / (2 * pairs) if pairs else 0.0)


def beta_nll(
    predictions: Array, labels: Array, variance: Array, beta: float = 0.5, full: bool = False, eps: float = 1e-6
) -> Array:
    if variance.ndim < predictions.ndim:
        variance = variance[..., np.newaxis]
    variance = np.broadcast_to(np.maximum(variance, eps), predictions.shape)
    density = -stats.norm.logpdf(labels, predictions, np.sqrt(variance))
    return np.exp(beta * np.log(variance)) * (density if full else density - 0.5 * np.log(2 * np.pi))


def laplace_nll(predictions: Array, labels: Array, scale: Array) -> Array:
    return exactly(lambda x, y, b: mpmath.log(2 * b) + abs(x - y) / b, predictions, labels, scale)


def student_t_nll(predictions: Array, labels: Array, scale: Array, df: float = 4.0) -> Array:
    half = mpmath.mpf(df) / 2
    norm = mpmath.beta(half, mpmath.mpf(1) / 2) * mpmath.sqrt(df)

    def value(x: Any, y: Any, s: Any) -> Any:
        return mpmath.log(norm * s) + (half + mpmath.mpf(1) / 2) * mpmath.log(1 + ((x - y) / s) ** 2 / df)

    return exactly(value, predictions, labels, scale)


def negative_binomial_nll(predictions: Array, labels: Array, dispersion: Array) -> Array:
    def value(mean: Any, count: Any, alpha: Any) -> Any:
        if alpha == 0:
            return mean - count * mpmath.log(mean) + mpmath.loggamma(count + 1)
        r, p = 1 / alpha, 1 / (1 + alpha * mean)
        choices = mpmath.loggamma(count + r) - mpmath.loggamma(r) - mpmath.loggamma(count + 1)
        return -choices - r * mpmath.log(p) - (count * mpmath.log(alpha * mean * p) if count else 0)

    return exactly(value, predictions, labels, dispersion)
