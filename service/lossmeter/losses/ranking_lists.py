"""Losses for the order of whole lists: all documents of a query together."""

from __future__ import annotations

from math import log, log2

import torch
from torch import Tensor

from lossmeter.losses._queries import DocumentMask, QueryScores, all_documents, documents, with_documents
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import FixedRelevances, Grades, Positive, Relevances, Unreduced

FAMILY = "ranking"
TASKS = ("ranking",)


@loss(
    suits={
        "usual": "It is one pass over a graded list, with a smooth target.",
        "graded_lists": "Grades become a distribution over the list, which scores match.",
    },
    aliases=["listnet_loss"],
    support=with_documents,
    examples=[
        Example(predictions=[[log(3), 0.0]], labels=[[0.0, 0.0]], value=-(log(0.75) + log(0.25)) / 2),
        Example(
            predictions=[[log(3), 0.0, 9.0]],
            labels=[[log(4), 0.0, 5.0]],
            mask=[[True, True, False]],
            value=-0.8 * log(0.75) - 0.2 * log(0.25),
        ),
    ],
)
def listnet(
    predictions: QueryScores, labels: Relevances[Tensor, "Q D"], *, mask: DocumentMask | None = None
) -> Unreduced[Tensor, "Q"]:
    r"""ListNet: cross entropy between two distributions over the documents of a query, of the labels and of the scores.

    Softmax makes of the scores how probable each document is to come first, and of the labels how probable it should be;
    the loss compares the two. It is cheap, smooth, and looks at the whole list at once. The best scores are the labels
    themselves, up to a constant, and even they cost the entropy of the labels: watch how the loss changes, not how far from
    0 it is. With two documents it is the logistic loss of their difference. Differences of labels are log-odds: grades 0 to
    4 make the best document 55 times as probable as the worst, so scale the labels if that is not what they mean.

    A mask of one number per document leaves documents out; one of one number per query leaves queries out. optax's
    `ranking_softmax_loss` and TF-Ranking's `softmax_loss` take labels as weights, without the softmax: give the logarithms of
    labels that sum to 1 for that.

    Formula:
        \ell_q = -\sum_{i} \frac{e^{y_{qi}}}{\sum_k e^{y_{qk}}} \log \frac{e^{s_{qi}}}{\sum_k e^{s_{qk}}}

    Args:
        labels: how relevant each document is, $y$, on a scale whose differences are log-odds.

    Returns:
        one loss per query, in nats; 0 for a query without documents, which does not count.

    Use when:
        lists are graded and long: one pass over the list, no pairs; a good first choice of a listwise loss.

    Avoid when:
        only the order of the labels means something (take `list_mle` or `ranknet`), or the top of the list is all that matters
        (take `approx_ndcg`).

    Source:
        Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, 2007.
        https://doi.org/10.1145/1273496.1273513.
    """
    present = documents(mask, predictions)
    lowest = torch.finfo(predictions.dtype).min
    shares = labels.masked_fill(~present, lowest).softmax(1).masked_fill(~present, 0.0)
    # A document that is no part of either distribution adds 0, not 0 times infinity.
    logarithms = predictions.masked_fill(~present, lowest).log_softmax(1).masked_fill(shares == 0, 0.0)
    return -(shares * logarithms).sum(1)


@loss(
    suits={"graded_lists": "It is the likelihood of the whole order."},
    aliases=["list_mle_loss"],
    copies=8,
    sweeps=40,
    support=with_documents,
    examples=[
        Example(predictions=[[log(3), log(2), 0.0]], labels=[[1.0, 5.0, 0.0]], value=-log(2 / 6) - log(3 / 4)),
        Example(
            predictions=[[log(3), log(2), 0.0]],
            labels=[[1.0, 5.0, 0.0]],
            mask=[[True, True, False]],
            value=-log(2 / 5),
        ),
    ],
)
def list_mle(
    predictions: QueryScores, labels: FixedRelevances[Tensor, "Q D"], *, mask: DocumentMask | None = None
) -> Unreduced[Tensor, "Q"]:
    r"""ListMLE: how improbable the right order is if documents are drawn one after the other, by their scores.

    Documents are drawn without putting them back, each with a probability in proportion to the exponential of its score (the
    model of Plackett and Luce). The loss is minus the logarithm of the probability that they come in the order of the labels:
    the best first among all, the second among the rest, and so on. It grows with the length of the list.

    Only the order of the labels counts. Equal labels leave open which order is right: they are taken in the order in which they
    are given (allRank and TF-Ranking draw one by chance: shuffle the documents for that). A mask of one number per document
    leaves documents out; one of one number per query leaves queries out.

    Formula:
        \ell_q = \sum_{i} \Bigl( \log \sum_{k \ge i} e^{s_{q \pi(k)}} - s_{q \pi(i)} \Bigr), \qquad
        y_{q \pi(1)} \ge y_{q \pi(2)} \ge \dots

    Args:
        labels: how relevant each document is, $y$; only their order within a query counts.

    Returns:
        one loss per query, in nats; 0 for a query without documents, which does not count.

    Use when:
        the whole order is known and matters: rankings by people, tournaments, preferences over several answers of a
        language model.

    Avoid when:
        labels have few levels, so that most of the order is arbitrary (take `listnet`, `ranknet` or `approx_ndcg`).

    Source:
        Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, 2008. https://doi.org/10.1145/1390156.1390306.
    """
    present = documents(mask, predictions)
    order = labels.masked_fill(~present, -torch.inf).argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, present.gather(1, order).to(torch.uint8).argsort(dim=1, descending=True, stable=True))
    present = present.gather(1, order)
    scores = predictions.gather(1, order)
    remaining = scores.masked_fill(~present, torch.finfo(scores.dtype).min).flip(1).logcumsumexp(1).flip(1)
    return (remaining - scores).masked_fill(~present, 0.0).sum(1)


def _gains(labels: Tensor) -> Tensor:
    """2^y - 1, divided by 2 to the largest y of the query: what all gains share changes no quotient, and could overflow."""
    top = labels.amax(1, keepdim=True) if labels.shape[1] else labels
    return torch.exp2(labels - top) * -torch.expm1(-log(2) * labels)


def _relevant(arguments: Arguments) -> Support:
    """Queries count that have a document with a grade above 0."""
    return Support(((arguments["labels"] > 0) & all_documents(arguments)).any(1))


@loss(
    suits={"graded_lists": "It descends NDCG itself, where the top of the list counts most."},
    aliases=["approx_ndcg_loss"],
    chunked=False,  # sigmoid and log2 of the last few elements of a tensor differ in their last bits
    support=_relevant,
    intermediate="Q D D",
    examples=[
        Example(predictions=[[0.0, 0.0]], labels=[[1, 0]], value=1 - 1 / log2(2.5)),
        Example(
            predictions=[[0.0, log(3)]],
            labels=[[2, 1]],
            value=1 - (3 / log2(2.75) + 1 / log2(2.25)) / (3 + 1 / log2(3)),
        ),
    ],
)
def approx_ndcg(
    predictions: QueryScores,
    labels: Grades[Tensor, "Q D"],
    *,
    mask: DocumentMask | None = None,
    temperature: Positive = 1.0,
) -> Unreduced[Tensor, "Q"]:
    r"""ApproxNDCG: 1 minus the metric NDCG itself, with smooth ranks in place of counted ones.

    NDCG adds up the gains of the documents, each discounted by its rank, and divides by the best sum there could be. Ranks
    jump, so they have no gradient; here the rank of a document is 1 plus the sum of how surely each other document scores
    higher, a sigmoid of the difference. The loss is between 0 (perfect) and 1 and follows what searchers see: an error at
    the top costs much, one far down little.

    A low temperature is closer to NDCG and has less gradient; scores a few units apart at temperature 1 are ranks already.
    TF-Ranking takes 0.1, allRank 1. A query without any relevant document has no NDCG and does not count. A mask of one
    number per document leaves documents out; one of one number per query leaves queries out.

    Formula:
        \ell_q = 1 - \frac{\sum_i g_{qi} / \log_2 (1 + \tilde r_{qi})}{\sum_i g_{qi} / \log_2 (1 + r^*_{qi})}, \qquad
        g = 2^y - 1, \quad \tilde r_{qi} = 1 + \sum_{j \ne i} \sigma \Bigl( \frac{s_{qj} - s_{qi}}{\tau} \Bigr), \quad
        r^* \text{: rank by label}

    Args:
        labels: grades $y$ of the documents, 0 for irrelevant; 0 and 1, or 0 to 4, are usual.
        temperature: the difference $\tau$ of scores at which an order is fairly sure.

    Returns:
        one loss per query, between 0 and 1; 0 where no document is relevant, which does not count.

    Use when:
        NDCG is what is judged in the end: web and product search, recommendation lists of which the top is seen.

    Avoid when:
        training begins from scores that are far from right, where the gradient is small (begin with `listnet`), or lists are so
        long that all pairs are too many.

    Source:
        Qin, Liu and Li, A General Approximation Framework for Direct Optimization of Information Retrieval Measures, 2010.
        https://doi.org/10.1007/s10791-009-9124-x.
    """
    present = documents(mask, predictions)
    gains = _gains(labels.masked_fill(~present, 0.0))
    scores = predictions.masked_fill(~present, 0.0)
    above = torch.sigmoid((scores.unsqueeze(1) - scores.unsqueeze(2)) / temperature)
    itself = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    ranks = 1 + above.masked_fill(~present.unsqueeze(1) | itself, 0.0).sum(2)
    places = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype, device=scores.device)
    ideal = (gains.sort(dim=1, descending=True).values / torch.log2(1 + places)).sum(1)
    share = (gains / torch.log2(1 + ranks)).sum(1) / ideal.masked_fill(ideal == 0, 1.0)
    return (1 - share).masked_fill(ideal == 0, 0.0)
