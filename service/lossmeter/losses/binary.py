"""Losses for yes-or-no labels, one or many per sample: how much probability the right answer was given."""

from __future__ import annotations

from math import log

import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._logistic import power
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import (
    AssertedProbabilities,
    FixedWeights,
    Fraction,
    Logits,
    NonNegative,
    Probabilities,
    Unreduced,
)

FAMILY = "binary"
TASKS = ("binary", "multilabel")


@loss(
    suits={
        "calibration": "It is the log-likelihood of probabilities that the model already gives.",
        "soft_labels": "Labels may be any probability of yes.",
    },
    aliases=["bce", "bce_loss"],
    sweeps=4,
    examples=[
        Example(predictions=[0.9, 0.2], labels=[1.0, 0.0], value=-(log(0.9) + log(0.8)) / 2),
        Example(predictions=[0.5, 0.5], labels=[1.0, 0.0], weight=[3.0, 1.0], reduction="sum", value=4 * log(2)),
    ],
)
def binary_cross_entropy(
    predictions: AssertedProbabilities[Tensor, "*shape"],
    labels: AssertedProbabilities[Tensor, "*shape"],
    *,
    weight: FixedWeights[Tensor, "~*shape"] | None = None,
) -> Unreduced[Tensor, "*shape"]:
    r"""Binary cross entropy: minus the logarithm of the probability given to what turned out true.

    Each prediction is the probability of "yes". If the label is 1 the loss is the negative logarithm of that probability, if
    it is 0 that of the remainder: saying 0.9 costs 0.105 when right and 2.30 when wrong, and 0.5 always costs ln 2 = 0.693.
    The best prediction under it is the true frequency. Labels between 0 and 1 are allowed and mix the two terms.

    Logarithms are cut off at -100, as in torch, so that probabilities of exactly 0 and 1 give finite values. Gradients are not:
    there, that of a label is infinite, and that of a prediction as large as $10^{12}$. `weight` multiplies each element and
    does not enter the denominator of `mean`.

    Formula:
        \ell_i = -w_i \, \left( y_i \log x_i + (1 - y_i) \log (1 - x_i) \right)

    Args:
        predictions: probabilities $x$ of "yes", after a sigmoid.
        labels: 1 for yes, 0 for no, or the probability of yes $y$; same shape as `predictions`, never broadcast.
        weight: a factor $w$ per element, in a shape that can be broadcast to that of `predictions`.

    Returns:
        one loss per element, in nats.

    Use when:
        the model already gives probabilities: spam or not, click or not, churn, fraud scores from another system, each tag
        of a multi-label text, the pixels of an autoencoder scaled to 0 to 1.

    Avoid when:
        logits are at hand: take `binary_cross_entropy_with_logits`, which stays exact where a rounded probability is 0 or 1
        and the gradient here is lost; or exactly one of several classes is right: take `cross_entropy`.

    Source:
        Good, Rational Decisions, 1952. https://doi.org/10.1111/j.2517-6161.1952.tb00104.x; torch.nn.BCELoss.
    """
    return F.binary_cross_entropy(predictions, labels, weight=weight, reduction="none")


@loss(
    tasks=["binary", "multilabel", "segmentation"],
    suits={
        "usual": "Each label is a yes or a no, and the model gives logits.",
        "calibration": "It is a likelihood: at its minimum, probabilities are right, unless `pos_weight` shifts them.",
        "imbalance": "`pos_weight` weighs a rare yes, and leaves all samples in play.",
        "missing_labels": "Each label stands alone, so that `mask` leaves out those that are unknown.",
        "soft_labels": "Labels may be any probability of yes.",
    },
    aliases=["bce_with_logits", "bce_with_logits_loss", "sigmoid_cross_entropy", "sigmoid_cross_entropy_with_logits"],
    # Its gradient takes a sigmoid, which rounds differently in the last few elements of a tensor: pieces are not bit-equal.
    chunked=False,
    sweeps=5,
    examples=[
        Example(predictions=[log(3), 0.0], labels=[1.0, 0.0], value=log(8 / 3) / 2),
        Example(
            predictions=[[log(3), 0.0]],
            labels=[[1.0, 1.0]],
            pos_weight=[1.0, 5.0],
            reduction="sum",
            value=log(4 / 3) + 5 * log(2),
        ),
    ],
)
def binary_cross_entropy_with_logits(
    predictions: Logits[Tensor, "*shape"],
    labels: Probabilities[Tensor, "*shape"],
    *,
    weight: FixedWeights[Tensor, "~*shape"] | None = None,
    pos_weight: FixedWeights[Tensor, "~*shape"] | None = None,
) -> Unreduced[Tensor, "*shape"]:
    r"""Binary cross entropy computed from scores, the sigmoid included.

    Each prediction is a score: 0 means undecided, positive means yes, negative no, and the sigmoid turns it into a
    probability. A right answer given with a large score costs almost nothing, a wrong one about as much as the size of its
    score. Taking the score rather than the probability avoids logarithms of numbers that were rounded to 0, so the loss is
    exact and its gradient ("probability minus label") alive for scores of any size. Several labels per sample are simply
    several elements.

    `pos_weight` multiplies the part of the label that says yes: (number of no) / (number of yes) balances the two. Neither
    weight enters the denominator of `mean`.

    Formula:
        \ell_i = -w_i \, \left( p_i \, y_i \log \sigma(x_i) + (1 - y_i) \log \sigma(-x_i) \right), \qquad
        \sigma(x) = \frac{1}{1 + e^{-x}}

    Args:
        predictions: logits $x$, before a sigmoid.
        labels: 1 for yes, 0 for no, or the probability of yes $y$; same shape as `predictions`, never broadcast.
        weight: a factor $w$ per element, in a shape that can be broadcast to that of `predictions`.
        pos_weight: a factor $p$ on yes, usually one per class, in a shape that can be broadcast to that of `predictions`.

    Returns:
        one loss per element, in nats.

    Use when:
        each label is a yes or a no of its own: spam, fraud, churn, medical findings on one image, tags of a text or a picture
        (multi-label), foreground masks; with `pos_weight` where yes is rare.

    Avoid when:
        exactly one of several classes is right (take `cross_entropy`), or easy negatives outnumber everything by far, as in
        detection (take `binary_focal`).

    Source:
        Cox, The Regression Analysis of Binary Sequences, 1958. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x;
        torch.nn.BCEWithLogitsLoss.
    """
    return F.binary_cross_entropy_with_logits(
        predictions, labels, weight=weight, pos_weight=pos_weight, reduction="none"
    )


@loss(
    tasks=["binary", "multilabel", "detection", "segmentation"],
    suits={
        "imbalance": "Easy cases fade out, so that countless sure negatives do not drown the few positives.",
        "small_regions": "Background that is surely right hardly counts, pixel by pixel.",
        "long_tail": "Rare tags among many keep their gradient.",
    },
    aliases=["binary_focal_loss", "sigmoid_focal_loss"],
    copies=10,
    sweeps=35,
    examples=[
        Example(predictions=[log(3)], labels=[1.0], value=-0.25 * 0.25**2 * log(0.75)),
        Example(
            predictions=[log(3), log(3)],
            labels=[1.0, 0.0],
            alpha=None,
            gamma=1.0,
            reduction="sum",
            value=0.25 * log(4 / 3) + 0.75 * log(4),
        ),
    ],
)
def binary_focal(
    predictions: Logits[Tensor, "*shape"],
    labels: Probabilities[Tensor, "*shape"],
    *,
    gamma: NonNegative = 2.0,
    alpha: Fraction | None = 0.25,
    pos_weight: FixedWeights[Tensor, "~*shape"] | None = None,
) -> Unreduced[Tensor, "*shape"]:
    r"""Focal loss for yes-or-no labels: binary cross entropy that fades out for what is already right.

    A detector looks at a hundred thousand places, of which a handful hold an object. The rest are easy, and even at a tiny
    cost each they outweigh the handful. Focal loss multiplies each binary cross entropy by $(1 - p_t)^\gamma$, where $p_t$ is
    the probability given to the right answer: at $\gamma = 2$ an answer at $p_t = 0.9$ keeps 1 % of its cost, one at 0.1
    keeps 81 %. `alpha` then sets the balance of yes against no: factor $\alpha$ for yes, $1 - \alpha$ for no, and null for
    neither. $\gamma = 0$ without `alpha` is `binary_cross_entropy_with_logits`.

    A label between 0 and 1 mixes both answers: $p_t$ and $\alpha_t$ are interpolated, as in torchvision and optax. `mean`
    divides by the number of elements; RetinaNet divides the sum by the number of objects: give that number as `normalizer`.

    Formula:
        \ell_i = \alpha_t (1 - p_t)^\gamma \, \mathrm{BCE}(x_i, y_i), \qquad p = \sigma(x_i), \quad
        p_t = p \, y_i + (1 - p)(1 - y_i), \quad \alpha_t = \alpha \, y_i + (1 - \alpha)(1 - y_i)

    Args:
        predictions: logits $x$, before a sigmoid.
        labels: 1 for yes, 0 for no, or the probability of yes $y$; same shape as `predictions`, never broadcast.
        gamma: how strongly elements that are already right fade; 0 not at all, 2 is usual, 5 is extreme.
        alpha: factor for yes, with $1 - \alpha$ for no; null switches both off. 0.25 is the paper's, tuned for $\gamma = 2$.
        pos_weight: a factor on the yes part of the cross entropy, in a shape that can be broadcast to that of `predictions`.

    Returns:
        one loss per element, in nats.

    Use when:
        yes is very rare and most cases are easy: object detection (anchors, key-point heat maps), small lesions and cracks,
        fraud and click prediction, long-tailed tags with many labels per sample.

    Avoid when:
        labels are noisy, since wrong ones look hard and are amplified; calibrated probabilities are needed; or a `pos_weight`
        in `binary_cross_entropy_with_logits` already balances the data.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, 2017. https://arxiv.org/abs/1708.02002.
    """
    # log(1 - sigmoid(x)) = log_sigmoid(-x); the logits form of torch would cancel for confident negatives.
    yes, no = F.logsigmoid(predictions), F.logsigmoid(-predictions)
    absent = 1 - labels
    positive = labels * yes if pos_weight is None else pos_weight * labels * yes
    likelihoods = positive + absent * no
    faded = likelihoods * power(labels * no.exp() + absent * yes.exp(), gamma)
    return -faded if alpha is None else faded * (-alpha * labels - (1 - alpha) * absent)
