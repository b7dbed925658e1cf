"""Losses between sets of samples: how far one has to be moved to become the other."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import Unreduced, Values

FAMILY = "other"
TASKS = ("generation",)


def _sample_flaws(arguments: Arguments) -> Iterator[Flaw]:
    shape = list(arguments["predictions"].shape)
    if shape[-1] == 0:
        yield Flaw("/predictions", f"predictions has shape {shape}; expected at least one sample in a row.")


@loss(
    sweeps=25,
    chunked=False,
    check=_sample_flaws,
    examples=[Example(predictions=[[0.0, 1.0, 3.0]], labels=[[8.0, 5.0, 6.0]], value=5.0)],
)
def wasserstein_1d(predictions: Values[Tensor, "N D"], labels: Values[Tensor, "N D"]) -> Unreduced[Tensor, "N"]:
    r"""Wasserstein distance, or earth mover's distance, of two sets of numbers: how far one must be moved to be the other.

    Both rows are sets of samples, in any order. The smallest of one is matched with the smallest of the other, the next with
    the next, and so on, and the loss is the mean distance of the pairs. Unlike a divergence it tells how far apart
    distributions are even where they do not overlap, and stays in the unit of the numbers. It is `mae` of the sorted rows.
    Among equal numbers the gradient follows the order in which they were sorted.

    Formula:
        \ell_n = \frac{1}{D} \sum_{k=1}^{D} |x_{n(k)} - y_{n(k)}|, \qquad
        x_{n(1)} \le x_{n(2)} \le \dots \; \text{sorted}

    Args:
        predictions: samples $x$ of the first distribution, a set in each row.
        labels: samples $y$ of the second distribution; same shape as `predictions`.

    Returns:
        one loss per pair of sets, in the unit of the numbers.

    Use when:
        distributions of numbers should agree and single numbers need not: calibration of simulators, histograms of colours or
        energies, projections of point clouds (sliced Wasserstein distance), fairness of scores between groups.

    Avoid when:
        each number has a partner of its own (take `mae`), samples are vectors, or distributions are given over classes (take
        `emd` or `js_div`).

    Source:
        Ramdas, Garcia and Cuturi, On Wasserstein Two Sample Testing and Related Families of Nonparametric Tests, 2015.
        https://arxiv.org/abs/1509.02237; scipy.stats.wasserstein_distance.
    """
    return (predictions.sort(-1).values - labels.sort(-1).values).abs().mean(-1)
