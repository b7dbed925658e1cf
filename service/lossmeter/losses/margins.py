"""Losses for classes that only ask for a margin: right ones must score higher than wrong ones by some distance."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import (
    ClassIndices,
    FixedWeights,
    Logits,
    PaddedClassIndices,
    Probabilities,
    Real,
    Scores,
    Signs,
    Unreduced,
    Weights,
)

FAMILY = "margins"
TASKS = ("multilabel",)


def _class_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.classes("predictions", arguments["predictions"])


@loss(
    tasks=["multiclass"],
    suits={"maximum_margin": "The right class must outscore all others by a margin, and then no longer counts."},
    aliases=["multi_margin_loss"],
    copies=2,
    sweeps=4,
    check=_class_flaws,
    examples=[
        Example(predictions=[[0.1, 0.2, 0.4, 0.8]], labels=[3], value=(0.3 + 0.4 + 0.6) / 4),
        Example(predictions=[[0.0, 1.0]], labels=[0], p=2, value=2.0),
    ],
)
def multi_margin(
    predictions: Scores[Tensor, "N C | C"],
    labels: ClassIndices[Tensor, "N | "],
    *,
    p: Literal[1, 2] = 1,
    margin: Real = 1.0,
    weight: FixedWeights[Tensor, "C"] | None = None,
) -> Unreduced[Tensor, "N | "]:
    r"""Multi-class hinge loss: the right class must outscore every other one by the margin.

    Each wrong class adds what it lacks to that distance, and nothing once the distance is kept, so only the classes that come
    too close pull on the model. Scores need not be probabilities and never turn into them. `weight` multiplies by the weight
    of the true class; `mean` divides by the number of samples all the same.

    Formula:
        \ell_n = \frac{w_{y_n}}{C} \sum_{c \neq y_n} \max(0, \; m - x_{n, y_n} + x_{nc})^p

    Args:
        predictions: scores $x$, one per class.
        labels: the true class of each sample $y$.
        p: 1 for the hinge, 2 for its square, which is smooth and punishes large violations more.
        margin: the distance $m$ to keep, in the unit of the scores.
        weight: a factor $w$ per class.

    Returns:
        one loss per sample, in the unit of the scores to the power of `p`.

    Use when:
        only the decision counts and not its probability: support vector machines, linear classifiers of text or of image
        features, or a head that should stop training on samples that are clearly right.

    Avoid when:
        probabilities are needed, or classes are many and the average over C makes the gradient vanish: take `cross_entropy`.

    Source:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999; torch.nn.MultiMarginLoss.
    """
    return F.multi_margin_loss(predictions, labels, p=p, margin=margin, weight=weight, reduction="none")


@loss(
    suits={"maximum_margin": "Every right label must outscore every wrong one by 1."},
    aliases=["multilabel_margin_loss"],
    copies=2,
    sweeps=25,
    loops="N C C | C C",
    check=_class_flaws,
    examples=[Example(predictions=[[0.1, 0.2, 0.4, 0.8]], labels=[[3, 0, -1, 1]], value=0.85)],
)
def multilabel_margin(
    predictions: Scores[Tensor, "N C | C"], labels: PaddedClassIndices[Tensor, "N C | C"]
) -> Unreduced[Tensor, "N | "]:
    r"""Multi-label hinge loss: every right class must outscore every wrong one by 1.

    Each sample lists its right classes, ended by -1; whatever follows the -1 is not read, and a class listed twice
    counts twice. Every pair of a right and a wrong
    class that is not at least 1 apart adds what it lacks. A sample without any right class costs nothing.

    Formula:
        \ell_n = \frac{1}{C} \sum_{j \in Y_n} \sum_{i \notin Y_n} \max(0, \; 1 - x_{nj} + x_{ni})

    Args:
        predictions: scores $x$, one per class.
        labels: the right classes $Y$ of each sample, ended by -1, padded to as many numbers as there are classes.

    Returns:
        one loss per sample, in the unit of the scores.

    Use when:
        several classes are right and must rank above the others: tags of a picture, subjects of a document, where the order
        of the scores matters and not their size.

    Avoid when:
        a probability per label is needed, or many classes make the pairs too many: take `multilabel_soft_margin` or
        `binary_cross_entropy_with_logits`.

    Source:
        Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001; torch.nn.MultiLabelMarginLoss.
    """
    return F.multilabel_margin_loss(predictions, labels, reduction="none")


@loss(
    suits={"usual": "Each sample has a yes or a no for each of a set of labels, and is one unit of counting."},
    aliases=["multilabel_soft_margin_loss"],
    examples=[Example(predictions=[[log(3), 0.0]], labels=[[1.0, 0.0]], value=log(8 / 3) / 2)],
)
def multilabel_soft_margin(
    predictions: Logits[Tensor, "*batch C"],
    labels: Probabilities[Tensor, "*batch C"],
    *,
    weight: Weights[Tensor, "C"] | None = None,
) -> Unreduced[Tensor, "*batch"]:
    r"""Binary cross entropy of many labels at once, averaged over the labels of each sample.

    Each class is a question of its own, answered by the sigmoid of its score. It is `binary_cross_entropy_with_logits` with
    one number per sample in place of one per label, so samples rather than labels are weighted, masked and averaged.

    Formula:
        \ell_n = -\frac{1}{C} \sum_{c=1}^{C} w_c \left( y_{nc} \log \sigma(x_{nc}) + (1 - y_{nc}) \log \sigma(-x_{nc}) \right)

    Args:
        predictions: logits $x$, one per class in the last dimension.
        labels: 1 where the class applies, 0 where not, or a probability $y$.
        weight: a factor $w$ per class.

    Returns:
        one loss per sample, in nats per label.

    Use when:
        every sample has a yes or no for each of a fixed set of labels: tags of pictures and texts, findings on an X-ray,
        functions of a protein, and the sample is the unit of counting.

    Avoid when:
        single labels are missing or must be masked (take `binary_cross_entropy_with_logits`), or exactly one class is right
        (take `cross_entropy`).

    Source:
        torch.nn.MultiLabelSoftMarginLoss.
    """
    return F.multilabel_soft_margin_loss(predictions, labels, weight=weight, reduction="none")


@loss(
    tasks=["binary"],
    suits={"maximum_margin": "Labels are ±1, and the margin is a smooth one."},
    aliases=["soft_margin_loss"],
    sweeps=2,
    examples=[Example(predictions=[0.0, log(3)], labels=[1.0, -1.0], value=1.5 * log(2))],
)
def soft_margin(predictions: Scores[Tensor, "*shape"], labels: Signs[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Logistic loss for labels of ±1.

    A score of the same sign as the label costs little, one of the opposite sign about as much as its size. It is binary cross
    entropy written for ±1, and a smooth version of the hinge: there is always a little gain in a larger margin.

    It is computed as torch does, without a safeguard: where $-y x$ exceeds about 88 in float32 (709 in float64) the
    exponential overflows, the loss is infinite and its gradient undefined.

    Formula:
        \ell_i = \log \left( 1 + e^{-y_i x_i} \right)

    Args:
        predictions: scores $x$; their sign is the decision.
        labels: 1 or -1 $y$; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, in nats.

    Use when:
        two classes are coded as ±1, as in boosting and support vector machines, and scores are moderate.

    Avoid when:
        scores may be large: `binary_cross_entropy_with_logits` with labels 0 and 1 is the same loss and never overflows.

    Source:
        Friedman, Hastie and Tibshirani, Additive Logistic Regression, 2000. https://doi.org/10.1214/aos/1016218223;
        torch.nn.SoftMarginLoss.
    """
    return F.soft_margin_loss(predictions, labels, reduction="none")
