"""Losses for classes that have an order, with one logit for each step from a class to the next."""

from __future__ import annotations

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import ClassIndices, Logits, Unreduced

FAMILY = "classification"
TASKS = ("multiclass",)


def _gaps(predictions: Tensor, labels: Tensor) -> Tensor:
    """How far the label is above each step: 1 for the last step that was made, -1 for the next one, and further by 2 each."""
    size, dtype = predictions.shape[1], predictions.dtype
    return (2 * labels.to(dtype) - 1).unsqueeze(1) - torch.arange(0, 2 * size, 2, dtype=dtype, device=labels.device)


def _evidence(predictions: Tensor, gaps: Tensor) -> Tensor:
    """The logit of the right answer to each question."""
    # log(1 - sigmoid(x)) = log sigmoid(-x); a product with 1 or -1 takes half the passes of a choice between x and -x.
    return predictions * gaps.clamp(-1, 1)


@loss(
    suits={
        "ordered_classes": "All thresholds share one direction, so that their probabilities cannot contradict each "
        "other.",
    },
    aliases=["coral_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0]], labels=[1], value=2 * log(2)),
        Example(predictions=[[log(3), -log(3)]], labels=[1], value=2 * log(4 / 3)),
    ],
)
def coral(predictions: Logits[Tensor, "N C-1"], labels: ClassIndices[Tensor, "N"]) -> Unreduced[Tensor, "N"]:
    r"""CORAL: classes with an order, as yes-or-no questions "is it more than this?".

    With C classes there are C - 1 questions: more than the lowest, more than the second, and so on. Each has a logit, and the
    loss is the sum of their `binary_cross_entropy_with_logits`. A prediction that is off by three steps answers three questions
    wrongly and costs accordingly, while `cross_entropy` does not know how far off it is. Count the questions answered with yes
    to get the predicted class. In CORAL the questions share one vector of weights and differ by their bias alone, so that the
    answers never contradict each other; that is the model's part.

    Formula:
        \ell_n = -\sum_{k=0}^{C-2} \left( [y_n > k] \, \log \sigma(x_{nk}) + [y_n \le k] \, \log (1 - \sigma(x_{nk})) \right)

    Args:
        predictions: logits $x$ of the C - 1 questions, in their order.
        labels: the true class of each sample $y$, from 0 for the lowest to C - 1.

    Returns:
        one loss per sample, in nats.

    Use when:
        classes have an order: age, grades of a disease, ratings, credit classes, damage, quality.

    Avoid when:
        the questions have weights of their own (take `corn`), the model gives one probability per class (take `emd`), or
        classes have no order (take `cross_entropy`).

    Source:
        Cao, Mirjalili and Raschka, Rank Consistent Ordinal Regression for Neural Networks with Application to Age Estimation,
        2019. https://arxiv.org/abs/1901.07884; coral-pytorch, coral_loss.
    """
    return -F.logsigmoid(_evidence(predictions, _gaps(predictions, labels))).sum(1)


def _subset_sizes(arguments: Arguments) -> Support:
    """Each sample counts as often as it is in the subset of a question."""
    asked = (arguments["labels"] + 1).clamp(max=arguments["predictions"].shape[1])
    return Support(None, asked.to(arguments["predictions"].dtype))


@loss(
    suits={"ordered_classes": "Thresholds are asked in a chain, which the last layer may answer freely."},
    aliases=["corn_loss"],
    copies=5,
    support=_subset_sizes,
    examples=[
        Example(predictions=[[0.0, 0.0], [0.0, 0.0]], labels=[0, 2], value=log(2)),
        Example(predictions=[[log(3), -log(3)], [log(3), 5.0]], labels=[1, 0], value=(2 * log(4 / 3) + log(4)) / 3),
    ],
)
def corn(predictions: Logits[Tensor, "N C-1"], labels: ClassIndices[Tensor, "N"]) -> Unreduced[Tensor, "N"]:
    r"""CORN: classes with an order, as a chain of questions "given it is at least this, is it more?".

    As in `coral` there is a logit for each step from a class to the next. But each question is asked only of the samples that
    got so far: whether it is more than class 2, only of those that are at least class 2. The logits are thus conditional, and
    the probability of "more than k" is the product of the first answers, which never increases: consistent without
    any constraint on the model.

    A sample of class y takes part in min(y + 1, C - 1) questions, and `mean` divides by the number of all questions asked, as
    coral-pytorch does since 1.4; `sum` is the plain sum.

    Formula:
        \ell_n = -\sum_{k=0}^{\min(y_n, C-2)} \left( [y_n > k] \, \log \sigma(x_{nk})
        + [y_n = k] \, \log (1 - \sigma(x_{nk})) \right), \qquad
        \mathrm{mean} = \frac{\sum_n \ell_n}{\sum_n \min(y_n + 1, C - 1)}

    Args:
        predictions: logits $x$ of the C - 1 questions, in their order.
        labels: the true class of each sample $y$, from 0 for the lowest to C - 1.

    Returns:
        one loss per sample, the sum over its questions, in nats.

    Use when:
        classes have an order and the last layer is an ordinary one: age, grades of a disease, ratings, severity, quality.

    Avoid when:
        high classes are so rare that their questions are hardly ever asked (take `coral`), or classes have no order (take
        `cross_entropy`).

    Source:
        Shi, Cao and Raschka, Deep Neural Networks for Rank-Consistent Ordinal Regression Based On Conditional Probabilities,
        2021. https://arxiv.org/abs/2111.08851; coral-pytorch, corn_loss.
    """
    gaps = _gaps(predictions, labels)
    # A choice, as a product with 0 would make NaN of what is not asked and not finite; log sigmoid(inf) = 0.
    return -F.logsigmoid(torch.where(gaps >= -1, _evidence(predictions, gaps), torch.inf)).sum(1)
