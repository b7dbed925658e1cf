"""Metrics of numbers that depend on their order. No small state gives them: they need all samples at hand."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from lossmeter.metrics._parameters import OpenFraction
from lossmeter.metrics.batches import Numbers
from lossmeter.metrics.catalogue import metric, statistic
from lossmeter.metrics.regression import REGRESSION, example
from lossmeter.metrics.scores import Samples
from lossmeter.metrics.weighting import Array, Weighting, quotient
from lossmeter.stopping import checkpoint

FAMILY = "ranks"


@statistic(needs=["samples"], replicated=False)
def samples(batch: Numbers, w: Weighting) -> Samples:
    return Samples.of(batch.x, batch.y, np.zeros(len(batch.x), np.int64), 1, w, batch.hashes)


def weighted_quantile(values: Array, weight: Array, level: float) -> Array:
    """The value up to which `level` of the weight lies; where that falls between two values, their mean.

    Args:
        values: shape (m,).
        weight: shape (…, m).
        level: between 0 and 1.

    Returns:
        shape (…); NaN without weight.
    """
    if not len(values):
        return np.full(weight.shape[:-1], np.nan)
    order = np.argsort(values, kind="stable")
    value, below = values[order], np.cumsum(weight[..., order], axis=-1)
    whole = below[..., -1:]
    target, slack = level * whole, 4 * np.finfo(np.float64).eps * whole
    last = len(value) - 1
    # Values that a replicate has not drawn do not move the sum, so neither search stops at one of them.
    first, after = ((below < target + side * slack).sum(axis=-1).clip(max=last) for side in (-1, 1))
    return np.where(whole[..., 0] > 0, (value[first] + value[after]) / 2, np.nan)


def mid_ranks(values: Array, weight: Array) -> Array:
    """Weight below each value plus half of that of its equals; (m,) and (…, m) become (…, m)."""
    _, place = np.unique(values, return_inverse=True)
    tied = _grouped(weight, place)
    return (np.cumsum(tied, axis=-1) - tied / 2)[..., place]


def _grouped(weight: Array, place: npt.NDArray[Any]) -> Array:
    """Sums of the weight by place; (…, m) becomes (…, places)."""
    order = np.argsort(place, kind="stable")
    if not len(order):
        return weight
    starts = np.flatnonzero(np.append(True, np.diff(place[order]) != 0))
    return np.add.reduceat(weight[..., order], starts, axis=-1)


def rising_pairs(y: npt.NDArray[Any], weight: Array) -> Array:
    """Σ w_i w_j over pairs i before j with y_i < y_j; y holds ranks from 0, (m,) and (…, m) become (…).

    Radix sort from the highest bit: two ranks first differ in one bit, and there the smaller one has a 0. So at each bit,
    within groups of equal higher bits, every 1 is paired with the zeros before it. O(m log m).
    """
    result = np.zeros(weight.shape[:-1])
    for bit in reversed(range(int(y.max(initial=0)).bit_length())):
        checkpoint()
        order = np.argsort(y >> (bit + 1), kind="stable")
        one = (y[order] >> bit) & 1 == 1
        group = (y >> (bit + 1))[order]
        starts = np.flatnonzero(np.append(True, np.diff(group) != 0))
        w = weight[..., order]
        zeros = np.cumsum(np.where(one, 0.0, w), axis=-1)
        before_group = np.concatenate([np.zeros((*zeros.shape[:-1], 1)), zeros], axis=-1)[..., starts]
        inside = zeros - np.repeat(before_group, np.diff(np.append(starts, len(y))), axis=-1)
        result = result + np.where(one, w * inside, 0.0).sum(axis=-1)
    return result


def _correlation(value: Array, x: npt.NDArray[Any], y: npt.NDArray[Any], weight: Array) -> Array:
    """Removes the rounding of a correlation of ranks: NaN where either side is constant, 1 where both have one order."""
    distinct = [(_grouped(weight, place) > 0).sum(axis=-1) for place in (x, y)]
    value = np.clip(value, -1.0, 1.0)
    if np.array_equal(x, y):
        value = np.ones_like(value)
    elif len(x) and np.array_equal(x, y.max() - y):
        value = -np.ones_like(value)
    return np.where(np.minimum(*distinct) > 1, value, np.nan)


@metric(
    undefined="all labels, or all predictions, are equal",
    aliases=("spearmanr", "spearman_corrcoef", "spearman_correlation"),
    tasks=REGRESSION,
    better="higher",
    bounds=(-1.0, 1.0),
    examples=example(1.0),
)
def spearman(data: Annotated[Samples, samples]) -> Array:
    r"""Spearman's rank correlation: whether larger predictions go with larger labels.

    The correlation of the ranks: 1 whenever the labels rise with the predictions, be it in a curve. Equal numbers share the
    mean of their ranks. A sample of weight 2 counts as two samples.

    Formula:
        \operatorname{pearson}(\operatorname{rank}(x), \operatorname{rank}(y))

    Args:
        data: all samples.

    Returns:
        a number from -1 to 1; NaN if either side is constant.

    Use when:
        only the order of predictions is used, or the relation is not linear.

    Avoid when:
        the data come in batches that are not kept: it needs all samples.

    Source:
        Spearman, The Proof and Measurement of Association between Two Things, 1904. https://doi.org/10.2307/1412159
    """
    w = data.weight
    whole = w.sum(axis=-1, keepdims=True)
    x, y = (np.unique(part, return_inverse=True)[1] for part in (data.x, data.y))
    a, b = (mid_ranks(values, w) for values in (data.x, data.y))
    a, b = (ranks - quotient((w * ranks).sum(axis=-1, keepdims=True), whole, 0.0) for ranks in (a, b))
    spread = np.sqrt((w * a * a).sum(axis=-1)) * np.sqrt((w * b * b).sum(axis=-1))
    return _correlation(quotient((w * a * b).sum(axis=-1), spread), x, y, w)


@metric(
    undefined="all labels, or all predictions, are equal",
    aliases=("kendalltau", "kendall_rank_corrcoef"),
    tasks=REGRESSION,
    better="higher",
    bounds=(-1.0, 1.0),
    examples=example(1.0),
)
def kendall(data: Annotated[Samples, samples]) -> Array:
    r"""Kendall's tau-b: how many more pairs are in the right order than in the wrong one.

    Over all pairs of samples: those ordered alike by predictions and labels minus those ordered oppositely, as a share of the
    pairs without ties. A pair counts with the product of its weights.

    Formula:
        \frac{C - D}{\sqrt{(P - T_x)(P - T_y)}}

    Args:
        data: all samples.

    Returns:
        a number from -1 to 1; NaN if either side is constant.

    Use when:
        samples are few or have many ties, and a probability of agreement is easier to explain than a correlation.

    Avoid when:
        the data come in batches that are not kept: it needs all samples.

    Source:
        Kendall, The Treatment of Ties in Ranking Problems, 1945. https://doi.org/10.2307/2332303
    """
    w = data.weight
    _, x = np.unique(data.x, return_inverse=True)
    _, y = np.unique(data.y, return_inverse=True)
    _, both = np.unique(np.stack([x, y], axis=1), axis=0, return_inverse=True)
    squares = (w * w).sum(axis=-1)

    def tied(place: npt.NDArray[Any]) -> Array:
        return np.asarray(((_grouped(w, place) ** 2).sum(axis=-1) - squares) / 2)

    pairs = (w.sum(axis=-1) ** 2 - squares) / 2
    tx, ty, txy = tied(x), tied(y), tied(both.reshape(-1))
    # Ties in x are put in falling order of y, so that none of them counts as rising.
    order = np.lexsort((-y, x))
    alike = rising_pairs(y[order], w[..., order])
    opposite = pairs - tx - ty + txy - alike
    spread = np.sqrt(np.maximum(pairs - tx, 0.0)) * np.sqrt(np.maximum(pairs - ty, 0.0))
    return _correlation(quotient(alike - opposite, spread), x, y, w)


@metric(tasks=REGRESSION, better="lower", bounds=(0.0, None), examples=example(0.5))
def median_absolute_error(data: Annotated[Samples, samples]) -> Array:
    r"""The median of the absolute differences: half of the predictions are nearer than this.

    Up to half of the samples may be arbitrarily wrong without changing it.

    Formula:
        \operatorname{median}_i |x_i - y_i|

    Args:
        data: all samples.

    Returns:
        the median, in the unit of the labels; where half of the weight falls between two values, their mean.

    Use when:
        the typical error is asked for and outliers are of no interest.

    Avoid when:
        rare large errors matter, or the data come in batches that are not kept.

    Source:
        scikit-learn, median_absolute_error.
    """
    return weighted_quantile(np.abs(data.x - data.y), data.weight, 0.5)


@metric(
    undefined="all labels are equal",
    aliases=("d2_pinball_score",),
    tasks=REGRESSION,
    better="higher",
    bounds=(None, 1.0),
    examples=example(1 - 2 / 8.5, quantile=0.5),
)
def d2_pinball(data: Annotated[Samples, samples], *, quantile: OpenFraction = 0.5) -> Array:
    r"""Share of the pinball error that is explained; at the quantile 0.5, of the absolute error.

    One minus the pinball error of the predictions over that of the best constant, which is the quantile of the labels.

    Formula:
        1 - \frac{\sum_i w_i \rho_q(y_i - x_i)}{\sum_i w_i \rho_q(y_i - Q_q(y))}

    Args:
        data: all samples.
        quantile: the quantile $q$ that is predicted; 0.5 compares absolute errors with those of the median.

    Returns:
        a number up to 1; NaN if all labels are equal.

    Use when:
        `pinball` or `mae` is the measure and a figure without a unit is wanted.

    Avoid when:
        the data come in batches that are not kept: the quantile of the labels needs all samples.

    Source:
        Koenker and Machado, Goodness of Fit and Related Inference Processes for Quantile Regression, 1999.
        https://doi.org/10.1080/01621459.1999.10473882
    """

    def error(centre: Array) -> Array:
        below = data.y - centre
        return np.asarray((data.weight * np.maximum(quantile * below, (quantile - 1) * below)).sum(axis=-1))

    return 1 - quotient(error(data.x), error(weighted_quantile(data.y, data.weight, quantile)[..., None]))


@metric(
    undefined="all labels are equal",
    aliases=("d2_absolute_error_score",),
    tasks=REGRESSION,
    better="higher",
    bounds=(None, 1.0),
    examples=example(1 - 2 / 8.5),
)
def d2_absolute_error(data: Annotated[Samples, samples]) -> Array:
    r"""Share of the absolute error that is explained: how much better than always predicting the median.

    `r2` for absolute errors: 1 is perfect, 0 as good as the median of the labels.

    Formula:
        1 - \frac{\sum_i w_i |y_i - x_i|}{\sum_i w_i |y_i - \operatorname{median}(y)|}

    Args:
        data: all samples.

    Returns:
        a number up to 1; NaN if all labels are equal.

    Use when:
        `mae` is the measure and a figure without a unit is wanted.

    Avoid when:
        the data come in batches that are not kept: the median of the labels needs all samples.

    Source:
        scikit-learn, d2_absolute_error_score.
    """
    return np.asarray(d2_pinball(data, quantile=0.5))
