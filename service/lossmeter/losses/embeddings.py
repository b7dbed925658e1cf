"""Losses for embeddings: similar items must lie close together, dissimilar ones apart."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Embeddings, NonNegative, Positive, Real, Signs, Unreduced, Values

FAMILY = "embeddings"
TASKS = ("embeddings",)


@loss(
    minimum=None,
    suits={"labelled_pairs": "It takes distances that are computed already."},
    aliases=["hinge_embedding_loss"],
    examples=[Example(predictions=[0.5, 0.25], labels=[1.0, -1.0], value=0.625)],
)
def hinge_embedding(
    predictions: Values[Tensor, "*shape"], labels: Signs[Tensor, "*shape"], *, margin: Real = 1.0
) -> Unreduced[Tensor, "*shape"]:
    r"""Hinge loss on distances: similar pairs are drawn together, dissimilar ones pushed beyond a margin.

    Each prediction is the distance of a pair. If the label is 1 the distance itself is the cost; if it is -1 whatever lacks
    to the margin is, and pairs farther apart than that are left alone.

    Formula:
        \ell_i = \begin{cases} x_i & y_i = 1 \\ \max(0, \; m - x_i) & y_i = -1 \end{cases}

    Args:
        predictions: distances $x$ of pairs, such as the L1 distance of two embeddings.
        labels: 1 for similar pairs, -1 for dissimilar ones $y$; same shape as `predictions`.
        margin: the distance $m$ that dissimilar pairs should keep.

    Returns:
        one loss per pair, in the unit of the distances.

    Use when:
        distances of pairs are computed already: verification of signatures or faces, near-duplicates, semi-supervised
        embedding.

    Avoid when:
        embeddings are at hand and their direction matters (take `cosine_embedding`), or items come as triplets (take
        `triplet_margin`).

    Source:
        Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, 2006.
        https://doi.org/10.1109/CVPR.2006.100; torch.nn.HingeEmbeddingLoss.
    """
    return F.hinge_embedding_loss(predictions, labels, margin=margin, reduction="none")


@loss(
    suits={
        "labelled_pairs": "Pairs that match are drawn together, and the others pushed apart up to a margin.",
        "small_batches": "A pair is all that it needs; there are no negatives to be found in the batch.",
    },
    aliases=["contrastive_loss"],
    examples=[
        Example(
            input1=[[0.0, 0.0], [0.0, 0.0]],
            input2=[[0.3, 0.4], [0.3, 0.4]],
            labels=[1.0, -1.0],
            margin=2.0,
            value=(0.25 + 2.25) / 2,
        )
    ],
)
def contrastive(
    input1: Embeddings[Tensor, "N D"],
    input2: Embeddings[Tensor, "N D"],
    labels: Signs[Tensor, "N"],
    *,
    margin: NonNegative = 1.0,
) -> Unreduced[Tensor, "N"]:
    r"""Contrastive loss: pairs that match are drawn together, the others pushed apart up to a margin, by squared distance.

    The distance is Euclidean, and lengths count. A pair with label 1 costs its squared distance; a pair with label -1 costs the
    square of what its distance lacks to the margin, and nothing beyond it. Normalise embeddings before if only directions
    should count; distances are then between 0 and 2.

    No epsilon is added to the distance: equal embeddings with label -1 cost the square of the margin and have no gradient,
    as no direction is better than another. Hadsell has the opposite labels (0 for pairs that match) and half the value;
    pytorch-metric-learning by default has the distance and the hinge without squares, as `hinge_embedding` of distances.

    Formula:
        \ell_n = \begin{cases} d_n^2 & y_n = 1 \\ \max(0, \; m - d_n)^2 & y_n = -1 \end{cases}, \qquad d_n = \lVert a_n -
        b_n \rVert_2

    Args:
        input1: first embedding of each pair, $a$.
        input2: second embedding of each pair, $b$; same shape.
        labels: 1 for pairs that match, -1 for others $y$.
        margin: the distance $m$ that others should keep.

    Returns:
        one loss per pair, in the unit of the embeddings squared.

    Use when:
        pairs are labelled as matching or not: verification of faces, voices or signatures, near-duplicates, entity resolution.

    Avoid when:
        only relative order is known (take `triplet_margin`), or only directions count (take `cosine_embedding`).

    Source:
        Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, 2006.
        https://doi.org/10.1109/CVPR.2006.100.
    """
    matching = (labels > 0).unsqueeze(-1)
    difference = input1 - input2
    pulled = torch.where(matching, difference, 0.0).square().sum(-1)
    # A pair beyond the margin has no part in the gradient, however large its distance is.
    near = ~matching & (torch.linalg.vector_norm(difference.detach(), dim=-1, keepdim=True) < margin)
    lacking = margin - torch.linalg.vector_norm(torch.where(near, difference, 0.0), dim=-1)
    return pulled + torch.where(near.squeeze(-1), lacking.square(), 0.0)


@loss(
    suits={"labelled_pairs": "Pairs are compared by direction alone, whatever the length of an embedding."},
    aliases=["cosine_embedding_loss"],
    examples=[
        Example(
            input1=[[1.0, 0.0], [1.0, 0.0]],
            input2=[[0.0, 1.0], [1.0, 1.0]],
            labels=[1.0, -1.0],
            margin=0.5,
            value=(1 + sqrt(0.5) - 0.5) / 2,
        )
    ],
)
def cosine_embedding(
    input1: Embeddings[Tensor, "N D | D"],
    input2: Embeddings[Tensor, "N D | D"],
    labels: Signs[Tensor, "N | "],
    *,
    margin: Real = 0.0,
) -> Unreduced[Tensor, "N | "]:
    r"""Cosine loss on pairs: similar ones must point the same way, dissimilar ones must not.

    Only the angle between two embeddings counts, not their lengths. A pair with label 1 costs 1 minus the cosine, between 0
    (same direction) and 2 (opposite). A pair with label -1 costs what its cosine exceeds the margin by.

    Formula:
        \ell_n = \begin{cases} 1 - \cos(a_n, b_n) & y_n = 1 \\ \max(0, \; \cos(a_n, b_n) - m) & y_n = -1 \end{cases}

    Args:
        input1: first embedding of each pair, $a$.
        input2: second embedding of each pair, $b$; same shape.
        labels: 1 for similar pairs, -1 for dissimilar ones $y$.
        margin: the cosine $m$ up to which dissimilar pairs cost nothing, from -1 to 1; 0 to 0.5 is usual.

    Returns:
        one loss per pair, without unit.

    Use when:
        pairs are labelled as matching or not and length carries no meaning: sentences and translations, questions and answers,
        pictures and captions, speaker verification.

    Avoid when:
        only relative order is known (take `triplet_margin`), or lengths matter (take `hinge_embedding` on distances).

    Source:
        torch.nn.CosineEmbeddingLoss.
    """
    return F.cosine_embedding_loss(input1, input2, labels, margin=margin, reduction="none")


@loss(
    suits={
        "triplets": "It asks for nothing but that the right one is closer, by a margin.",
        "unseen_classes": "Distances are learned rather than classes.",
    },
    aliases=["triplet_margin_loss", "triplet", "triplet_loss"],
    examples=[
        Example(anchor=[[0.0, 0.0]], positive=[[3.0, 4.0]], negative=[[3.3, 4.4]], value=0.5),
        Example(anchor=[0.0, 0.0], positive=[1.0, 1.0], negative=[0.5, 1.0], p=1.0, eps=0.0, value=1.5),
    ],
)
def triplet_margin(
    anchor: Embeddings[Tensor, "*batch D"],
    positive: Embeddings[Tensor, "*batch D"],
    negative: Embeddings[Tensor, "*batch D"],
    *,
    margin: Positive = 1.0,
    p: Positive = 2.0,
    eps: NonNegative = 1e-6,
    swap: bool = False,
) -> Unreduced[Tensor, "*batch"]:
    r"""Triplet loss: an item must lie closer to one of its kind than to one of another, by a margin.

    Each triplet has an anchor, a positive (same person, same product) and a negative (another). Only the difference of the
    two distances counts, so the embedding may arrange itself freely as long as the order is right. Triplets that keep the
    margin cost nothing and teach nothing: choose negatives that are hard.

    Formula:
        \ell_n = \max(0, \; d(a_n, p_n) - d(a_n, q_n) + m), \qquad d(u, v) = \lVert u - v + \epsilon \rVert_p; \quad
        \text{swap:} \; \min(d(a_n, q_n), d(p_n, q_n)) \text{ in place of } d(a_n, q_n)

    Args:
        anchor: embeddings $a$ of the items.
        positive: embeddings $p$ of items of the same kind; same shape.
        negative: embeddings $q$ of items of another kind; same shape.
        margin: the distance $m$ by which the negative must be farther away.
        p: degree of the norm; 2 is Euclidean, 1 the sum of absolute differences.
        eps: added to each difference, so that the norm has a gradient where two embeddings coincide.
        swap: takes the negative's distance to anchor or positive, whichever is smaller.

    Returns:
        one loss per triplet, in the unit of the distance.

    Use when:
        only "more similar than" is known: face and person re-identification, image and product search, recommendation,
        sentences.

    Avoid when:
        classes are fixed and known (a classifier is easier to train), or good negatives cannot be found.

    Source:
        Schroff, Kalenichenko and Philbin, FaceNet, 2015. https://arxiv.org/abs/1503.03832; swap: Balntas et al., 2016.
        https://doi.org/10.5244/C.30.119; torch.nn.TripletMarginLoss.
    """
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin, p=p, eps=eps, swap=swap, reduction="none")


def _squared_euclidean(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(-1)


def _manhattan(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().sum(-1)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(first, second, dim=-1)


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": F.pairwise_distance,
    "squared_euclidean": _squared_euclidean,
    "manhattan": _manhattan,
    "cosine": _cosine,
}


@loss(
    suits={"triplets": "The distance may be one other than a norm, the cosine distance among them."},
    aliases=["triplet_margin_with_distance_loss"],
    examples=[
        Example(anchor=[[0.0, 0.0]], positive=[[1.0, 1.0]], negative=[[2.0, 0.5]], distance="manhattan", value=0.5),
        Example(
            anchor=[[1.0, 0.0]], positive=[[0.0, 1.0]], negative=[[-2.0, 0.0]], distance="cosine", margin=1.5, value=0.5
        ),
    ],
)
def triplet_margin_with_distance(
    anchor: Embeddings[Tensor, "*batch D"],
    positive: Embeddings[Tensor, "*batch D"],
    negative: Embeddings[Tensor, "*batch D"],
    *,
    distance: Literal["euclidean", "squared_euclidean", "manhattan", "cosine"] = "euclidean",
    margin: Positive = 1.0,
    swap: bool = False,
) -> Unreduced[Tensor, "*batch"]:
    r"""Triplet loss with a distance of your choice.

    As `triplet_margin`, but the distance is named: `euclidean` (torch's default, with 1e-6 added to each difference), its
    square, `manhattan` (sum of absolute differences) or `cosine` (1 minus the cosine of the angle, from 0 to 2). The margin
    is in the unit of that distance.

    Formula:
        \ell_n = \max(0, \; d(a_n, p_n) - d(a_n, q_n) + m); \quad
        \text{swap:} \; \min(d(a_n, q_n), d(p_n, q_n)) \text{ in place of } d(a_n, q_n)

    Args:
        anchor: embeddings $a$ of the items.
        positive: embeddings $p$ of items of the same kind; same shape.
        negative: embeddings $q$ of items of another kind; same shape.
        distance: the distance $d$.
        margin: by how much the negative must be farther away, in the unit of the distance.
        swap: takes the negative's distance to anchor or positive, whichever is smaller.

    Returns:
        one loss per triplet, in the unit of the distance.

    Use when:
        embeddings are compared by something other than a norm: `cosine` for normalised text and image embeddings,
        `squared_euclidean` as FaceNet has it, `manhattan` for robustness in single coordinates.

    Avoid when:
        a norm of another degree is wanted: take `triplet_margin`.

    Source:
        Schroff, Kalenichenko and Philbin, FaceNet, 2015. https://arxiv.org/abs/1503.03832;
        torch.nn.TripletMarginWithDistanceLoss.
    """
    return F.triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=_DISTANCES[distance], margin=margin, swap=swap, reduction="none"
    )
