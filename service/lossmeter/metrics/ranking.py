"""Metrics of rankings: one value per whole query, averaged over queries, so that batches of queries merge exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from lossmeter.metrics._parameters import Absent, PositiveInteger
from lossmeter.metrics.batches import Queries
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Booleans, Weighting, quotient

FAMILY = "ranking"

TASKS = ("ranking",)
QUERIES = {
    "predictions_are": "scores",
    "predictions": [[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]],
    "labels": [[1, 0, 1, 0], [0, 1, 0, 0]],
}
DEEPEST = 1_000_000
GAINS = {"linear": lambda grade: grade, "exponential": lambda grade: np.exp2(grade) - 1}


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates of each query from the best score down; all of shape (m, D).

    Attributes:
        relevance: grades in that order; 0 where there is no candidate.
        above: number of candidates with a higher score.
        reached: number of candidates with at least that score.
    """

    relevance: Array
    above: npt.NDArray[Any]
    reached: npt.NDArray[Any]

    @classmethod
    def of(cls, batch: Queries) -> Ranking:
        scores = np.where(batch.counted, batch.scores, -np.inf)
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=1)
        place = np.broadcast_to(np.arange(ranked.shape[1]), ranked.shape)
        new = np.ones(ranked.shape, bool)
        new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        last = np.ones(ranked.shape, bool)
        last[:, :-1] = new[:, 1:]
        above = np.maximum.accumulate(np.where(new, place, 0), axis=1)
        reached = np.minimum.accumulate(np.where(last, place + 1, ranked.shape[1])[:, ::-1], axis=1)[:, ::-1]
        relevance = np.take_along_axis(np.where(batch.counted, batch.relevance, 0.0), order, axis=1)
        return cls(relevance, above, reached)

    def expected(self, gain: Array, value_of_place: Array) -> Array:
        """Σ gain · value of the place, candidates of equal score sharing the mean value of their places."""
        below = np.concatenate([[0.0], np.cumsum(value_of_place)])
        shared = (below[self.reached] - below[self.above]) / (self.reached - self.above)
        return np.asarray((gain * shared).sum(axis=1))


def _average(value: Array, known: Booleans, absent: str, w: Weighting) -> Quotient:
    """Over queries; those without a relevant candidate have what `absent` says."""
    if absent == "skip":
        return Ratio.of(np.where(known, value, 0.0), w, base=known.astype(np.float64))
    return Ratio.of(np.where(known, value, {"zero": 0.0, "one": 1.0, "nan": np.nan}[absent]), w)


@statistic()
def discounted_gains(batch: Queries, w: Weighting, *, k: int, gain: str, absent: str) -> Quotient:
    ranking = Ranking.of(batch)
    gains = GAINS[gain](ranking.relevance)
    place = np.arange(gains.shape[1])
    discount = np.where(place < k, 1 / np.log2(place + 2), 0.0)
    ideal = -np.sort(-gains, axis=1)
    best = (ideal * discount).sum(axis=1)
    value = np.clip(quotient(ranking.expected(gains, discount), best, 0.0), 0.0, 1.0)
    # Equals share the mean of their places, so that only an order of equal gains within them is the ideal one.
    shared = np.take_along_axis(gains, ranking.above, axis=1) == gains
    value = np.where((gains == ideal).all(axis=1) & shared.all(axis=1), 1.0, value)
    return _average(value, best > 0, absent, w)


@statistic()
def precisions_of_queries(batch: Queries, w: Weighting, *, absent: str) -> Quotient:
    ranking = Ranking.of(batch)
    relevant = (ranking.relevance > 0).astype(np.float64)
    found = np.take_along_axis(np.cumsum(relevant, axis=1), ranking.reached - 1, axis=1)
    number = relevant.sum(axis=1)
    value = quotient((relevant * found / ranking.reached).sum(axis=1), number, 0.0)
    return _average(np.minimum(value, 1.0), number > 0, absent, w)


@statistic()
def first_hits(batch: Queries, w: Weighting, *, absent: str) -> Quotient:
    ranking = Ranking.of(batch)
    relevant = ranking.relevance > 0
    value = np.where(relevant, 1 / ranking.reached, 0.0).max(axis=1, initial=0.0)
    return _average(value, np.asarray(relevant.any(axis=1)), absent, w)


@statistic()
def hits_at_k(batch: Queries, w: Weighting, *, k: int, absent: str) -> Quotient:
    ranking = Ranking.of(batch)
    relevant = (ranking.relevance > 0).astype(np.float64)
    hits = ranking.expected(relevant, (np.arange(relevant.shape[1]) < k).astype(np.float64))
    return _average(np.minimum(hits / k, 1.0), relevant.sum(axis=1) > 0, absent, w)


@statistic()
def found_at_k(batch: Queries, w: Weighting, *, k: int, absent: str) -> Quotient:
    ranking = Ranking.of(batch)
    relevant = (ranking.relevance > 0).astype(np.float64)
    hits = ranking.expected(relevant, (np.arange(relevant.shape[1]) < k).astype(np.float64))
    number = relevant.sum(axis=1)
    return _average(np.minimum(quotient(hits, number, 0.0), 1.0), number > 0, absent, w)


@metric(
    undefined="no query has a relevant candidate",
    aliases=("ndcg_score", "retrieval_normalized_dcg", "normalized_discounted_cumulative_gain"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    usual=TASKS,
    examples=[Example("ranking", **QUERIES, value=float((1.5 / (1 + 1 / np.log2(3)) + 1 / 2) / 2))],
)
def ndcg(
    gains: Annotated[Quotient, discounted_gains],
    *,
    k: PositiveInteger = DEEPEST,
    gain: Literal["linear", "exponential"] = "linear",
    absent: Absent = "skip",
) -> Array:
    r"""Normalised discounted cumulative gain: how much of the best possible ranking's worth is there.

    Relevant candidates earn their grade, the less the further down they stand; divided by what the ideal order earns.
    Candidates of equal score share the mean of their places.

    Formula:
        \frac{DCG}{IDCG}, \quad DCG = \sum_{j=1}^{k} \frac{g(r_j)}{\log_2(j + 1)}

    Args:
        gains: mean over queries.
        k: how far down the ranking counts.
        gain: `linear` earns the grade $r$ itself, `exponential` earns $2^r - 1$.
        absent: what a query has without any relevant candidate.

    Returns:
        a number from 0 to 1; NaN if no query is left.

    Use when:
        relevance comes in grades and the top matters most: search, recommendation.

    Avoid when:
        just one right answer exists: take `mrr`.

    Source:
        Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002. https://doi.org/10.1145/582415.582418
    """
    return gains.mean


@metric(
    undefined="no query has a relevant candidate",
    aliases=("retrieval_map",),
    shared_names=("map",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    usual=TASKS,
    examples=[Example("ranking", **QUERIES, value=((1 + 2 / 3) / 2 + 1 / 3) / 2)],
)
def mean_average_precision(precisions: Annotated[Quotient, precisions_of_queries], *, absent: Absent = "skip") -> Array:
    r"""Mean average precision over queries.

    For each query, the precision at the rank of each relevant candidate, averaged; then the mean over queries. Of equal scores
    each has the last of their places. Any grade above 0 is relevant.

    Formula:
        \frac{1}{Q} \sum_q \frac{1}{|R_q|} \sum_{j \in R_q} \frac{|\{i \in R_q : s_i \ge s_j\}|}{|\{i : s_i \ge s_j\}|}

    Args:
        precisions: mean over queries.
        absent: what a query has without any relevant candidate.

    Returns:
        a number from 0 to 1; NaN if no query is left.

    Use when:
        several candidates are relevant and all should be found early.

    Avoid when:
        relevance comes in grades: take `ndcg`.

    Source:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return precisions.mean


@metric(
    undefined="no query has a relevant candidate",
    aliases=("mean_reciprocal_rank", "retrieval_mrr"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    usual=TASKS,
    examples=[Example("ranking", **QUERIES, value=(1 + 1 / 3) / 2)],
)
def mrr(hits: Annotated[Quotient, first_hits], *, absent: Absent = "skip") -> Array:
    r"""Mean reciprocal rank: one over the place of the first relevant candidate, averaged over queries.

    1 if the first is always relevant, one half if always the second. Of equal scores each has the last of their places.

    Formula:
        \frac{1}{Q} \sum_q \frac{1}{\operatorname{rank}_q}

    Args:
        hits: mean over queries.
        absent: what a query has without any relevant candidate.

    Returns:
        a number from 0 to 1; NaN if no query is left.

    Use when:
        one right answer is enough: question answering, autocompletion.

    Avoid when:
        more than the first relevant candidate matters: take `mean_average_precision` or `ndcg`.

    Source:
        Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    return hits.mean


@metric(
    undefined="no query has a relevant candidate",
    aliases=("retrieval_precision",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    examples=[
        Example("ranking", **QUERIES, k=2, value=0.25),
        Example("ranking", **QUERIES, k=3, value=(2 / 3 + 1 / 3) / 2),
    ],
)
def precision_at_k(hits: Annotated[Quotient, hits_at_k], *, k: PositiveInteger = 10, absent: Absent = "skip") -> Array:
    r"""Precision at k: how many of the first k candidates are relevant.

    Divided by k even where a query has fewer candidates. Where equal scores straddle the k-th place, the expected number of
    hits.

    Formula:
        \frac{1}{Q} \sum_q \frac{|R_q \cap \text{top}_k|}{k}

    Args:
        hits: mean over queries.
        k: how many candidates are looked at.
        absent: what a query has without any relevant candidate.

    Returns:
        a number from 0 to 1; NaN if no query is left.

    Use when:
        a fixed number of results is shown.

    Avoid when:
        queries have fewer than k relevant candidates: even a perfect ranking is then below 1; take `recall_at_k` or `ndcg`.

    Source:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return hits.mean


@metric(
    undefined="no query has a relevant candidate",
    aliases=("retrieval_recall",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    examples=[Example("ranking", **QUERIES, k=2, value=0.25)],
)
def recall_at_k(found: Annotated[Quotient, found_at_k], *, k: PositiveInteger = 10, absent: Absent = "skip") -> Array:
    r"""Recall at k: how many of the relevant candidates are among the first k.

    Where equal scores straddle the k-th place, the expected share.

    Formula:
        \frac{1}{Q} \sum_q \frac{|R_q \cap \text{top}_k|}{|R_q|}

    Args:
        found: mean over queries.
        k: how many candidates are looked at.
        absent: what a query has without any relevant candidate.

    Returns:
        a number from 0 to 1; NaN if no query is left.

    Use when:
        a first stage must not lose what a second one will sort: retrieval before reranking.

    Avoid when:
        the order among the first k matters: take `ndcg`.

    Source:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return found.mean
