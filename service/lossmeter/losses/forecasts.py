"""Losses for forecasts that say more than one number: quantiles, expectiles, distributions and ensembles."""

from __future__ import annotations

from collections.abc import Iterator
from math import erf, exp, pi, sqrt

import torch
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import OpenFraction, Quantiles, Scales, Unreduced, Values

FAMILY = "regression"
TASKS = ("regression",)


def _quantile_flaws(arguments: Arguments) -> Iterator[Flaw]:
    shape, count = list(arguments["predictions"].shape), len(arguments["quantiles"])
    if shape[-1] != count:
        expected = f"{[*shape[:-1], count]}, as quantiles has {count}"
        yield Flaw("/predictions", f"predictions has shape {shape}; expected {expected}.")


@loss(
    suits={
        "intervals": "Each quantile that is learned is an end of an interval, without any assumption on the noise.",
        "asymmetric_costs": "Its level is the ratio at which too little and too much cost.",
        "outliers": "A far-off label pulls no harder than any other on its side.",
    },
    aliases=["pinball", "pinball_loss", "mean_pinball_loss", "quantile_loss"],
    chunked=False,
    check=_quantile_flaws,
    examples=[
        Example(predictions=[[1.0], [3.0]], labels=[2.0, 2.0], value=0.5),
        Example(predictions=[[1.0, 2.0, 5.0]], labels=[3.0], quantiles=[0.1, 0.5, 0.9], value=(0.2 + 0.5 + 0.2) / 3),
    ],
)
def quantile(
    predictions: Values[Tensor, "*shape Q"],
    labels: Values[Tensor, "*shape"],
    *,
    quantiles: Quantiles = [0.5],  # noqa: B006, as nobody changes it
) -> Unreduced[Tensor, "*shape"]:
    r"""Quantile loss, also called pinball loss: errors on one side cost more than on the other.

    A quantile of 0.9 is the number that nine labels out of ten stay below. To learn it, a prediction that is too low costs
    0.9 for each unit of error and one that is too high only 0.1: the best constant prediction is then exactly that quantile.
    Several quantiles at once, say 0.1, 0.5 and 0.9, make an interval with a middle; the loss is their mean. With 0.5 alone it
    is half of `mae`. Predicted quantiles may cross (0.1 above 0.9): nothing here forbids it, sorting them repairs it.

    scikit-learn's `mean_pinball_loss` has one quantile, as `alpha`; some libraries add up over the quantiles where this takes
    the mean: multiply by their number. Where a prediction is exact the gradient is 0.

    Formula:
        \ell_i = \frac{1}{Q} \sum_{k=1}^{Q} \max \left( q_k \, (y_i - x_{ik}), \; (q_k - 1)(y_i - x_{ik}) \right)

    Args:
        predictions: estimates $x$ of the quantiles, which are the last dimension, in the order of `quantiles`.
        labels: observations $y$; the shape of `predictions` without its last dimension.
        quantiles: which quantiles $q$ are predicted, each between 0 and 1.

    Returns:
        one loss per label, in the unit of the labels.

    Use when:
        a range is wanted rather than one number, or too much and too little cost differently: stock to order, energy and load,
        delivery times, staffing, value at risk, safety margins.

    Avoid when:
        only the middle matters (take `mae` or `mse`), or a whole distribution is predicted (take `crps_gaussian`,
        `crps_ensemble` or `gaussian_nll`).

    Source:
        Koenker and Bassett, Regression Quantiles, 1978. https://doi.org/10.2307/1913643; scikit-learn, mean_pinball_loss.
    """
    difference = labels.unsqueeze(-1) - predictions
    share = torch.tensor(quantiles, dtype=difference.dtype, device=difference.device)
    return (torch.where(difference < 0, 1 - share, share) * difference.abs()).mean(-1)


@loss(
    suits={
        "asymmetric_costs": "`tau` weighs squared errors on the two sides.",
        "large_errors": "Errors count squared, each side with a weight of its own.",
    },
    sweeps=7,
    examples=[Example(predictions=[1.0, 3.0], labels=[2.0, 2.0], tau=0.9, value=0.5)],
)
def expectile(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, tau: OpenFraction = 0.5
) -> Unreduced[Tensor, "*shape"]:
    r"""Expectile loss: squared error that weighs predictions which are too low and too high differently.

    What the quantile is to the median, the expectile is to the mean: with `tau` 0.9 a prediction that is too low costs nine
    times as much as one that is too high by the same amount, so the best constant prediction lies well above the mean. Unlike
    `quantile` it is smooth and takes the size of errors into account, and unlike quantiles expectiles have no frequency that
    could be read off. With `tau` 0.5 it is half of `mse`. In reinforcement learning it estimates the value of the best action
    without ever taking a maximum (implicit Q-learning, `tau` 0.7 to 0.9).

    Formula:
        \ell_i = |\tau - [u_i < 0]| \, u_i^2, \qquad u_i = y_i - x_i

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        tau: the weight $\tau$ of predictions that are too low; the others have $1 - \tau$.

    Returns:
        one loss per element, in the unit of the labels squared.

    Use when:
        too low and too high are not equally bad and large errors are worse than in proportion: expected shortfall, reserves,
        capacity, or values in offline reinforcement learning.

    Avoid when:
        a level is wanted that a known share of labels stays below, or labels hold outliers: take `quantile`.

    Source:
        Newey and Powell, Asymmetric Least Squares Estimation and Testing, 1987. https://doi.org/10.2307/1911031; in
        reinforcement learning: Kostrikov et al., 2021. https://arxiv.org/abs/2110.06169.
    """
    difference = labels - predictions
    return torch.where(difference < 0, difference.new_tensor(1 - tau), tau) * difference.square()


@loss(
    suits={
        "intervals": "It scores a normal forecast in the unit of the labels, and is stable where likelihoods are not.",
        "outliers": "It grows in proportion to the error, where a likelihood grows with its square.",
    },
    chunked=False,
    examples=[
        Example(predictions=[0.0], labels=[0.0], scale=[1.0], value=(sqrt(2) - 1) / sqrt(pi)),
        Example(
            predictions=[1.0],
            labels=[3.0],
            scale=[2.0],
            value=2 * (erf(sqrt(0.5)) + 2 * exp(-0.5) / sqrt(2 * pi) - 1 / sqrt(pi)),
        ),
    ],
)
def crps_gaussian(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], scale: Scales[Tensor, "*shape"]
) -> Unreduced[Tensor, "*shape"]:
    r"""Continuous ranked probability score of a normal distribution: an absolute error for forecasts with uncertainty.

    It compares the whole forecast with what happened, as the area between two curves: the forecast's cumulative probability,
    and a step at the label. Without uncertainty (`scale` 0) it is the absolute error; claiming some pays off when the
    forecast is uncertain and costs when it was right. Like `gaussian_nll` it is smallest on average for the true mean and
    spread, but it stays in the unit of the labels and grows only in proportion to the error, so a few surprises do not take
    over.

    Formula:
        \ell_i = \sigma_i \left( z_i \, (2 \Phi(z_i) - 1) + 2 \varphi(z_i) - \frac{1}{\sqrt{\pi}} \right), \qquad
        z_i = \frac{y_i - x_i}{\sigma_i}

    Args:
        predictions: expected values $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        scale: predicted standard deviations $\sigma$, not variances; same shape as `predictions`.

    Returns:
        one loss per element, in the unit of the labels.

    Use when:
        forecasts state their uncertainty and are compared with others, some of them mere numbers: weather, energy, demand,
        traffic, hydrology; or `gaussian_nll` is unstable.

    Avoid when:
        densities matter, as in likelihood ratios (take `gaussian_nll`), or the forecast is a set of samples (take
        `crps_ensemble`).

    Source:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007.
        https://doi.org/10.1198/016214506000001437.
    """
    difference = labels - predictions
    # The derivative with respect to z vanishes, so z may be taken as a constant: nothing is divided by a small scale twice.
    with torch.no_grad():
        some = torch.where(scale > 0, scale, 1.0)
        sure = difference.abs() > 50 * scale
        z = torch.where(sure, difference.sign() * 50, difference / torch.where(sure, 1.0, some))
        sided, density = torch.erf(z / sqrt(2)), torch.exp(-z.square() / 2) * sqrt(2 / pi)
    return difference * sided + scale * (density - 1 / sqrt(pi))


def _member_flaws(arguments: Arguments) -> Iterator[Flaw]:
    if arguments["predictions"].shape[-1] == 0:
        yield Flaw(
            "/predictions",
            f"predictions has shape {list(arguments['predictions'].shape)}; expected at least one member.",
        )


@loss(
    suits={"intervals": "It scores forecasts that are samples, without a formula for their distribution."},
    copies=7,
    sweeps=40,
    chunked=False,
    check=_member_flaws,
    examples=[
        Example(predictions=[[1.0, 3.0, 4.0]], labels=[2.0], value=4 / 3 - 1.0),
        Example(predictions=[[1.0, 3.0, 4.0]], labels=[2.0], fair=False, value=4 / 3 - 2 / 3),
    ],
)
def crps_ensemble(
    predictions: Values[Tensor, "N E"], labels: Values[Tensor, "N"], *, fair: bool = True
) -> Unreduced[Tensor, "N"]:
    r"""Continuous ranked probability score of an ensemble: several forecasts of the same number, judged together.

    The first part is the mean absolute error of the members. The second takes off half of their mean distance from each other,
    so an ensemble is rewarded for spreading as much as its members err, and no more. A single member gives the absolute
    error.

    The plain estimate counts each member's distance 0 from itself and so favours small ensembles that spread too little;
    with `fair` the mean runs over different members only, and ensembles of different sizes can be compared. The fair score of
    a single sample can be negative. torchmetrics (`ContinuousRankedProbabilityScore`) and most libraries have the plain one:
    `fair` false.

    Formula:
        \ell_n = \frac{1}{E} \sum_{i=1}^{E} |x_{ni} - y_n| - \frac{1}{2 E (E - 1)} \sum_{i,j} |x_{ni} - x_{nj}|, \qquad
        \text{not fair:} \; E^2 \; \text{in place of} \; E (E - 1)

    Args:
        predictions: the members of the ensemble $x$, one row per sample.
        labels: observations $y$, one per sample.
        fair: divides by the number of pairs of different members.

    Returns:
        one loss per sample, in the unit of the labels.

    Use when:
        forecasts are samples: ensembles in weather and climate, dropout or deep ensembles, diffusion and other generative
        models of time series.

    Avoid when:
        the distribution is known by its parameters (take `crps_gaussian` or `gaussian_nll`), or members are vectors whose
        correlation matters.

    Source:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007.
        https://doi.org/10.1198/016214506000001437; fair: Ferro, Fair Scores for Ensemble Forecasts, 2014.
        https://doi.org/10.1002/qj.2270.
    """
    members = predictions.shape[-1]
    error = (predictions - labels.unsqueeze(-1)).abs().mean(-1)
    if members < 2:
        return error
    # The gap between neighbours in order lies between k (E - k) pairs: E log E steps, and no difference of large sums.
    gaps = predictions.sort(-1).values.diff()
    below = torch.arange(1, members, dtype=gaps.dtype, device=gaps.device)
    pairs = members * (members - 1 if fair else members)
    return error - (gaps * (below * (members - below) / pairs)).sum(-1)
