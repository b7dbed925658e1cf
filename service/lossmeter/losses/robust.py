"""Losses for numbers that do not let single outliers take over."""

from __future__ import annotations

from math import copysign, cosh, log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._logarithms import log1p_square
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Positive, Real, Unreduced, Values

FAMILY = "regression"
TASKS = ("regression",)


@loss(
    suits={"outliers": "It is smooth everywhere, and its gradient never exceeds 1."},
    aliases=["log_cosh_error", "log_cosh_loss"],
    copies=6,
    chunked=False,
    examples=[Example(predictions=[0.0, 2.0], labels=[0.0, 0.0], value=log(cosh(2)) / 2)],
)
def log_cosh(predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""The logarithm of the hyperbolic cosine of the error: a smooth mixture of squared and absolute error.

    Near zero it is half the square of the error, far away the size of the error less log 2 = 0.69, and between them it
    bends without a kink. Its gradient is the hyperbolic tangent of the error: at most 1 in size, so that no single sample
    pulls harder than a bounded amount, and defined everywhere. It is much like `huber` with a threshold of 1, for
    optimisers that need second derivatives. keras, optax and torchmetrics compute the same.

    Formula:
        \ell_i = \log \cosh (x_i - y_i)

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element.

    Use when:
        a smooth loss is wanted that large errors cannot dominate: gradient boosting, reconstruction in autoencoders,
        sensor readings with spikes.

    Avoid when:
        the size at which errors become large is not about 1 and the labels cannot be rescaled: take `huber` or `barron`.

    Source:
        Saleh and Saleh, Statistical Properties of the log-cosh Loss Function Used in Machine Learning, 2022.
        https://arxiv.org/abs/2208.04564; keras, optax and torchmetrics under the same name.
    """
    size = (predictions - labels).abs()
    small = size < 1
    # log(1 + 2 sinh(d/2)^2) does not cancel, |d| + log(1 + exp(-2|d|)) - log 2 does not overflow.
    near = torch.log1p(2 * torch.sinh(torch.where(small, size, 0.0) / 2).square())
    return torch.where(small, near, size + F.softplus(-2 * size) - log(2))


@loss(
    suits={"outliers": "It is the absolute error without a kink, which keeps edges of images sharp."},
    chunked=False,
    sweeps=5,
    examples=[Example(predictions=[3.0, 0.0], labels=[0.0, 0.0], epsilon=4.0, value=4.5)],
)
def charbonnier(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, epsilon: Positive = 1e-3
) -> Unreduced[Tensor, "*shape"]:
    r"""Charbonnier loss: the absolute error with its kink at zero rounded off.

    For errors much larger than $\varepsilon$ it is the absolute error, for much smaller ones it is
    $\varepsilon + d^2 / (2 \varepsilon)$, so the gradient goes smoothly through zero and never exceeds 1 in size. A perfect
    prediction costs $\varepsilon$, not 0, as in most code for image restoration; kornia takes $\varepsilon = 1$ and subtracts
    it: $\sqrt{d^2 + 1} - 1$. That is `barron` with alpha 1, and this less `epsilon`.

    Formula:
        \ell_i = \sqrt{(x_i - y_i)^2 + \varepsilon^2}

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        epsilon: the error $\varepsilon$ at which the square turns into a line, in the unit of the labels.

    Returns:
        one loss per element, in the unit of the labels.

    Use when:
        images are restored or enlarged (super-resolution, denoising, deblurring) and edges should stay sharp; optical flow,
        depth, and wherever `mae` is meant but an optimiser stumbles over its kink.

    Avoid when:
        perfect predictions must cost exactly 0 (take `huber` or `barron`), or large errors are truly worse (take `mse`).

    Source:
        Charbonnier et al., Two Deterministic Half-Quadratic Regularization Algorithms for Computed Imaging, 1994.
        https://doi.org/10.1109/ICIP.1994.413553; kornia.losses.charbonnier_loss (less epsilon).
    """
    difference = predictions - labels
    # The smallest normal number, lest an epsilon too small for the precision make 0 / 0 of the gradient.
    return torch.hypot(difference, difference.new_tensor(max(epsilon, torch.finfo(difference.dtype).tiny)))


@loss(
    suits={"outliers": "`alpha` says how little outliers should count, from not at all to as in `mse`."},
    copies=8,
    sweeps=30,
    chunked=False,
    examples=[
        Example(predictions=[2.0, 0.0], labels=[0.0, 0.0], value=(sqrt(5) - 1) / 2),
        Example(predictions=[2.0], labels=[0.0], alpha=2.0, value=2.0),
        Example(predictions=[2.0], labels=[0.0], alpha=0.0, value=log(3)),
        Example(predictions=[2.0], labels=[0.0], alpha=-2.0, scale=2.0, value=2 * 1 / (1 + 4)),
    ],
)
def barron(
    predictions: Values[Tensor, "*shape"],
    labels: Values[Tensor, "*shape"],
    *,
    alpha: Real = 1.0,
    scale: Positive = 1.0,
) -> Unreduced[Tensor, "*shape"]:
    r"""The general robust loss: one family in which the indifference to outliers is a number.

    Errors well below `scale` are always squared. What happens beyond it is set by `alpha`: 2 goes on squaring (half of `mse`),
    1 continues as a line (`charbonnier` of epsilon 1, less 1), 0 grows like a logarithm (Cauchy's or the Lorentzian loss), -2
    levels off at 2 (Geman and McClure's), and towards minus infinity it becomes Welsch's loss, which levels off at 1. Below
    1 the largest errors pull less than medium ones, and below 0 hardly at all: outliers are then ignored. kornia's
    `cauchy_loss`, `geman_mcclure_loss` and `welsch_loss` are those with alpha 0, -2 and, say, -1e8.

    Formula:
        \ell_i = \frac{|\alpha - 2|}{\alpha} \left( \left( \frac{d_i^2}{|\alpha - 2|} + 1 \right)^{\alpha / 2} - 1 \right),
        \qquad d_i = \frac{x_i - y_i}{c}, \qquad
        \alpha = 0: \; \log(\tfrac{1}{2} d_i^2 + 1), \quad \alpha = 2: \; \tfrac{1}{2} d_i^2

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        alpha: the shape $\alpha$: the smaller, the less outliers count.
        scale: the error $c$ at which the square ends, in the unit of the labels.

    Returns:
        one loss per element, without a unit.

    Use when:
        it has to be found out how robust a loss should be, or it is to be annealed during training: depth and optical flow,
        registration of point clouds, bundle adjustment, image synthesis, any regression with gross outliers.

    Avoid when:
        training starts far from the solution and `alpha` is below 1, since far-off samples then pull too little: begin with 1
        or 2. If only the usual robustness is wanted, `huber` is easier to explain.

    Source:
        Barron, A General and Adaptive Robust Loss Function, 2019. https://arxiv.org/abs/1701.03077; kornia.
    """
    difference = predictions - labels
    width = abs(alpha - 2)
    if width == 0:
        return (difference / scale).square() / 2
    limits = torch.finfo(difference.dtype)
    grown = torch.expm1 if alpha > 0 else _grown
    if abs(alpha) * limits.eps > 1e6:  # (z² / α + 1)^(α/2) is exp(z²/2) to the last digit, wherever that is a number
        half = copysign(0.5, alpha) * (difference / scale).clamp(-1e9, 1e9).square()
        return copysign(1.0, alpha) * grown(half)
    # (z² + 1)^(α/2) - 1 as expm1(α/2 log(1 + z²)): exact for small errors, and for α near 0.
    logarithm = log1p_square(difference, difference.new_tensor(max(scale * sqrt(width), limits.tiny)))
    if abs(alpha) < limits.eps / 1e3:
        return width / 2 * logarithm
    return width / alpha * grown(alpha / 2 * logarithm)


def _grown(exponent: Tensor) -> Tensor:
    """exp(x) - 1 of numbers up to 0. The derivative of expm1 is the result + 1, which has no digits left near -1."""
    near = exponent > -1
    return torch.where(near, torch.where(near, exponent, 0.0).expm1(), exponent.exp() - 1)
