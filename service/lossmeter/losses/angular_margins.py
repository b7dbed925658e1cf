"""Losses that classify by direction: a prototype for each class, and a margin that the right one has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, exp, log1p, pi, sin
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.errors import Flaw
from lossmeter.losses._similarities import directions, log_share, log_sum
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import ClassIndices, Embeddings, Positive, Real, Unreduced

FAMILY = "embeddings"
TASKS = ("embeddings",)
PLANE = [[1.0, 0.0], [0.0, 1.0]]

Angle = Annotated[float, Field(ge=0, le=pi, allow_inf_nan=False)]
Prototypes = Annotated[
    Embeddings[Tensor, "C D"],
    Prose("one vector per class, learned with the rest: the weight of the last layer. Only its direction counts."),
]
Scale = Annotated[Positive, Prose("the scale $s$ of all logits; 64 is usual, 30 for fewer classes.")]


def _prototype_flaws(arguments: Arguments) -> Iterator[Flaw]:
    if not arguments["prototypes"].shape[0]:
        shape = list(arguments["prototypes"].shape)
        yield Flaw("/prototypes", f"prototypes has shape {shape}; expected at least one class.")


def _margin_cross_entropy(vectors: Tensor, classes: Tensor, labels: Tensor, own: Tensor, scale: float) -> Tensor:
    """Cross entropy of scaled cosines, with another number in place of the cosine of the right class."""
    others = torch.arange(len(classes), device=labels.device) != labels.unsqueeze(1)
    return -log_share(scale * own, log_sum(scale * (vectors @ classes.T), others))


@loss(
    suits={
        "unseen_classes": "A margin on angles keeps identities apart, also those that come later.",
        "many_classes": "Its margin keeps classes apart where there are many thousands of them.",
    },
    aliases=["arcface_loss"],
    sweeps=25,
    products="N C D",
    chunked=False,
    intermediate="N C",
    check=_prototype_flaws,
    examples=[
        Example(
            embeddings=[[2.0, 0.0]], prototypes=PLANE, labels=[0], scale=1.0, margin=pi / 3, value=log1p(exp(-0.5))
        ),
        Example(
            embeddings=[[0.0, 2.0]], prototypes=PLANE, labels=[0], scale=1.0, margin=pi / 6, value=log1p(exp(1 + 0.5))
        ),
    ],
)
def arcface(
    embeddings: Embeddings[Tensor, "N D"],
    prototypes: Prototypes,
    labels: ClassIndices[Tensor, "N"],
    *,
    margin: Angle = 0.5,
    scale: Scale = 64.0,
) -> Unreduced[Tensor, "N"]:
    r"""ArcFace: cross entropy of cosines, with a margin added to the angle between an embedding and its class.

    Embeddings and prototypes are normalised, so that only angles count. The right class has to win although its angle is
    made larger by m, 0.5 radians or 29 degrees; what is learned is therefore a gap of that angle between classes, which
    also holds for people that were not in the training data. Cosines are multiplied by the scale, as they are between -1
    and 1 and softmax needs more.

    Beyond an angle of $\pi - m$, where the cosine would rise again, the right logit is $\cos\theta - m \sin m$, as in the
    authors' code and in pytorch-metric-learning (which takes the margin in degrees, 28.6). There the value jumps. Where
    embedding and prototype have exactly the same direction the angle has no gradient. One that is 0 stands at a right angle
    to everything, and has no gradient.

    Formula:
        \ell_n = -\log \frac{e^{s \, \phi_n}}{e^{s \, \phi_n} + \sum_{c \ne y_n} e^{s \cos \theta_{nc}}}, \qquad \phi_n =
        \begin{cases} \cos(\theta_{n y_n} + m) & \theta_{n y_n} \le \pi - m \\ \cos \theta_{n y_n} - m \sin m &
        \text{otherwise} \end{cases}

    Args:
        embeddings: embeddings, a row per sample.
        labels: the true class of each sample $y$.
        margin: the angle $m$ in radians.

    Returns:
        one loss per sample, in nats.

    Use when:
        identities are recognised by the nearest embedding: faces, speakers, products, landmarks, with many classes.

    Avoid when:
        classes are few and fixed (take `cross_entropy`), training does not get going (lower the margin, or take `cosface`), or
        labels are noisy.

    Source:
        Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, 2018. https://arxiv.org/abs/1801.07698.
    """
    vectors, classes = directions(embeddings), directions(prototypes)
    target = classes[labels]
    cosine = (vectors * target).sum(-1)
    # sin = 2 sin(half) cos(half), from the sides of the triangle: no digits are lost near 0, and the gradient there is 0.
    sine = _length(vectors - target) * _length(vectors + target) / 2
    sine = torch.where(_is_direction(vectors) & _is_direction(target), sine, 1.0)
    own = torch.where(cosine >= -cos(margin), cosine * cos(margin) - sine * sin(margin), cosine - margin * sin(margin))
    return _margin_cross_entropy(vectors, classes, labels, own, scale)


def _length(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return lengths


def _is_direction(vectors: Tensor) -> Tensor:
    return (vectors.detach() != 0).any(-1)


@loss(
    suits={
        "unseen_classes": "A margin on cosines keeps identities apart, and is easier to train than one on angles.",
        "many_classes": "Its margin keeps classes apart where there are many thousands of them.",
    },
    aliases=["cosface_loss", "am_softmax"],
    sweeps=25,
    products="N C D",
    chunked=False,
    intermediate="N C",
    check=_prototype_flaws,
    examples=[
        Example(embeddings=[[2.0, 0.0]], prototypes=PLANE, labels=[0], scale=1.0, margin=0.5, value=log1p(exp(-0.5))),
        Example(embeddings=[[3.0, 4.0]], prototypes=PLANE, labels=[0], scale=10.0, margin=0.3, value=log1p(exp(5.0))),
    ],
)
def cosface(
    embeddings: Embeddings[Tensor, "N D"],
    prototypes: Prototypes,
    labels: ClassIndices[Tensor, "N"],
    *,
    margin: Real = 0.35,
    scale: Scale = 64.0,
) -> Unreduced[Tensor, "N"]:
    r"""CosFace: cross entropy of cosines, with a margin taken from the cosine of the right class.

    Embeddings and prototypes are normalised, so that only angles count. The right class has to win although m is taken from
    its cosine, which leaves a gap between classes. It is simpler than `arcface`, smooth everywhere, and easier to train. A
    margin of 0 is cross entropy of scaled cosines.

    An embedding or prototype that is 0 has a similarity of 0 to everything, and no gradient. It is also known as AM-Softmax, of
    which the authors take a scale of 30.

    Formula:
        \ell_n = -\log \frac{e^{s (\cos \theta_{n y_n} - m)}}{e^{s (\cos \theta_{n y_n} - m)} + \sum_{c \ne y_n} e^{s \cos
        \theta_{nc}}}

    Args:
        embeddings: embeddings, a row per sample.
        labels: the true class of each sample $y$.
        margin: the cosine $m$; 0.35 is usual, below 1 minus the cosine of neighbouring prototypes.

    Returns:
        one loss per sample, in nats.

    Use when:
        identities are recognised by the nearest embedding: faces, speakers, products, landmarks, with many classes.

    Avoid when:
        classes are few and fixed (take `cross_entropy`), or samples are labelled in pairs (take `contrastive`).

    Source:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, 2018. https://arxiv.org/abs/1801.09414.
    """
    vectors, classes = directions(embeddings), directions(prototypes)
    own = (vectors * classes[labels]).sum(-1) - margin
    return _margin_cross_entropy(vectors, classes, labels, own, scale)
