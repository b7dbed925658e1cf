"""Losses for order: which of two items should come first."""

from __future__ import annotations

from math import exp, log1p

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._queries import DocumentMask, QueryScores, all_documents, documents
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import FixedRelevances, Real, Scores, Signs, Unreduced

FAMILY = "ranking"
TASKS = ("ranking",)


@loss(
    suits={
        "maximum_margin": "Of two scores the right one must be larger by a margin, and then no longer counts.",
        "preferences": "It takes scores of pairs of anything, with the better one named.",
    },
    aliases=["margin_ranking_loss"],
    sweeps=5,
    examples=[Example(input1=[2.0, 1.0], input2=[1.0, 3.0], labels=[1.0, 1.0], margin=0.5, value=1.25)],
)
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


@loss(
    suits={"implicit_feedback": "What somebody chose should score above what they did not."},
    aliases=["bayesian_personalized_ranking", "bpr_loss"],
    sweeps=5,
    examples=[Example(positive=[2.0, 0.0], negative=[1.0, 3.0], value=(log1p(exp(-1)) + log1p(exp(3))) / 2)],
)
def bpr(positive: Scores[Tensor, "*shape"], negative: Scores[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Bayesian personalised ranking: what somebody chose should score above what they did not choose.

    The difference of the two scores, through a sigmoid, is the probability that the chosen item is preferred; the loss is
    minus its logarithm. Equal scores cost log 2 = 0.69, a chosen item that is far ahead costs nothing, one that is behind
    costs as much as it is behind. Nobody has to say that the other item is bad: it is enough that it was not chosen, so
    that negatives can be drawn at random from everything else.

    Formula:
        \ell_i = -\log \sigma(p_i - n_i)

    Args:
        positive: scores $p$ of items that were chosen.
        negative: scores $n$ of items that were not, for the same person or query; same shape.

    Returns:
        one loss per pair, in nats.

    Use when:
        there is implicit feedback only: clicks, purchases, plays, visits; recommendation by matrix factorisation or two towers.

    Avoid when:
        grades of whole lists are known (take `ranknet`, `listnet` or `approx_ndcg`), or negatives should stop mattering
        beyond a margin (take `margin_ranking`).

    Source:
        Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, 2009. https://arxiv.org/abs/1205.2618.
    """
    return -F.logsigmoid(positive - negative)


def _comparable(arguments: Arguments) -> Support:
    """Queries count in which one document is more relevant than another."""
    labels, present = arguments["labels"], all_documents(arguments)
    if not labels.shape[1]:
        return Support(torch.zeros(len(labels), dtype=torch.bool))
    highest = labels.masked_fill(~present, -torch.inf).amax(1)
    lowest = labels.masked_fill(~present, torch.inf).amin(1)
    return Support(highest > lowest)


@loss(
    suits={"graded_lists": "Each pair in the wrong order counts alike, wherever it stands."},
    copies=6,
    aliases=["pairwise_logistic"],
    support=_comparable,
    intermediate="Q D D",
    examples=[
        Example(predictions=[[2.0, 1.0, 0.0]], labels=[[1.0, 2.0, 1.0]], value=(log1p(exp(1)) + log1p(exp(-1))) / 2),
        Example(
            predictions=[[2.0, 1.0, 0.0]],
            labels=[[1.0, 2.0, 1.0]],
            mask=[[True, True, False]],
            value=log1p(exp(1)),
        ),
    ],
)
def ranknet(
    predictions: QueryScores, labels: FixedRelevances[Tensor, "Q D"], *, mask: DocumentMask | None = None
) -> Unreduced[Tensor, "Q"]:
    r"""RankNet: of any two documents of a query the more relevant one should score higher.

    All pairs of documents of which one is more relevant are looked at. The difference of their scores, through a sigmoid,
    is the probability of the right order, and the pair costs minus its logarithm; pairs of equal relevance cost nothing,
    however they are scored. The value of a query is the mean over its pairs, so that long lists do not outweigh short ones.
    Only the order of the labels counts, not by how much they differ.

    A query without two documents of different relevance has nothing to teach and does not count. A mask of one number per
    document leaves documents out; one of one number per query leaves queries out. TF-Ranking's `pairwise_logistic_loss` and
    allRank's `rankNet` sum or average over all pairs of the batch instead: weigh queries with their number of pairs for
    that.

    Formula:
        \ell_q = \frac{1}{|P_q|} \sum_{(i, j) \in P_q} -\log \sigma(s_{qi} - s_{qj}), \qquad
        P_q = \{ (i, j) : y_{qi} > y_{qj} \}

    Args:
        labels: how relevant each document is, $y$; only their order within a query counts.

    Returns:
        one loss per query, in nats; 0 where no document is more relevant than another.

    Use when:
        search results or candidates are graded and pairs in the wrong order should count alike, wherever they stand; labels
        are an order without a scale.

    Avoid when:
        the top of the list matters most (take `approx_ndcg`), lists are so long that all pairs are too many (take `listnet` or
        `list_mle`), or pairs come as such (take `bpr`).

    Source:
        Burges et al., Learning to Rank using Gradient Descent, 2005. https://doi.org/10.1145/1102351.1102363.
    """
    present = documents(mask, predictions)
    scores = predictions.masked_fill(~present, 0.0)
    ordered = (labels.unsqueeze(2) > labels.unsqueeze(1)) & present.unsqueeze(2) & present.unsqueeze(1)
    differences = (scores.unsqueeze(2) - scores.unsqueeze(1)).masked_fill(~ordered, 0.0)
    costs = F.logsigmoid(differences).masked_fill(~ordered, 0.0)
    return -costs.sum((1, 2)) / ordered.sum((1, 2)).clamp(min=1)
