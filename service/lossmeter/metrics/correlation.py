"""Metrics of numbers that compare with a baseline or with each other, from centred moments: exact under merging."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np

from lossmeter.metrics._moments import CrossMoments, Deviances
from lossmeter.metrics._parameters import Power
from lossmeter.metrics.batches import Numbers
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.confidence import Interval, settled, student
from lossmeter.metrics.deviances import check_tweedie
from lossmeter.metrics.regression import REGRESSION, example
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "correlation"
ROUNDING = 8 * float(np.finfo(np.float64).eps)
MANY = 10_000
"""Samples from which the mean of squares of what is not normal is nearly normal."""


@statistic(blocks=True, size=lambda classes, bins, samples: CrossMoments.SIZE)  # noqa: ARG005
def cross_moments(batch: Numbers, w: Weighting) -> CrossMoments:
    return CrossMoments.of(batch, w)


def from_moments(moments: CrossMoments, level: float) -> Interval | None:
    """Takes Student's interval of the share that is not explained, a ratio of sums; None where samples are few."""
    ratio = moments.unexplained
    if ratio is None or ratio.units < MANY:
        return None
    found = student(ratio, level, bounds=(0.0, None))
    if found is None:
        return None
    return settled(replace(found, low=1 - found.high, high=1 - found.low), 1 - float(ratio.mean))


@statistic(blocks=True)
def deviances_from_mean(batch: Numbers, w: Weighting, *, power: float) -> Deviances:
    check_tweedie(batch, power)
    return Deviances.of(batch.x, batch.y, power, w)


@metric(
    undefined="all labels are equal",
    aliases=("r2_score", "r_squared", "coefficient_of_determination"),
    tasks=REGRESSION,
    better="higher",
    bounds=(None, 1.0),
    usual=REGRESSION,
    linearised=from_moments,
    examples=example(0.9486081370449679),
)
def r2(moments: Annotated[CrossMoments, cross_moments]) -> Array:
    r"""Coefficient of determination: how much better than always predicting the mean.

    1 is perfect, 0 as good as the mean of the labels, negative is worse. Elements of all outputs are pooled.

    Formula:
        1 - \frac{\sum_i w_i (y_i - x_i)^2}{\sum_i w_i (y_i - \bar y)^2}

    Args:
        moments: moments of predictions, labels and residuals.

    Returns:
        a number up to 1; NaN if all labels are equal, for then there is nothing to explain.

    Use when:
        models of the same data are compared, and a figure without a unit is wanted.

    Avoid when:
        data sets of different spread are compared: the same error gives another value on each.

    Source:
        Wright, Correlation and Causation, 1921.
    """
    residual = moments.dd + moments.weight * moments.mean_d**2
    return 1 - quotient(residual, moments.spread("y"))


@metric(
    undefined="all labels are equal",
    aliases=("explained_variance_score",),
    tasks=REGRESSION,
    better="higher",
    bounds=(None, 1.0),
    examples=example(0.9571734475374732),
)
def explained_variance(moments: Annotated[CrossMoments, cross_moments]) -> Array:
    r"""Share of the variance that is explained: `r2` that forgives a constant offset.

    A model that is always too high by 5 has an explained variance of 1. The difference from `r2` shows how biased it is.

    Formula:
        1 - \frac{\operatorname{Var}(y - x)}{\operatorname{Var}(y)}

    Args:
        moments: moments of predictions, labels and residuals.

    Returns:
        a number up to 1; NaN if all labels are equal.

    Use when:
        an offset will be calibrated away later.

    Avoid when:
        being wrong by a constant is wrong: take `r2`.

    Source:
        scikit-learn, explained_variance_score.
    """
    return 1 - quotient(moments.dd, moments.spread("y"))


@metric(
    undefined="all labels, or all predictions, are equal",
    aliases=("pearsonr", "pearson_corrcoef", "pearson_correlation"),
    tasks=REGRESSION,
    better="higher",
    bounds=(-1.0, 1.0),
    examples=example(0.9848696184482703),
)
def pearson(moments: Annotated[CrossMoments, cross_moments]) -> Array:
    r"""Pearson's correlation: how nearly the points lie on a rising straight line.

    1 if the labels are a rising linear function of the predictions, whatever its slope; -1 for a falling one; 0 if there is no
    linear relation.

    Formula:
        \frac{\operatorname{Cov}(x, y)}{\sqrt{\operatorname{Var}(x) \operatorname{Var}(y)}}

    Args:
        moments: moments of predictions and labels.

    Returns:
        a number from -1 to 1; NaN if either side is constant.

    Use when:
        the scale of the predictions is arbitrary: similarity scores against human ratings.

    Avoid when:
        predictions must be right in size (take `concordance`), or the relation is not linear (take `spearman`).

    Source:
        Pearson, Regression, Heredity, and Panmixia, 1896.
    """
    spread = np.sqrt(moments.spread("x")) * np.sqrt(moments.spread("y"))
    value = np.clip(quotient(moments.xy, spread), -1.0, 1.0)
    # The product of the roots of two equal numbers is that number but for the last bits.
    return np.where(1 - np.abs(value) <= ROUNDING, np.sign(value), value)


@metric(
    undefined="labels and predictions are all equal",
    aliases=("concordance_corrcoef", "ccc", "concordance_correlation_coefficient"),
    tasks=REGRESSION,
    better="higher",
    bounds=(-1.0, 1.0),
    examples=example(63.125 / 64.625),
)
def concordance(moments: Annotated[CrossMoments, cross_moments]) -> Array:
    r"""Lin's concordance: how nearly the points lie on the line where prediction equals label.

    Like `pearson`, but lowered by any difference in mean or spread. With population moments, divided by the number of samples.

    Formula:
        \frac{2 \operatorname{Cov}(x, y)}{\operatorname{Var}(x) + \operatorname{Var}(y) + (\bar x - \bar y)^2}

    Args:
        moments: moments of predictions, labels and residuals.

    Returns:
        a number from -1 to 1; NaN if both sides are constant and equal.

    Use when:
        two ways to measure the same thing are compared: a new instrument against the old, affect prediction.

    Avoid when:
        the scale of the predictions does not matter: take `pearson`.

    Source:
        Lin, A Concordance Correlation Coefficient to Evaluate Reproducibility, 1989. https://doi.org/10.2307/2532051
    """
    apart = moments.weight * moments.offset**2
    both = moments.spread("x"), moments.spread("y")
    # A constant goes with nothing, however its rounding looks.
    together = np.where((both[0] > 0) & (both[1] > 0), moments.xy, 0.0)
    return quotient(2 * together, both[0] + both[1] + apart)


@metric(
    undefined="all labels are equal",
    aliases=("d2_tweedie_score",),
    tasks=REGRESSION,
    better="higher",
    bounds=(None, 1.0),
    examples=[
        Example(
            "regression",
            predictions=[2.0, 0.5, 1.0, 4.0],
            labels=[2.0, 0.0, 1.0, 4.0],
            power=1.0,
            value=0.8341163753743722,
        )
    ],
)
def d2_tweedie(deviances: Annotated[Deviances, deviances_from_mean], *, power: Power = 0.0) -> Array:
    r"""Share of the Tweedie deviance that is explained: `r2` for counts and amounts.

    One minus the deviance of the predictions over that of the best constant, the mean. Power 0 is `r2`. Exact over any number
    of batches, because the best constant is the mean; for absolute and pinball errors it is a quantile, which needs all
    samples: see `d2_pinball`.

    Formula:
        1 - \frac{\sum_i w_i d_p(y_i, x_i)}{\sum_i w_i d_p(y_i, \bar y)}

    Args:
        deviances: deviances from the predictions and from the mean.
        power: the power $p$ of the variance function; not between 0 and 1.

    Returns:
        a number up to 1; NaN if all labels are equal.

    Use when:
        `tweedie_deviance` is the measure and a figure without a unit is wanted.

    Avoid when:
        predictions may be zero or negative (an error here, unless the power is 0).

    Source:
        Hastie, Tibshirani and Wainwright, Statistical Learning with Sparsity, 2015, equation 3.11.
    """
    return 1 - quotient(deviances.residual, deviances.varying)
