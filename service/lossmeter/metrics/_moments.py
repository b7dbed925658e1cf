"""States of pairs of numbers: centred moments, and deviances from the mean. Neither ever subtracts two large sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lossmeter.metrics.states import State, merged_by, total
from lossmeter.metrics.weighting import Array, Weighting, quotient

ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Share of what a sum of squares is a difference of, below which it is rounding."""
SERIES_RADIUS = 0.05
SERIES_TERMS = 13


@dataclass(frozen=True, eq=False)
class CrossMoments(State, kind="cross_moments"):
    """Weighted means and centred second moments of predictions x, labels y and residuals d = y - x.

    The moments of the residual are taken from the residual itself, never from those of x and y, so that a small residual
    keeps all its digits. Merged after Chan, Golub and LeVeque, Updating Formulae, 1979.

    Attributes:
        weight: sum of the weights.
        mean_x, mean_y, mean_d: weighted means.
        xx, yy, xy, dd: weighted sums of products of deviations from the means.
    """

    weight: Array = total()
    mean_x: Array = merged_by("chan mean")
    mean_y: Array = merged_by("chan mean")
    mean_d: Array = merged_by("chan mean")
    xx: Array = merged_by("chan")
    yy: Array = merged_by("chan")
    xy: Array = merged_by("chan")
    dd: Array = merged_by("chan")

    @classmethod
    def of(cls, x: Array, y: Array, w: Weighting) -> CrossMoments:
        d = y - x
        whole = w.value.sum()
        cx, cy, cd = (quotient(w.value @ v, whole, 0.0) for v in (x, y, d))
        # A second centring removes what rounding left of the mean.
        sx, sy, sd = x - cx, y - cy, d - cd
        columns = (np.ones_like(x), sx, sy, sd, sx * sx, sy * sy, sx * sy, sd * sd)
        weight, tx, ty, td, xx, yy, xy, dd = w.totals(columns)
        mx, my, md = (quotient(t, weight, 0.0) for t in (tx, ty, td))
        return cls(
            weight,
            np.asarray(cx + mx),
            np.asarray(cy + my),
            np.asarray(cd + md),
            _left(xx, mx * tx),
            _left(yy, my * ty),
            np.asarray(xy - mx * ty),
            _left(dd, md * td),
        )

    @property
    def mass(self) -> Array:
        return self.weight

    def spread(self, axis: str) -> Array:
        """Returns `xx` or `yy`, and 0 where all that varies is the rounding of equal numbers."""
        squares, mean = getattr(self, 2 * axis), getattr(self, f"mean_{axis}")
        # Means are as exact as the largest number that went into any of them, in this replicate or another.
        size = np.max(mean**2 + quotient(squares, self.weight, 0.0), initial=0.0)
        return np.where(squares > ROUNDING**2 * size * self.weight, squares, 0.0)

    @property
    def offset(self) -> Array:
        """Returns `mean_d`, and 0 where it is what rounding left of larger ones, in this replicate or another."""
        size = np.max(self.mean_d**2 + quotient(self.dd, self.weight, 0.0), initial=0.0)
        return np.where(self.mean_d**2 > ROUNDING**2 * size, self.mean_d, 0.0)

    def _merged(self, other: Self) -> dict[str, Any]:
        share = quotient(other.weight, self.weight + other.weight, 0.0)
        together = self.weight * share
        dx, dy, dd = (getattr(other, name) - getattr(self, name) for name in ("mean_x", "mean_y", "mean_d"))
        return {
            "mean_x": self.mean_x + dx * share,
            "mean_y": self.mean_y + dy * share,
            "mean_d": self.mean_d + dd * share,
            "xx": self.xx + other.xx + dx * dx * together,
            "yy": self.yy + other.yy + dy * dy * together,
            "xy": self.xy + other.xy + dx * dy * together,
            "dd": self.dd + other.dd + dd * dd * together,
        }


def _left(squares: Array, shifted: Array) -> Array:
    """Subtracts from squares what the shift of their centre explains; where nothing but rounding is left, 0."""
    left = squares - shifted
    return np.where(left > ROUNDING * squares, left, 0.0)


def deviance(y: Array, mean: Array, power: float) -> Array:
    r"""Unit Tweedie deviance $2 \int_\mu^y (y - t) t^{-p} dt$.

    Near $y = \mu$ the closed forms cancel; there, with $\delta = y / \mu - 1$, the series
    $2 \mu^{2-p} \sum_k \binom{-p}{k} \delta^{k+2} / ((k+1)(k+2))$ keeps all digits.
    """
    y, mean = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(mean, np.float64))
    if power == 0:
        return np.asarray((y - mean) ** 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        delta = (y - mean) / mean
        if power == 1:
            far = 2 * (np.where(y == 0, 0.0, y * np.log(y / mean)) - y + mean)
        elif power == 2:
            far = 2 * (np.log(mean / y) + y / mean - 1)
        else:
            first = np.maximum(y, 0) ** (2 - power) / ((1 - power) * (2 - power))
            far = 2 * (first - y * mean ** (1 - power) / (1 - power) + mean ** (2 - power) / (2 - power))
        close = np.abs(delta) < SERIES_RADIUS
        small = np.where(close, delta, 0.0)
        term, series = np.ones_like(small), np.zeros_like(small)
        for k in range(SERIES_TERMS):
            series += term / ((k + 1) * (k + 2))
            term = term * small * (-power - k) / (k + 1)
        return np.where(close, 2 * mean ** (2 - power) * small * small * series, far)


@dataclass(frozen=True, eq=False)
class Deviances(State, kind="deviances"):
    """Tweedie deviance of labels from predictions, and from their own mean.

    Deviances from means add up across merged parts as variances do (they are Bregman divergences): the deviance of the
    whole from its mean is that of the parts from theirs, plus that of the parts' means from the mean of the whole.

    Attributes:
        power: of the variance function; 0 normal, 1 Poisson, 2 gamma.
        weight: sum of the weights.
        mean: weighted mean of the labels.
        residual: weighted sum of the deviances from the predictions.
        null: weighted sum of the deviances from the mean.
    """

    power: float
    weight: Array = total()
    mean: Array = merged_by("chan mean")
    residual: Array = total()
    null: Array = merged_by("bregman")

    @classmethod
    def of(cls, x: Array, y: Array, power: float, w: Weighting) -> Deviances:
        centre = quotient(w.value @ y, w.value.sum(), 0.0)
        columns = (np.ones_like(y), y - centre, deviance(y, x, power), deviance(y, centre, power))
        weight, shift, residual, null = w.totals(columns)
        mean = np.asarray(centre + quotient(shift, weight, 0.0))
        known = weight > 0
        moved = np.where(known, weight * deviance(np.where(known, mean, centre), centre, power), 0.0)
        return cls(power, weight, mean, residual, _left(null, moved))

    @property
    def varying(self) -> Array:
        """Returns `null`, and 0 where all that varies is the rounding of equal labels."""
        mean = np.abs(self.mean)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            least = ROUNDING**2 * np.max(mean, initial=0.0) ** 2 * mean**-self.power * self.weight
        return np.where(self.null > np.where(np.isfinite(least), least, 0.0), self.null, 0.0)

    @property
    def mass(self) -> Array:
        return self.weight

    def _merged(self, other: Self) -> dict[str, Any]:
        share = quotient(other.weight, self.weight + other.weight, 0.0)
        mean = self.mean + (other.mean - self.mean) * share
        null = self.null + other.null
        for part in (self, other):
            known = part.weight > 0
            null = null + np.where(
                known, part.weight * deviance(np.where(known, part.mean, mean), mean, self.power), 0.0
            )
        return {"mean": mean, "null": null}
