"""Losses for two views of the same samples that need no negatives: they keep the dimensions of an embedding from collapsing."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmeter.losses._similarities import different, directions
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import Embeddings, NonNegative, Unreduced

FAMILY = "embeddings"
TASKS = ("embeddings",)


def _with_samples(arguments: Arguments) -> Support:
    """A batch without samples does not count."""
    return Support() if len(arguments["view1"]) else Support(torch.tensor(False))


def _centred(vectors: Tensor) -> Tensor:
    """Returns vectors less their mean, exactly 0 where all are the same."""
    if not len(vectors):
        return vectors
    shifted = vectors - vectors.detach()[:1]
    return shifted - shifted.mean(0)


@loss(
    suits={
        "unlabelled": "Views agree while dimensions vary and are not correlated; there are no negatives.",
        "small_batches": "Statistics of the batch take the place of negatives.",
        "cross_modal": "Each side has terms of its own, so that the two may be of different kinds.",
    },
    aliases=["vicreg_loss"],
    sweeps=25,
    products="N D D",
    separable=False,
    support=_with_samples,
    intermediate="D D",
    examples=[
        Example(view1=[[1.0], [-1.0]], view2=[[0.0], [0.0]], invariance=1.0, variance=2.0, covariance=0.0, value=1.99),
        Example(
            view1=[[3.0, 3.0], [-3.0, -3.0]],
            view2=[[3.0, 3.0], [-3.0, -3.0]],
            covariance=0.5,
            value=0.5 * 2 * 2 * 18.0**2 / 2,
        ),
    ],
)
def vicreg(
    view1: Embeddings[Tensor, "N D"],
    view2: Embeddings[Tensor, "N D"],
    *,
    invariance: NonNegative = 25.0,
    variance: NonNegative = 25.0,
    covariance: NonNegative = 1.0,
) -> Unreduced[Tensor, ""]:
    r"""VICReg: two views of a sample should have the same embedding, whose dimensions all vary and are not correlated.

    Three terms, each for one danger. Invariance: the mean squared difference of the views. Variance: what the standard
    deviation of each dimension over the batch lacks to 1, so that not everything collapses to one point. Covariance: the
    squares of all covariances of two different dimensions, so that they do not all say the same. No negatives, no
    normalisation, no large batches are needed, and the two branches may differ.

    The value is one number for the batch: a weight or mask is one number too, and `mean` and `sum` are the value itself; of
    an empty batch nothing counts. Variances and covariances divide by N - 1; those of a single sample are 0. 1e-4 is added
    to variances below the root. The variance term of a view is the mean over dimensions halved, as in the authors' code;
    covariances are added up and divided by D, those of both views together.

    Formula:
        \ell = \frac{\lambda}{N D} \sum_{n, d} (a_{nd} - b_{nd})^2
        + \mu \sum_{z \in \{a, b\}} \frac{1}{2 D} \sum_d \max \bigl( 0, 1 - \sqrt{\mathrm{Var}(z_d) + 10^{-4}} \bigr)
        + \nu \sum_{z \in \{a, b\}} \frac{1}{D} \sum_{d \ne e} \mathrm{Cov}(z_d, z_e)^2

    Args:
        view1: embeddings $a$ of the first views, not normalised.
        view2: embeddings $b$ of the second views, in the same order.
        invariance: weight $\lambda$ of the first term.
        variance: weight $\mu$ of the second.
        covariance: weight $\nu$ of the third.

    Returns:
        one number for the whole batch.

    Use when:
        encoders are pretrained without labels and batches are small; the two sides are of different kinds, such as pictures
        and sounds.

    Avoid when:
        batches have but a few samples, of which covariances are noise; negatives are at hand and many (take `nt_xent`).

    Source:
        Bardes, Ponce and LeCun, VICReg: Variance-Invariance-Covariance Regularization, 2021. https://arxiv.org/abs/2105.04906.
    """
    count, size = view1.shape
    total = invariance * (view1 - view2).square().sum() / max(count * size, 1)
    for view in (view1, view2):
        centred = _centred(view)
        spread = (centred.square().sum(0) / max(count - 1, 1) + 1e-4).sqrt()
        matrix = (centred.T @ centred / max(count - 1, 1)).masked_fill(~different(size, view.device), 0.0)
        total = total + variance * (1 - spread).clamp(min=0).sum() / max(2 * size, 1)
        total = total + covariance * matrix.square().sum() / max(size, 1)
    return total if count else total * 0.0


@loss(
    suits={
        "unlabelled": "The correlation of the dimensions of two views becomes the identity; there are no negatives.",
    },
    aliases=["barlow_twins_loss"],
    copies=6,
    sweeps=30,
    products="N D D",
    separable=False,
    support=_with_samples,
    intermediate="D D",
    examples=[
        Example(view1=[[1.0, 1.0], [-1.0, -1.0]], view2=[[2.0, 0.5], [-2.0, -0.5]], redundancy=0.5, value=0.5 * 2),
        Example(view1=[[0.0, 1.0], [2.0, 1.0]], view2=[[3.0, 1.0], [1.0, 4.0]], value=4 + 1 + 0.005),
    ],
)
def barlow_twins(
    view1: Embeddings[Tensor, "N D"], view2: Embeddings[Tensor, "N D"], *, redundancy: NonNegative = 0.005
) -> Unreduced[Tensor, ""]:
    r"""Barlow Twins: the correlation of the dimensions of two views should be the identity.

    Each dimension of the first view is correlated over the batch with each of the second. On the diagonal the correlation
    should be 1, so that the views agree; elsewhere 0, so that no two dimensions say the same. There are no negatives, and
    scale and shift of the embeddings do not matter. Wide embeddings help: thousands of dimensions.

    The value is one number for the batch: a weight or mask is one number too, and `mean` and `sum` are the value itself; of
    an empty batch nothing counts. A dimension that is the same for all samples (with a single sample, every one) has a
    correlation of 0 to everything, and no gradient. The authors normalise by batch normalisation, whose 1e-5 makes
    correlations of narrow dimensions smaller; here they are Pearson's.

    Formula:
        \ell = \sum_d (1 - C_{dd})^2 + \lambda \sum_{d \ne e} C_{de}^2, \qquad
        C_{de} = \frac{\sum_n (a_{nd} - \bar a_d)(b_{ne} - \bar b_e)}
        {\sqrt{\sum_n (a_{nd} - \bar a_d)^2} \sqrt{\sum_n (b_{ne} - \bar b_e)^2}}

    Args:
        view1: embeddings $a$ of the first views.
        view2: embeddings $b$ of the second views, in the same order.
        redundancy: weight $\lambda$ of the correlations of different dimensions.

    Returns:
        one number for the whole batch.

    Use when:
        encoders are pretrained without labels, with wide embeddings and batches of ordinary size.

    Avoid when:
        batches have fewer than some hundred samples, of which correlations are noise; the two sides are of different kinds
        (take `vicreg`).

    Source:
        Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, 2021. https://arxiv.org/abs/2103.03230.
    """
    correlation = directions(_centred(view1).T) @ directions(_centred(view2).T).T
    apart = different(len(correlation), correlation.device)
    square = torch.where(apart, redundancy * correlation.square(), (1 - correlation).square()).sum()
    return square if len(view1) else square * 0.0
