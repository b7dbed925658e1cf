"""States of pairs of numbers: centred moments, and deviances from the mean. Neither ever subtracts two large sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from lossmeter.metrics.batches import Numbers
from lossmeter.metrics.states import Ratio, Reader, State, merged_by, total
from lossmeter.metrics.weighting import Array, Weighting, centred, quotient

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
        fourth: the number of units, and the sums of the squared weight times 1, s, s², s³, s⁴, d², d² s, d² s² and d⁴ each,
            with s the deviation of a label from the mean. None of them where elements are no units, in replicates, and before
            version 2; nor in what such a state was merged with. Shape (10,) or (0,).
    """

    version: ClassVar[int] = 2
    SIZE: ClassVar[int] = 18
    weight: Array = total()
    mean_x: Array = merged_by("chan mean")
    mean_y: Array = merged_by("chan mean")
    mean_d: Array = merged_by("chan mean")
    xx: Array = merged_by("chan")
    yy: Array = merged_by("chan")
    xy: Array = merged_by("chan")
    dd: Array = merged_by("chan")
    fourth: Array = merged_by("fourth")

    @classmethod
    def of(cls, batch: Numbers, w: Weighting) -> CrossMoments:
        as_is = replace(w, draws=None)
        columns = batch.x, batch.y, batch.residual
        (cx, sx, xx), (cy, sy, yy), (cd, sd, dd) = (centred(column, as_is) for column in columns)
        if w.draws is None:
            weight, xy = w.total(), w.product(sx, sy)
            return cls(weight, cx, cy, cd, xx, yy, xy, dd, _fourth(sy, batch.squared, w))
        return cls._drawn((cx, cy, cd), (sx, sy, sd), w)

    @classmethod
    def _drawn(cls, centres: Sequence[Array], deviations: Sequence[Array], w: Weighting) -> CrossMoments:
        """Makes the state of replicates, from how far each number is from the mean of the data as they are."""
        (cx, cy, cd), (sx, sy, sd) = centres, deviations
        columns = (np.ones_like(sx), sx, sy, sd, sx * sx, sy * sy, sx * sy, sd * sd)
        weight, tx, ty, td, xx, yy, xy, dd = w.totals(columns)
        mx, my, md = (quotient(t, weight, 0.0) for t in (tx, ty, td))
        return cls(
            weight,
            cx + mx,
            cy + my,
            cd + md,
            _left(xx, mx * tx),
            _left(yy, my * ty),
            xy - mx * ty,
            _left(dd, md * td),
            _unknown(weight),
        )

    @classmethod
    def _read(cls, record: Mapping[str, Any], read: Reader) -> dict[str, Any]:
        if record["version"] > 1:
            return super()._read(record, read)
        known = {name: read(record[name]) for name in cls.arrays() if name != "fourth"}
        return known | {"fourth": _unknown(known["weight"])}

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

    @property
    def unexplained(self) -> Ratio | None:
        """Returns the squared residuals over the squared deviations of the labels from their mean; None if `fourth` is unknown.

        The mean is that of the same labels, which makes no difference: around it the sum of the squares is at its least, and a
        small shift of it changes nothing (the linearised error of a ratio, Cochran, Sampling Techniques, 1977, section 6.4).
        """
        if not self.fourth.shape[-1]:
            return None
        units, _, _, _, _, ssss, _, _, dd, dddd = np.moveaxis(self.fourth, -1, 0)
        above, below = self.dd + self.weight * self.mean_d**2, self.spread("y")
        mean = quotient(above, below, 0.0)
        parts = dddd, -2 * mean * dd, mean * mean * ssss
        rr = sum(parts)
        # What cancels there left rounding of its own size.
        rr = np.where(rr > ROUNDING * (dddd + parts[2]), rr, 0.0)
        return Ratio(above, below, units, units, rr, dd - mean * ssss, ssss)

    def _fits(self, name: str, mine: Array, theirs: Array) -> bool:
        return mine.shape[:-1] == theirs.shape[:-1] if name == "fourth" else super()._fits(name, mine, theirs)

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
            "fourth": _moved(self.fourth, -dy * share) + _moved(other.fourth, dy * (1 - share))
            if self.fourth.shape[-1] and other.fourth.shape[-1]
            else _unknown(self.weight),
        }


def _unknown(weight: Array) -> Array:
    return np.zeros((*np.shape(weight), 0))


def _fourth(s: Array, dd: Array, w: Weighting) -> Array:
    """Returns the sums of `fourth`, of deviations s from the mean and squared residuals dd."""
    if w.unit is not None:
        return _unknown(w.total())
    squared = w if w.plain else replace(w, value=w.value**2)
    one, s1, d2 = squared.total(), 0.0 if w.plain else squared.total(s), squared.total(dd)
    ss = s * s
    pairs = ((s, s), (s, ss), (ss, ss), (dd, s), (dd, ss), (dd, dd))
    s2, s3, s4, d2s, d2s2, d4 = (squared.product(*pair) for pair in pairs)
    return np.array([w.units, one, s1, s2, s3, s4, d2, d2s, d2s2, d4], np.float64)


def _moved(fourth: Array, by: Array) -> Array:
    """Returns what the sums are once every deviation of a label is larger by so much."""
    units, one, s, ss, sss, ssss, dd, dds, ddss, dddd = np.moveaxis(fourth, -1, 0)
    moved = (
        s + by * one,
        ss + by * (2 * s + by * one),
        sss + by * (3 * ss + by * (3 * s + by * one)),
        ssss + by * (4 * sss + by * (6 * ss + by * (4 * s + by * one))),
    )
    return np.stack([units, one, *moved, dd, dds + by * dd, ddss + by * (2 * dds + by * dd), dddd], axis=-1)


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
