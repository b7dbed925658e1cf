"""Metrics of numbers that are means of an error: how far predictions lie from what was observed."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics.batches import Numbers
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.states import Extremum, Quotient, Ratio
from lossmeter.metrics.weighting import Array, Weighting

FAMILY = "regression"

REGRESSION = ("regression",)
LABELS, PREDICTIONS = [3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]


def example(value: float, *, labels: list[float] = LABELS, **parameters: float) -> list[Example]:
    """The usual predictions, against these labels."""
    return [Example("regression", predictions=PREDICTIONS, labels=labels, value=value, **parameters)]


@statistic(blocks=True)
def squared_error(batch: Numbers, w: Weighting) -> Quotient:
    return Ratio.of(batch.squared, w)


@statistic(blocks=True)
def absolute_error(batch: Numbers, w: Weighting) -> Quotient:
    return Ratio.of(np.abs(batch.residual), w)


@statistic(blocks=True)
def relative_error(batch: Numbers, w: Weighting) -> Quotient:
    eps = np.finfo(np.float64).eps
    return Ratio.of(np.abs(batch.residual) / np.maximum(np.abs(batch.y), eps), w)


@statistic(blocks=True)
def symmetric_error(batch: Numbers, w: Weighting) -> Quotient:
    size = np.abs(batch.x) + np.abs(batch.y)
    return Ratio.of(np.where(size > 0, 2 * np.abs(batch.residual) / np.where(size > 0, size, 1.0), 0.0), w)


@statistic(blocks=True)
def absolute_error_to_size(batch: Numbers, w: Weighting) -> Quotient:
    return Ratio.of(np.abs(batch.residual), w, base=np.abs(batch.y))


@statistic(blocks=True)
def squared_log_error(batch: Numbers, w: Weighting) -> Quotient:
    batch.demand(batch.x > -1, "msle", "predictions", lambda i: f"{batch.x[i]}; expected more than -1")
    batch.demand(batch.y > -1, "msle", "labels", lambda i: f"{batch.y[i]}; expected more than -1")
    return Ratio.of((np.log1p(batch.x) - np.log1p(batch.y)) ** 2, w)


@statistic(replicated=False, blocks=True)
def largest_error(batch: Numbers, w: Weighting) -> Extremum:
    return Extremum.of(np.abs(batch.residual))


@metric(
    aliases=("mean_squared_error",),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    usual=REGRESSION,
    examples=example(0.375),
)
def mse(error: Annotated[Quotient, squared_error]) -> Array:
    r"""Mean squared error: the average of the squared differences.

    Being off by 10 costs a hundred times as much as being off by 1. In the unit of the labels squared; its root is `rmse`.

    Formula:
        \frac{\sum_i w_i (x_i - y_i)^2}{\sum_i w_i}

    Args:
        error: mean of the squared differences.

    Returns:
        the mean, in the unit of the labels squared.

    Use when:
        large errors are truly worse than several small ones.

    Avoid when:
        a few outliers would decide the result: take `mae` or `median_absolute_error`.

    Source:
        Gauss, Theoria motus corporum coelestium, 1809.
    """
    return error.mean


@metric(
    aliases=("root_mean_squared_error", "root_mean_square_error"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    usual=REGRESSION,
    examples=example(0.6123724356957945),
)
def rmse(error: Annotated[Quotient, squared_error]) -> Array:
    r"""Root of the mean squared error.

    The same as `mse`, brought back to the unit of the labels: a typical size of the error in which large ones weigh more. The
    root is taken once, of the mean over all data, never averaged over batches.

    Formula:
        \sqrt{\frac{\sum_i w_i (x_i - y_i)^2}{\sum_i w_i}}

    Args:
        error: mean of the squared differences.

    Returns:
        the root, in the unit of the labels.

    Use when:
        one figure in the unit of the labels is wanted and large errors matter most: forecasts of load, temperature, demand.

    Avoid when:
        outliers are artefacts: take `mae`.

    Source:
        Gauss, Theoria motus corporum coelestium, 1809.
    """
    return np.sqrt(error.mean)


@metric(
    aliases=("mean_absolute_error", "l1"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    usual=REGRESSION,
    examples=example(0.5),
)
def mae(error: Annotated[Quotient, absolute_error]) -> Array:
    r"""Mean absolute error: the average size of the differences.

    Easy to explain: on average, predictions are off by this much, in the unit of the labels.

    Formula:
        \frac{\sum_i w_i |x_i - y_i|}{\sum_i w_i}

    Args:
        error: mean of the absolute differences.

    Returns:
        the mean, in the unit of the labels.

    Use when:
        every unit of error costs the same, or outliers should not decide.

    Avoid when:
        large errors are disproportionately harmful: take `rmse`.

    Source:
        Laplace, Mémoire sur la probabilité des causes, 1774.
    """
    return error.mean


@metric(
    aliases=("mean_absolute_percentage_error",),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=example(0.3273809523809524),
)
def mape(error: Annotated[Quotient, relative_error]) -> Array:
    r"""Mean absolute percentage error: the average difference as a share of the label.

    A fraction, not a percentage: 0.33 is 33 %. Labels nearer to zero than 2.2e-16 are taken as that, so a label of zero
    makes the result enormous rather than infinite.

    Formula:
        \frac{\sum_i w_i |x_i - y_i| / \max(|y_i|, \epsilon)}{\sum_i w_i}

    Args:
        error: mean of the relative differences.

    Returns:
        the mean, without a unit.

    Use when:
        labels are positive, far from zero, and of very different size: sales of many products.

    Avoid when:
        labels can be zero or nearly so, or forecasts too high and too low should count alike: take `wape` or `smape`.

    Source:
        Makridakis, Accuracy measures, 1993. https://doi.org/10.1016/0169-2070(93)90079-3; epsilon as in scikit-learn.
    """
    return error.mean


@metric(
    aliases=("symmetric_mean_absolute_percentage_error",),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, 2.0),
    uncertainty="mean",
    examples=example(0.5787878787878787),
)
def smape(error: Annotated[Quotient, symmetric_error]) -> Array:
    r"""Symmetric mean absolute percentage error.

    The difference as a share of the average of prediction and label. A fraction between 0 and 2; where both are zero the
    prediction is perfect and counts as 0.

    Formula:
        \frac{1}{\sum_i w_i} \sum_i w_i \frac{2 |x_i - y_i|}{|x_i| + |y_i|}

    Args:
        error: mean of the relative differences.

    Returns:
        the mean, without a unit.

    Use when:
        relative errors matter and labels come near to zero now and then.

    Avoid when:
        labels are often exactly zero: any other prediction then costs the full 2.

    Source:
        Armstrong, Long-Range Forecasting, 1985, page 348.
    """
    return error.mean


@metric(
    undefined="all labels are 0",
    aliases=("weighted_mean_absolute_percentage_error", "wmape"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=example(0.16),
)
def wape(error: Annotated[Quotient, absolute_error_to_size]) -> Array:
    r"""Weighted absolute percentage error: all errors together as a share of all labels together.

    Unlike in `mape`, single labels near zero do no harm, and large ones count for more.

    Formula:
        \frac{\sum_i w_i |x_i - y_i|}{\sum_i w_i |y_i|}

    Args:
        error: the absolute differences over the sizes of the labels.

    Returns:
        the quotient, without a unit; NaN if all labels are zero.

    Use when:
        demand is intermittent, or the error on the total volume matters.

    Avoid when:
        small series matter as much as large ones: take `smape` or `mae` per slice.

    Source:
        Kolassa and Schütz, Advantages of the MAD/Mean Ratio over the MAPE, Foresight, 2007.
    """
    return error.mean


@metric(
    aliases=("mean_squared_log_error", "mean_squared_logarithmic_error"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=[
        Example("regression", predictions=[2.5, 5.0, 4.0, 8.0], labels=[3.0, 5.0, 2.5, 7.0], value=0.03973012298459379)
    ],
)
def msle(error: Annotated[Quotient, squared_log_error]) -> Array:
    r"""Mean squared logarithmic error.

    The squared difference of the logarithms of one plus each number: ratios count, not differences, and predictions that are
    too low cost more than those too high by as much.

    Formula:
        \frac{\sum_i w_i (\ln(1 + x_i) - \ln(1 + y_i))^2}{\sum_i w_i}

    Args:
        error: mean of the squared differences of logarithms.

    Returns:
        the mean, without a unit.

    Use when:
        labels are positive and grow by factors: prices, populations, counts of visits.

    Avoid when:
        numbers may be -1 or less, which is an error here.

    Source:
        scikit-learn, mean_squared_log_error.
    """
    return error.mean


@metric(
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    examples=example(1.0),
    uncertainty="none",
)
def max_error(error: Annotated[Extremum, largest_error]) -> Array:
    r"""The largest absolute difference.

    The worst case that occurred. Weights do not change it, except that a weight of zero leaves the sample out. It has no
    confidence interval: the worst case of more data is always worse.

    Formula:
        \max_i |x_i - y_i|

    Args:
        error: the largest difference.

    Returns:
        the maximum, in the unit of the labels; NaN without samples.

    Use when:
        a guarantee is to be checked: tolerances, safety margins.

    Avoid when:
        a single bad label would spoil it.

    Source:
        scikit-learn, max_error.
    """
    return np.where(np.isneginf(error.largest), np.nan, error.largest)
