"""Metrics of numbers that are means of a deviance: of quantiles, counts and amounts, each with the error that suits it."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics._moments import deviance
from lossmeter.metrics._parameters import OpenFraction, Power
from lossmeter.metrics.batches import Numbers
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.regression import REGRESSION, example
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Weighting

FAMILY = "deviances"


def check_tweedie(batch: Numbers, power: float) -> None:
    """Raises Invalid where a number is outside the domain of the deviance of that power."""
    subject = f"tweedie_deviance (power {power:g})"
    if 0 < power < 1:
        batch.demand(np.zeros(1, bool), subject, "power", lambda _: "no distribution has a power between 0 and 1")
    if power != 0:
        batch.demand(batch.x > 0, subject, "predictions", lambda i: f"{batch.x[i]}; expected more than 0")
    if power >= 2:
        batch.demand(batch.y > 0, subject, "labels", lambda i: f"{batch.y[i]}; expected more than 0")
    elif power >= 1:
        batch.demand(batch.y >= 0, subject, "labels", lambda i: f"{batch.y[i]}; expected 0 or more")


@statistic()
def quantile_error(batch: Numbers, w: Weighting, *, quantile: float) -> Quotient:
    below = batch.y - batch.x
    return Ratio.of(np.maximum(quantile * below, (quantile - 1) * below), w)


@statistic()
def tweedie_deviances(batch: Numbers, w: Weighting, *, power: float) -> Quotient:
    check_tweedie(batch, power)
    return Ratio.of(deviance(batch.y, batch.x, power), w)


@statistic()
def poisson_deviances(batch: Numbers, w: Weighting) -> Quotient:
    check_tweedie(batch, 1.0)
    return Ratio.of(deviance(batch.y, batch.x, 1.0), w)


@metric(
    aliases=("mean_pinball_loss", "pinball_loss", "quantile_loss"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=example(0.35, quantile=0.1) + example(0.25),
)
def pinball(error: Annotated[Quotient, quantile_error], *, quantile: OpenFraction = 0.5) -> Array:
    r"""Mean pinball error: how good predictions are as a quantile.

    For the quantile 0.9 a prediction that is too low costs nine times as much as one that is too high by the same amount; the
    best prediction is then exceeded in one case of ten. At 0.5 it is half of `mae`.

    Formula:
        \frac{1}{\sum_i w_i} \sum_i w_i \max(q (y_i - x_i), (q - 1) (y_i - x_i))

    Args:
        error: mean of the pinball errors.
        quantile: the quantile $q$ that is predicted.

    Returns:
        the mean, in the unit of the labels.

    Use when:
        bounds are predicted rather than centres: stock levels, reserves, delivery promises.

    Avoid when:
        predictions are means: take `mse`.

    Source:
        Koenker and Bassett, Regression Quantiles, 1978. https://doi.org/10.2307/1913643
    """
    return error.mean


@metric(
    aliases=("mean_tweedie_deviance", "tweedie_deviance_score"),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=[
        Example(
            "regression",
            predictions=[2.0, 0.5, 1.0, 4.0],
            labels=[2.0, 0.0, 1.0, 4.0],
            power=1.5,
            value=0.7071067811865476,
        )
    ],
)
def tweedie_deviance(error: Annotated[Quotient, tweedie_deviances], *, power: Power = 0.0) -> Array:
    r"""Mean Tweedie deviance: the squared error made fit for counts and amounts.

    Where the spread of the labels grows with their mean as $\mu^p$, this is how far predictions are from the best possible
    ones. Power 0 is the squared error, 1 the Poisson, 2 the gamma deviance; between 1 and 2, many zeros and a tail of amounts.

    Formula:
        \frac{2}{\sum_i w_i} \sum_i w_i \left( \frac{\max(y_i, 0)^{2-p}}{(1-p)(2-p)} - \frac{y_i x_i^{1-p}}{1-p}
        + \frac{x_i^{2-p}}{2-p} \right)

    Args:
        error: mean of the deviances.
        power: the power $p$ of the variance function; not between 0 and 1.

    Returns:
        the mean; its unit is that of the labels to the power of $2 - p$.

    Use when:
        counts, rates, claims and amounts are predicted: insurance, rainfall, sales.

    Avoid when:
        predictions may be zero or negative (an error here, unless the power is 0).

    Source:
        Jørgensen, The Theory of Dispersion Models, 1997.
    """
    return error.mean


@metric(
    aliases=("mean_poisson_deviance",),
    tasks=REGRESSION,
    better="lower",
    bounds=(0.0, None),
    uncertainty="mean",
    examples=[Example("regression", predictions=[2.0, 0.5, 1.0, 4.0], labels=[2.0, 0.0, 1.0, 4.0], value=0.25)],
)
def poisson_deviance(error: Annotated[Quotient, poisson_deviances]) -> Array:
    r"""Mean Poisson deviance: for counts.

    An error of 1 on an expected count of 1 is grave, on one of 100 it is nothing: the deviance knows that the variance of a
    count is its mean.

    Formula:
        \frac{2}{\sum_i w_i} \sum_i w_i \left( y_i \ln \frac{y_i}{x_i} - y_i + x_i \right)

    Args:
        error: mean of the deviances.

    Returns:
        the mean, in the unit of the labels.

    Use when:
        counts or rates are predicted: visits, failures, claims.

    Avoid when:
        predictions may be zero (an error here).

    Source:
        McCullagh and Nelder, Generalized Linear Models, 1989.
    """
    return error.mean
