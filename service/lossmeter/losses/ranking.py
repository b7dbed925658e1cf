"""Losses for order: which of two items should come first."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Real, Scores, Signs, Unreduced

FAMILY = "ranking"


@loss(examples=[Example(input1=[2.0, 1.0], input2=[1.0, 3.0], labels=[1.0, 1.0], margin=0.5, value=1.25)])
def margin_ranking(
    input1: Scores[Tensor, "*shape"],
    input2: Scores[Tensor, "*shape"],
    labels: Signs[Tensor, "*shape"],
    *,
    margin: Real = 0.0,
) -> Unreduced[Tensor, "*shape"]:
    r"""Pairwise hinge loss: of two scores the right one must be larger, by a margin.

    Only the difference of the two scores counts. A pair in the right order and at least the margin apart costs nothing; any
    other costs what it lacks.

    Formula:
        \ell_i = \max(0, \; -y_i (a_i - b_i) + m)

    Args:
        input1: scores $a$ of the first items.
        input2: scores $b$ of the second items; same shape.
        labels: 1 if the first should rank higher, -1 if the second should $y$; same shape.
        margin: the difference $m$ that should be kept, in the unit of the scores.

    Returns:
        one loss per pair, in the unit of the scores.

    Use when:
        preferences come in pairs: search results, recommendations, which of two answers or pictures people liked better,
        sorting by quality or urgency.

    Avoid when:
        a probability of preference is wanted, or whole lists with grades are known.

    Source:
        Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000; torch.nn.MarginRankingLoss.
    """
    return F.margin_ranking_loss(input1, input2, labels, margin=margin, reduction="none")
