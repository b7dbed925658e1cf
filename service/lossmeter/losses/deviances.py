"""Unit deviances: how far predicted means lie from observations, measured as their distribution measures it."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import torch
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses._logarithms import excess, log_ratio
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import Counts, Positives, Real, Unreduced, Values

FAMILY = "regression"
TASKS = ("regression",)


def _mean_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.positive(arguments, "predictions")


def _gamma_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.positive(arguments, "predictions", "labels")


def _tweedie_flaws(arguments: Arguments) -> Iterator[Flaw]:
    power, predictions, labels = arguments["power"], arguments["predictions"], arguments["labels"]
    if 0 < power < 1:
        yield Flaw("/power", f"power is {power}; expected a number of at most 0 or at least 1: no distribution has it.")
    if power:
        yield from _flaws.element(
            "predictions", predictions, ~(predictions > 0), "a number above 0, since power is not 0"
        )
    if 1 <= power < 2:
        yield from _flaws.element("labels", labels, labels < 0, "a number of at least 0, since power is from 1 to 2")
    elif power >= 2:
        yield from _flaws.element("labels", labels, ~(labels > 0), "a number above 0, since power is at least 2")


def _deviance(mean: Tensor, observed: Tensor, power: float) -> Tensor:
    """Half of the unit deviance, with a = 2 - power, so arranged that nothing cancels where the two are near each other.

    It is (f_a(y) - μ^(a-1) (y - μ)) / (a - 1), where f_b(y) = (y^b - μ^b) / b, and log(y / μ) for b = 0.
    """
    a = 2 - power
    difference = observed - mean
    absent = observed <= 0
    present = torch.where(absent, mean, observed)
    logarithm = log_ratio(present, mean, present - mean)
    half = mean ** ((a - 1) / 2)  # twice, since its square may overflow where the product does not
    if abs(a - 1) <= 0.5:
        # Near 1 the division by a - 1 would cancel: μ^(a-1) y f_(a-1)(y) / a holds it.
        curved = present * (torch.expm1((a - 1) * logarithm) / (a - 1) if a != 1 else logarithm)
        return half * (torch.where(absent, 0.0, curved) - difference) * half / a
    if a == 0:
        return difference / mean - logarithm
    near = (a * logarithm).abs() < 1
    close = mean**a * torch.where(near, a * logarithm, 0.0).expm1()
    apart = torch.where(absent, 0.0, torch.where(near, 1.0, present) ** a) - mean**a
    return (torch.where(near & ~absent, close, apart) / a - half * difference * half) / (a - 1)


@loss(
    suits={"skewed_amounts": "It is the likelihood of amounts that are often 0 and otherwise positive and skewed."},
    aliases=["tweedie_deviance", "mean_tweedie_deviance", "tweedie_deviance_score"],
    copies=9,
    sweeps=45,
    chunked=False,
    check=_tweedie_flaws,
    examples=[
        Example(predictions=[4.0, 9.0], labels=[1.0, 9.0], value=1.0),
        Example(predictions=[4.0], labels=[0.0], value=8.0),
        Example(predictions=[3.0], labels=[1.0], power=0.0, value=4.0),
    ],
)
def tweedie(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, power: Real = 1.5
) -> Unreduced[Tensor, "*shape"]:
    r"""Tweedie deviance: for amounts that are often exactly zero and otherwise positive and skewed.

    A deviance is 0 for a perfect prediction and grows with the error in units of the noise that a distribution expects. Here
    the variance of the labels is taken to grow like their mean to the `power`: 0 is the normal distribution (the deviance is
    then `mse`), 1 Poisson's, 2 the gamma and 3 the inverse Gaussian distribution. Between 1 and 2 a label is a sum of a
    random number of positive amounts, such as the claims of a year: it may be exactly 0, which no other of them allows
    beside positive fractions.

    The values are the unit deviances of scikit-learn and torchmetrics. A label of 0 has no gradient of its own.

    Formula:
        \ell_i = 2 \left( \frac{\max(y_i, 0)^{2 - p}}{(1 - p)(2 - p)} - \frac{y_i \, x_i^{1 - p}}{1 - p}
        + \frac{x_i^{2 - p}}{2 - p} \right), \qquad
        p = 1: \; 2 \left( y_i \log \frac{y_i}{x_i} - y_i + x_i \right), \quad
        p = 2: \; 2 \left( \log \frac{x_i}{y_i} + \frac{y_i}{x_i} - 1 \right)

    Args:
        predictions: expected values $x$, above 0 (any number if `power` is 0).
        labels: observations $y$; any number if `power` is at most 0, at least 0 if it is from 1 to below 2, above 0 from 2 on.
        power: the power $p$ of the mean that the variance follows; not between 0 and 1, where no such distribution exists.

    Returns:
        one loss per element, in the unit of the labels to the power of $2 - p$.

    Use when:
        many labels are 0 and the others vary widely: insurance claims per policy, rainfall a day, sales of slow products,
        spending per customer, time on a page.

    Avoid when:
        labels are whole counts (take `poisson_deviance` or `negative_binomial_nll`), never 0 (take `gamma_deviance`), or can be
        negative (take `mse` or `huber`).

    Source:
        Jørgensen, Exponential Dispersion Models, 1987. https://doi.org/10.1111/j.2517-6161.1987.tb01685.x; scikit-learn,
        mean_tweedie_deviance.
    """
    if power == 0:
        return (labels - predictions).square()
    return 2 * _deviance(predictions, labels, power)


@loss(
    suits={"counts": "It is the deviance of the usual model of counts, 0 where prediction and count agree."},
    copies=7,
    sweeps=30,
    chunked=False,
    check=_mean_flaws,
    aliases=["mean_poisson_deviance"],
    examples=[Example(predictions=[2.0, 1.0], labels=[4.0, 0.0], value=4 * log(2) - 1)],
)
def poisson_deviance(
    predictions: Positives[Tensor, "*shape"], labels: Counts[Tensor, "*shape"]
) -> Unreduced[Tensor, "*shape"]:
    r"""Poisson deviance: how far predicted rates lie from observed counts, 0 where they agree.

    It is `poisson_nll` measured from its best possible value, so that a perfect prediction costs 0 and figures of different
    data sets can be compared. Being off by 5 is nothing at 1000 and a lot at 2, as counts vary by the square root of their
    mean. Predictions are the rates themselves, not their logarithms. It is `tweedie` of power 1, and scikit-learn's unit
    deviance.

    Formula:
        \ell_i = 2 \left( y_i \log \frac{y_i}{x_i} - y_i + x_i \right), \qquad 0 \log 0 = 0

    Args:
        predictions: expected counts $x$, above 0.
        labels: observed counts $y$; fractions are accepted, as for counts per unit of exposure. They have no gradient.

    Returns:
        one loss per element, not negative.

    Use when:
        models of counts are compared or fitted: claims, visits, orders, accidents, goals, cases of a disease.

    Avoid when:
        the model predicts logarithms of rates (take `poisson_nll`), or counts vary more than their mean says (take
        `negative_binomial_nll`).

    Source:
        Nelder and Wedderburn, Generalized Linear Models, 1972. https://doi.org/10.2307/2344614; scikit-learn,
        mean_poisson_deviance.
    """
    return 2 * excess(labels, predictions, labels - predictions)


@loss(
    suits={
        "skewed_amounts": "Errors count in proportion to the size of a positive label.",
        "relative_errors": "It depends on the ratio of prediction and label alone.",
    },
    copies=8,
    sweeps=35,
    chunked=False,
    check=_gamma_flaws,
    aliases=["mean_gamma_deviance"],
    examples=[Example(predictions=[2.0, 3.0], labels=[4.0, 3.0], value=1 - log(2))],
)
def gamma_deviance(
    predictions: Positives[Tensor, "*shape"], labels: Positives[Tensor, "*shape"]
) -> Unreduced[Tensor, "*shape"]:
    r"""Gamma deviance: how far predictions lie from positive labels, as a ratio.

    Only the quotient of label and prediction enters: predicting 200 where 100 was right costs exactly as much as 2 where 1 was
    right, whatever the unit is. Predictions that are too low cost more than those too high by the same factor: half of the
    truth costs 0.61, twice the truth 0.39. It is `tweedie` of power 2, and scikit-learn's unit deviance.

    Formula:
        \ell_i = 2 \left( \frac{y_i}{x_i} - 1 - \log \frac{y_i}{x_i} \right)

    Args:
        predictions: expected values $x$, above 0.
        labels: observations $y$, above 0; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, without a unit.

    Use when:
        labels are positive, skewed, and vary in proportion to their size: the size of claims, waiting times, incomes, prices,
        volumes of traffic, durations of stays.

    Avoid when:
        labels can be 0 (take `tweedie`), or ratios should cost the same in both directions (take `mse` of logarithms, or
        `msle`).

    Source:
        McCullagh and Nelder, Generalized Linear Models, 1989. https://doi.org/10.1201/9780203753736; scikit-learn,
        mean_gamma_deviance.
    """
    return 2 * _deviance(predictions, labels, 2.0)
