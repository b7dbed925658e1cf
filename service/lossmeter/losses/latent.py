"""Losses for codes that a model makes of its input."""

from __future__ import annotations

from math import e

import torch
from torch import Tensor

from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import LogVariances, Unreduced, Values

FAMILY = "other"
TASKS = ("generation",)


@loss(
    suits={"divergence_penalty": "It is the exact divergence of a normal distribution from the standard one."},
    chunked=False,
    examples=[
        Example(mean=[[1.0, 2.0]], log_variance=[[0.0, 0.0]], value=2.5),
        Example(mean=[[0.0]], log_variance=[[1.0]], value=(e - 2) / 2),
    ],
)
def vae_kl(mean: Values[Tensor, "N D"], log_variance: LogVariances[Tensor, "N D"]) -> Unreduced[Tensor, "N"]:
    r"""The divergence of a normal distribution from the standard one: what keeps the codes of an autoencoder in order.

    A variational autoencoder describes each input by a mean and a variance per dimension of its code. This loss is 0 where they
    are 0 and 1, the distribution that codes are later drawn from, and grows as they move away; it is the number of nats that
    the code may say about the input. Added to a loss of reconstruction it gives the evidence lower bound, negated. A weight
    on it other than 1 makes a $\beta$-VAE.

    The sum runs over the dimensions of a code, and `mean` divides by the number of samples: add it to a reconstruction that is
    summed over a sample too, or scale one of them. The model predicts logarithms of variances, not of standard deviations.

    Formula:
        \ell_n = -\tfrac{1}{2} \sum_{d=1}^{D} \left( 1 + \log \sigma_{nd}^2 - \mu_{nd}^2 - \sigma_{nd}^2 \right)

    Args:
        mean: the means of the code $\mu$, one row per sample.
        log_variance: the logarithms of its variances $\log \sigma^2$; same shape as `mean`.

    Returns:
        one loss per sample, in nats, not negative.

    Use when:
        variational autoencoders are trained: images, molecules, recommendations, anomalies, latents of diffusion models; or
        any normal distribution is to stay near the standard one (information bottleneck).

    Avoid when:
        the reference is another distribution than the standard normal one, or distributions are over classes (take `kl_div`).

    Source:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013. https://arxiv.org/abs/1312.6114.
    """
    # exp(v) - 1 by expm1: a log-variance near 0 costs the square of it, of which exp(v) would leave nothing.
    return (mean.square() + (torch.expm1(log_variance) - log_variance)).sum(-1) / 2
