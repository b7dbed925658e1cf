"""Losses for predictions that are whole distributions: how likely they made what was observed, or how far apart two are."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import LogProbabilities, NonNegative, Unreduced, Values, Variances

FAMILY = "distributions"
TASKS = ("regression",)


def _target_flaws(arguments: Arguments) -> Iterator[Flaw]:
    if not arguments["log_target"]:
        labels = arguments["labels"]
        expected = "a probability between 0 and 1, since log_target is false"
        yield from _flaws.element("labels", labels, (labels < 0) | (labels > 1), expected)


@loss(
    minimum=None,
    tasks=["multiclass"],
    suits={
        "soft_labels": "Labels are whole distributions, as probabilities or as their logarithms.",
        "distillation": "The teacher is a distribution that is known as a whole.",
        "divergence_penalty": "It is the exact divergence from a reference whose distribution is known.",
    },
    aliases=["kl_div_loss", "kl_divergence", "kld", "kullback_leibler_divergence"],
    reductions=["batchmean"],
    check=_target_flaws,
    examples=[
        Example(
            predictions=[[log(0.25), log(0.75)]],
            labels=[[0.5, 0.5]],
            reduction="batchmean",
            value=log(4 / 3) / 2,
        ),
        Example(
            predictions=[[log(0.25), log(0.75)]],
            labels=[[log(0.5), log(0.5)]],
            log_target=True,
            reduction="sum",
            value=log(4 / 3) / 2,
        ),
    ],
)
def kl_div(
    predictions: LogProbabilities[Tensor, "*shape"], labels: Values[Tensor, "*shape"], *, log_target: bool = False
) -> Unreduced[Tensor, "*shape"]:
    r"""Kullback-Leibler divergence: the extra surprise of expecting one distribution where another is true.

    The terms are one per element; their sum over the classes of a sample is its divergence, which is 0 for equal
    distributions and positive otherwise (single terms may be negative). The mean that belongs to it is therefore `batchmean`,
    the sum divided by the size of the first dimension; `mean` also divides by the number of classes, as torch does.
    Predictions are log-probabilities and labels probabilities: mind the difference, or set `log_target`.

    Formula:
        \ell_i = y_i \, (\log y_i - x_i) \qquad \text{or, with log\_target,} \qquad \ell_i = e^{y_i} (y_i - x_i)

    Args:
        predictions: log-probabilities $x$ of the model, such as log_softmax gives.
        labels: probabilities $y$ of the true distribution, or their logarithms with `log_target`; same shape as `predictions`.
        log_target: the labels are log-probabilities.

    Returns:
        one term per element, in nats; their sum over a distribution is its divergence.

    Use when:
        a whole distribution is known: soft labels of several annotators, distillation from a teacher, policies kept near a
        reference, posteriors in variational methods, topic mixtures.

    Avoid when:
        one class is simply right (take `cross_entropy`), or both directions should count alike.

    Source:
        Kullback and Leibler, On Information and Sufficiency, 1951. https://doi.org/10.1214/aoms/1177729694;
        torch.nn.KLDivLoss.
    """
    return F.kl_div(predictions, labels, log_target=log_target, reduction="none")


def _rate_flaws(arguments: Arguments) -> Iterator[Flaw]:
    if not arguments["log_input"]:
        predictions = arguments["predictions"]
        yield from _flaws.element(
            "predictions", predictions, predictions < 0, "a rate of at least 0, since log_input is false"
        )


@loss(
    minimum=None,
    suits={
        "counts": "It is the likelihood of counts whose variance is their mean, and takes the logarithm of the rate.",
    },
    aliases=["poisson_nll_loss"],
    check=_rate_flaws,
    plain_if={"log_input": False},
    sweeps=6,
    examples=[
        Example(predictions=[0.0, log(2)], labels=[1.0, 3.0], value=(1 + 2 - 3 * log(2)) / 2),
        Example(predictions=[2.0], labels=[3.0], log_input=False, eps=0.0, value=2 - 3 * log(2)),
    ],
)
def poisson_nll(
    predictions: Values[Tensor, "*shape"],
    labels: Values[Tensor, "*shape"],
    *,
    log_input: bool = True,
    full: bool = False,
    eps: NonNegative = 1e-8,
) -> Unreduced[Tensor, "*shape"]:
    r"""Negative log-likelihood of counts under a Poisson distribution.

    The model predicts the expected number of events, by default as its logarithm, which keeps it positive. Errors are judged
    relative to the spread that counts naturally have: being off by 5 is nothing at 1000 and a lot at 2. A term that depends
    on the labels alone is left out unless `full` asks for it, so values may be negative.

    Formula:
        \ell_i = e^{x_i} - y_i x_i \quad \text{(log\_input)}, \qquad \ell_i = x_i - y_i \log(x_i + \epsilon) \quad
        \text{(otherwise)}, \qquad
        \text{full:} \; + \, y_i \log y_i - y_i + \tfrac{1}{2} \log(2 \pi y_i) \;\; \text{where } y_i > 1

    Args:
        predictions: logarithm of the expected count $x$, or the expected count itself without `log_input`.
        labels: observed counts $y$; fractions are accepted, as for counts per unit of exposure.
        log_input: the predictions are logarithms.
        full: adds Stirling's approximation of $\log y!$ for labels above 1.
        eps: keeps the logarithm finite at 0; used without `log_input`.

    Returns:
        one loss per element, in nats.

    Use when:
        labels count events: visits, calls, claims, defects, photons, goals, spikes of a neuron.

    Avoid when:
        the counts vary more than their mean says (over-dispersion), hold many extra zeros, or are not counts at all: take
        `gaussian_nll` or `mse`.

    Source:
        Nelder and Wedderburn, Generalized Linear Models, 1972. https://doi.org/10.2307/2344614; torch.nn.PoissonNLLLoss.
    """
    return F.poisson_nll_loss(predictions, labels, log_input=log_input, full=full, eps=eps, reduction="none")


@loss(
    minimum=None,
    suits={"intervals": "A variance is learned beside the mean, for noise that differs from case to case."},
    aliases=["gaussian_nll_loss"],
    check=_flaws.variances,
    examples=[
        Example(predictions=[1.0], labels=[3.0], variance=[4.0], value=log(2) + 0.5),
        Example(predictions=[[1.0, 2.0]], labels=[[3.0, 2.0]], variance=[1.0], reduction="sum", value=2.0),
    ],
)
def gaussian_nll(
    predictions: Values[Tensor, "*shape | *batch D | *shape"],
    labels: Values[Tensor, "*shape | *batch D | *shape"],
    variance: Variances[Tensor, "*shape | *batch | ~*shape"],
    *,
    full: bool = False,
    eps: NonNegative = 1e-6,
) -> Unreduced[Tensor, "*shape | *batch D | *shape"]:
    r"""Negative log-likelihood under a normal distribution whose variance is predicted too.

    The model says not only what it expects but how sure it is. Squared errors are divided by the variance, so claiming
    certainty makes mistakes dear, and the logarithm makes claiming ignorance dear as well: the best variance is the squared
    error to be expected. With a constant variance it is `mse` up to scale.

    A variance below `eps` is raised to it, yet the gradient passes as if it were not, as in torch. One variance per sample may
    serve a whole last dimension, or any one dimension of size 1.

    Formula:
        \ell_i = \tfrac{1}{2} \left( \log \max(v_i, \epsilon) + \frac{(x_i - y_i)^2}{\max(v_i, \epsilon)} \right)
        \qquad \text{full:} \; + \, \tfrac{1}{2} \log 2 \pi

    Args:
        predictions: expected values $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        variance: predicted variances $v$; in the shape of `predictions`, or with one dimension of size 1, or without the last
            one.
        full: adds the constant that makes it a proper log-density.
        eps: smallest variance that is used.

    Returns:
        one loss per element, in nats.

    Use when:
        forecasts must state their uncertainty and noise differs from case to case: energy and demand, sensor fusion, depth
        estimation, dynamics models in reinforcement learning, safety margins.

    Avoid when:
        outliers are frequent, since one of them can inflate the variance; or early training is unstable because the variance
        grows instead of the mean improving: start with `mse`.

    Source:
        Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994.
        https://doi.org/10.1109/ICNN.1994.374138; torch.nn.GaussianNLLLoss.
    """
    # What torch.nn.functional.gaussian_nll_loss computes, which in torch 2.9 takes no dimension of size 1 but the last.
    if variance.shape != predictions.shape and variance.shape == predictions.shape[:-1]:
        variance = variance.unsqueeze(-1)
    variance = variance.clone()
    with torch.no_grad():
        variance.clamp_(min=eps)
    losses = 0.5 * (torch.log(variance) + (predictions - labels) ** 2 / variance)
    return losses + 0.5 * log(2 * pi) if full else losses
