"""Losses for numbers: how far predictions lie from what was observed."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import NonNegative, Positive, Unreduced, Values

FAMILY = "regression"
TASKS = ("regression",)


@loss(
    suits={
        "usual": "Noise is roughly normal and the mean is wanted.",
        "large_errors": "An error twice as large costs four times as much.",
    },
    aliases=["mse_loss", "mean_squared_error"],
    sweeps=4,
    examples=[Example(predictions=[2.5, 0.0, 2.0, 8.0], labels=[3.0, -0.5, 2.0, 7.0], value=0.375)],
)
def mse(predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Mean squared error: the average of the squared differences.

    Squaring makes every error positive and makes one large error cost more than many small ones: being off by 10 costs a
    hundred times as much as being off by 1. The best constant prediction under it is the mean. Its gradient grows with the
    error, so far-off predictions are corrected fastest. Its square root (RMSE) is in the unit of the labels.

    Formula:
        \ell_i = (x_i - y_i)^2

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, in the unit of the labels squared.

    Use when:
        errors are roughly normal and large ones are truly worse: house prices, stock series and other forecasts, demand,
        temperature, sensor calibration, image reconstruction.

    Avoid when:
        the labels hold outliers or heavy tails, since a few of them then dominate: take `huber`, `smooth_l1` or `mae`.

    Source:
        Gauss, Theoria motus corporum coelestium, 1809; torch.nn.MSELoss.
    """
    return F.mse_loss(predictions, labels, reduction="none")


@loss(
    suits={"outliers": "Outliers pull no harder than others, as every unit of error costs the same."},
    aliases=["l1", "l1_loss", "mean_absolute_error"],
    sweeps=5,
    examples=[Example(predictions=[2.5, 0.0, 2.0, 8.0], labels=[3.0, -0.5, 2.0, 7.0], value=0.5)],
)
def mae(predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Mean absolute error: the average size of the differences.

    Every unit of error costs the same, however large the error already is, so single outliers cannot take over. The best
    constant prediction under it is the median. The gradient is the sign of the error (0 where it vanishes), which does not
    shrink near the optimum: lower the learning rate towards the end.

    Formula:
        \ell_i = |x_i - y_i|

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, in the unit of the labels.

    Use when:
        the data hold outliers or the tails are heavy, and the typical case matters: risk and returns in finance, delivery
        times, incomes, energy load; whenever the figure must be explained in the unit of the labels.

    Avoid when:
        large errors are disproportionately harmful (take `mse`), or a smooth gradient near zero is needed (take `huber`).

    Source:
        Laplace, Mémoire sur la probabilité des causes, 1774; torch.nn.L1Loss.
    """
    return F.l1_loss(predictions, labels, reduction="none")


@loss(
    tasks=["regression", "detection"],
    suits={"outliers": "Gradients are bounded by 1, and smooth near zero."},
    aliases=["smooth_l1_loss"],
    # In float32 the last few elements of a tensor are rounded differently: pieces are not bit-equal.
    chunked=False,
    sweeps=4,
    examples=[Example(predictions=[0.0, 3.0], labels=[0.0, 0.0], beta=2.0, value=1.0)],
)
def smooth_l1(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, beta: NonNegative = 1.0
) -> Unreduced[Tensor, "*shape"]:
    r"""Squared error near zero, absolute error beyond, with slope 1 in the tails.

    It is `huber` divided by its threshold: as `beta` shrinks towards 0 it turns into `mae`, as it grows the whole loss
    flattens. The gradient never exceeds 1 in size, which keeps training steady when some labels are far off.

    Formula:
        \ell_i = \begin{cases} (x_i - y_i)^2 / (2\beta) & |x_i - y_i| < \beta \\
        |x_i - y_i| - \beta / 2 & \text{otherwise} \end{cases}

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        beta: difference at which the quadratic turns linear, in the unit of the labels; 0 gives the absolute error.

    Returns:
        one loss per element, in the unit of the labels.

    Use when:
        coordinates of boxes or key points are regressed in object detection, or any regression has occasional outliers
        and gradients must stay bounded.

    Avoid when:
        the threshold should not change the slope of the tails relative to `mse`: take `huber`.

    Source:
        Girshick, Fast R-CNN, 2015. https://arxiv.org/abs/1504.08083; torch.nn.SmoothL1Loss.
    """
    return F.smooth_l1_loss(predictions, labels, reduction="none", beta=beta)


@loss(
    suits={"outliers": "Small errors count squared, outliers beyond `delta` only in proportion."},
    aliases=["huber_loss"],
    # As with `smooth_l1`: the last few elements of a tensor are rounded differently.
    chunked=False,
    sweeps=4,
    examples=[Example(predictions=[0.0, 3.0], labels=[0.0, 0.0], value=1.25)],
)
def huber(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, delta: Positive = 1.0
) -> Unreduced[Tensor, "*shape"]:
    r"""Squared error near zero, absolute error in the tails.

    Small residuals are treated as normal noise and squared; beyond `delta` the loss goes on as a straight line of slope
    `delta`, so an outlier pulls with bounded force. A large `delta` gives half of `mse`, a small one `delta` times `mae`.

    Formula:
        \ell_i = \begin{cases} \tfrac{1}{2} (x_i - y_i)^2 & |x_i - y_i| < \delta \\
        \delta (|x_i - y_i| - \tfrac{1}{2} \delta) & \text{otherwise} \end{cases}

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        delta: residual at which the quadratic turns linear, in the unit of the labels.

    Returns:
        one loss per element, in the unit of the labels squared.

    Use when:
        most errors are well behaved but some labels are wrong or extreme: robust regression, sensor data with spikes,
        value estimates in reinforcement learning.

    Avoid when:
        no scale for `delta` is known (take `mae`), or there are no outliers (take `mse`).

    Source:
        Huber, Robust Estimation of a Location Parameter, 1964. https://doi.org/10.1214/aoms/1177703732; torch.nn.HuberLoss.
    """
    return F.huber_loss(predictions, labels, reduction="none", delta=delta)
