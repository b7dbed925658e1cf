"""Negative log-likelihoods of numbers under distributions whose parameters are predicted."""

from __future__ import annotations

from collections.abc import Iterator
from math import lgamma, log, pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses._logarithms import excess, log1p_square, log_ratio
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import (
    Counts,
    Fraction,
    NonNegative,
    Positive,
    Positives,
    Scales,
    Unreduced,
    Values,
    Variances,
)

FAMILY = "regression"
TASKS = ("regression",)


def _scale_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.positive(arguments, "scale")


def _mean_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.positive(arguments, "predictions")


@loss(
    minimum=None,
    suits={"intervals": "Mean and variance are learned together, and samples with a large variance are not given up."},
    chunked=False,
    check=_flaws.variances,
    examples=[
        Example(predictions=[1.0], labels=[3.0], variance=[4.0], value=2 * (log(2) + 0.5)),
        Example(predictions=[1.0], labels=[3.0], variance=[4.0], beta=1.0, value=4 * (log(2) + 0.5)),
    ],
)
def beta_nll(
    predictions: Values[Tensor, "*shape | *batch D | *shape"],
    labels: Values[Tensor, "*shape | *batch D | *shape"],
    variance: Variances[Tensor, "*shape | *batch | ~*shape"],
    *,
    beta: Fraction = 0.5,
    full: bool = False,
    eps: NonNegative = 1e-6,
) -> Unreduced[Tensor, "*shape | *batch D | *shape"]:
    r"""Gaussian negative log-likelihood that does not give up on samples which are hard to predict.

    `gaussian_nll` divides squared errors by the variance, so the mean learns little wherever the model already claims a large
    one: it can explain hard samples away as noise. Here each sample's loss is multiplied by its variance to the power of
    `beta`, as a number without gradient. With `beta` 0 that is `gaussian_nll`; with 1 the mean learns as it does under `mse`;
    0.5 is the compromise that its authors recommend. Because of the factor the value itself means little: compare models by
    `gaussian_nll`.

    Gradients are those of the formula with the factor $v_i^\beta$ held fixed. The constant of `full` is inside the product.

    Formula:
        \ell_i = \lfloor v_i^{\beta} \rfloor \; \tfrac{1}{2} \left( \log v_i + \frac{(x_i - y_i)^2}{v_i} \right),
        \qquad v_i = \max(\sigma_i^2, \epsilon), \qquad \lfloor \cdot \rfloor \; \text{without gradient}

    Args:
        predictions: expected values $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        variance: predicted variances $\sigma^2$; in the shape of `predictions`, or with one dimension of size 1, or without the
            last one.
        beta: how much of the weight that a large variance takes away is given back.
        full: adds the constant that makes it a proper log-density, $\tfrac{1}{2} \log 2 \pi$.
        eps: smallest variance $\epsilon$ that is used.

    Returns:
        one loss per element.

    Use when:
        mean and variance are learned together and `gaussian_nll` gets stuck with poor means and large variances: dynamics
        models in reinforcement learning, regression with noise that varies, variational autoencoders.

    Avoid when:
        the value must be a likelihood (take `gaussian_nll`), or no variance is predicted (take `mse`).

    Source:
        Seitzer et al., On the Pitfalls of Heteroscedastic Uncertainty Estimation with Probabilistic Neural Networks, 2022.
        https://arxiv.org/abs/2203.09168.
    """
    values = F.gaussian_nll_loss(predictions, labels, variance, full=full, eps=eps, reduction="none")
    used = variance.detach().clamp(min=eps)
    if used.ndim < values.ndim:
        used = used.unsqueeze(-1)
    return used**beta * values


@loss(
    minimum=None,
    suits={
        "intervals": "A scale is learned beside the median, for tails heavier than normal ones.",
        "outliers": "An error counts in proportion, divided by a scale that is learned.",
    },
    chunked=False,
    check=_scale_flaws,
    examples=[Example(predictions=[1.0], labels=[3.0], scale=[2.0], value=log(4) + 1)],
)
def laplace_nll(
    predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"], scale: Positives[Tensor, "*shape"]
) -> Unreduced[Tensor, "*shape"]:
    r"""Negative log-likelihood under a Laplace distribution whose scale is predicted: absolute error with uncertainty.

    As `gaussian_nll` is to `mse`, this is to `mae`. Errors are divided by the scale, so claiming certainty makes mistakes
    dear, and the logarithm makes claiming ignorance dear as well: the best scale is the absolute error to be expected. The
    best prediction is the median. Its tails are heavier than the normal distribution's, so outliers count in proportion to
    their distance only.

    Formula:
        \ell_i = \log (2 b_i) + \frac{|x_i - y_i|}{b_i}

    Args:
        predictions: locations $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        scale: predicted scales $b$, above 0, in the unit of the labels; the standard deviation is $\sqrt{2} \, b$.

    Returns:
        one loss per element, in nats; negative where the density is above 1.

    Use when:
        uncertainty is predicted and errors have heavier tails than normal ones: trajectories of vehicles and people, depth,
        key points, demand.

    Avoid when:
        tails are heavier still (take `student_t_nll`), noise is normal (take `gaussian_nll`), or no scale is predicted (take
        `mae`).

    Source:
        Laplace, Mémoire sur la probabilité des causes, 1774; scipy.stats.laplace.
    """
    return scale.log() + log(2) + (predictions - labels).abs() / scale


def _student_constant(df: float) -> float:
    """log Γ(ν/2) - log Γ((ν + 1)/2) + log(νπ)/2, where the difference of two large numbers is a series."""
    if df > 300:
        return log(2 * pi) / 2 + 1 / (4 * df) - 1 / (24 * df * df * df)
    return lgamma(df / 2) - lgamma((df + 1) / 2) + log(df * pi) / 2


@loss(
    minimum=None,
    suits={
        "intervals": "A scale is learned, which outliers cannot inflate as they do under a normal distribution.",
        "outliers": "An error that is far off pulls ever less, the farther it is.",
    },
    copies=6,
    sweeps=25,
    chunked=False,
    check=_scale_flaws,
    examples=[
        Example(predictions=[1.0], labels=[1.0], scale=[2.0], value=log(2 * 8 / 3)),
        Example(predictions=[0.0], labels=[1.0], scale=[1.0], df=1.0, value=log(2 * pi)),
    ],
)
def student_t_nll(
    predictions: Values[Tensor, "*shape"],
    labels: Values[Tensor, "*shape"],
    scale: Positives[Tensor, "*shape"],
    *,
    df: Positive = 4.0,
) -> Unreduced[Tensor, "*shape"]:
    r"""Negative log-likelihood under Student's t distribution: for noise with heavy tails, and a predicted scale.

    Small errors cost about as under `gaussian_nll`, large ones only in proportion to their logarithm, so that an outlier
    pulls less the farther off it is. The degrees of freedom say how heavy the tails are: 1 is Cauchy's distribution, 4 is
    usual for robust regression, and beyond some 30 it is hardly different from the normal one. The scale is not the standard
    deviation, which is $\sigma \sqrt{\nu / (\nu - 2)}$ for $\nu > 2$ and infinite otherwise.

    Formula:
        \ell_i = \log \Gamma \left( \tfrac{\nu}{2} \right) - \log \Gamma \left( \tfrac{\nu + 1}{2} \right)
        + \tfrac{1}{2} \log (\nu \pi) + \log \sigma_i
        + \tfrac{\nu + 1}{2} \log \left( 1 + \frac{(x_i - y_i)^2}{\nu \, \sigma_i^2} \right)

    Args:
        predictions: locations $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        scale: predicted scales $\sigma$, above 0, in the unit of the labels.
        df: the degrees of freedom $\nu$; the fewer, the heavier the tails.

    Returns:
        one loss per element, in nats.

    Use when:
        uncertainty is predicted and some labels are far off: returns in finance, sensors that drop out, positions from radar
        or GPS, forecasts of series with shocks.

    Avoid when:
        noise is close to normal (take `gaussian_nll`), or training starts far from the solution, where gradients are small:
        begin with `laplace_nll`.

    Source:
        Lange, Little and Taylor, Robust Statistical Modeling Using the t Distribution, 1989.
        https://doi.org/10.1080/01621459.1989.10478852; scipy.stats.t.
    """
    spread = log1p_square(predictions - labels, scale * sqrt(df))
    return scale.log() + _student_constant(df) + (df + 1) / 2 * spread


def _stirling(inverse: Tensor) -> Tensor:
    """Returns what Stirling's approximation of log Γ(z) lacks, of 1 / z for z of at least 16: to 14 digits."""
    square = inverse.square()
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


def _stirling_error(number: Tensor) -> Tensor:
    """log Γ(z) - ((z - 1/2) log z - z + log(2π)/2) for any z above 0."""
    large = number > 16
    small = torch.where(large, 1.0, number)
    exact = torch.lgamma(small) - (small - 0.5) * small.log() + small - log(2 * pi) / 2
    return torch.where(large, _stirling(torch.where(large, number, 16.0).reciprocal()), exact)


def _log_factorial_excess(counts: Tensor) -> Tensor:
    """log y! - (y log y - y), which has no large numbers to subtract."""
    large = counts > 16
    some = torch.where(large, counts, 16.0)
    small = torch.where(large, 1.0, counts)
    exact = torch.lgamma(small + 1) - torch.xlogy(small, small) + small
    return torch.where(large, _stirling(some.reciprocal()) + (2 * pi * some).log() / 2, exact)


def _log_defect(number: Tensor, logarithm: Tensor) -> Tensor:
    """1 - log(1 + s) / s for s above -1, given the logarithm; 0 at 0."""
    near = number.abs() < 0.02
    small = torch.where(near, number, 0.0)
    series = torch.zeros_like(small)
    for power in range(9, 0, -1):
        series = small * ((-1) ** (power + 1) / (power + 1) + series)
    return torch.where(near, series, 1 - logarithm / torch.where(near, 1.0, number))


@loss(
    suits={
        "counts": "It is the likelihood of counts that vary more than their mean says.",
        "intervals": "A dispersion is learned beside the mean.",
    },
    copies=25,
    sweeps=140,
    chunked=False,
    check=_mean_flaws,
    examples=[
        Example(predictions=[1.0, 2.0], labels=[0.0, 1.0], dispersion=[1.0, 1.0], value=(log(2) + log(4.5)) / 2),
        Example(predictions=[2.0], labels=[3.0], dispersion=[0.0], value=2 + log(6) - 3 * log(2)),
    ],
)
def negative_binomial_nll(
    predictions: Positives[Tensor, "*shape"], labels: Counts[Tensor, "*shape"], dispersion: Scales[Tensor, "*shape"]
) -> Unreduced[Tensor, "*shape"]:
    r"""Negative log-likelihood of counts that vary more than their mean says.

    Real counts are rarely as regular as Poisson's distribution wants: customers come in groups, some days are special. Here
    the variance is the mean plus `dispersion` times its square, so that large counts may scatter in proportion to their size.
    A dispersion of 0 is Poisson's distribution, 1 the geometric one. Both numbers are predicted, so the model says how sure it
    is.

    The same distribution is often written with a number of failures $r = 1 / \alpha$ (`total_count` in torch, `size` in R) and
    a probability: in torch's `NegativeBinomial` the logits are $\log \alpha \mu$. Everything is arranged so that counts in the
    millions and dispersions near 0 keep their digits. The labels have no gradient.

    Formula:
        \ell_i = \log \Gamma(r_i) + \log \Gamma(y_i + 1) - \log \Gamma(y_i + r_i) + r_i \log (1 + \alpha_i \mu_i)
        - y_i \log \frac{\alpha_i \mu_i}{1 + \alpha_i \mu_i}, \qquad r_i = \frac{1}{\alpha_i}

    Args:
        predictions: expected counts $\mu$, above 0.
        labels: observed counts $y$; fractions are accepted.
        dispersion: predicted dispersions $\alpha$, at least 0: the variance is $\mu + \alpha \mu^2$.

    Returns:
        one loss per element, in nats.

    Use when:
        counts are over-dispersed: sales of products that are bought in bulk, visits, reads in genomics, cases of a disease,
        claims, defects.

    Avoid when:
        the variance equals the mean (take `poisson_nll`), amounts are not counts (take `tweedie`), or zeros are far more
        frequent than even this distribution allows.

    Source:
        Salinas et al., DeepAR: Probabilistic Forecasting with Autoregressive Recurrent Networks, 2017.
        https://arxiv.org/abs/1704.04110; evaluated as in Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
    """
    few = dispersion > 1 / 16
    some = torch.where(few, dispersion, 1.0)
    rare = torch.where(few, 0.0, dispersion)
    # What Stirling's formula lacks at r and at r + y, each directly where r is small and by its inverse where it is large.
    at_r = torch.where(few, _stirling_error(some.reciprocal()), _stirling(rare))
    at_sum = torch.where(few, _stirling_error(some.reciprocal() + labels), _stirling(rare / (1 + rare * labels)))
    difference = labels - predictions
    growth, grown = 1 + dispersion * predictions, 1 + dispersion * labels
    # y log(y / m) - y + m with m = μ (1 + αy) / (1 + αμ), and the same for r.
    counted = excess(labels, predictions * (grown / growth), difference / growth)
    ratio = log_ratio(grown, growth, dispersion * difference)
    failures = difference / growth * _log_defect(dispersion * (difference / growth), ratio)
    return _log_factorial_excess(labels) + at_r - at_sum + grown.log() / 2 + counted + failures
