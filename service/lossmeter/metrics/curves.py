"""Metrics of scores over all thresholds: exact from samples, or from a histogram with a bound on the error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from lossmeter.metrics import areas
from lossmeter.metrics._parameters import Absent, Average, averaged, shares
from lossmeter.metrics.batches import Labelled, Labels
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.confidence import Interval
from lossmeter.metrics.levels import Levels
from lossmeter.metrics.scores import Samples, ScoreHistogram
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "curves"

TASKS = ("binary", "multiclass", "multilabel", "segmentation")
Scores = Samples | ScoreHistogram | Levels
SCORED = {"predictions_are": "probabilities", "predictions": [0.1, 0.4, 0.35, 0.8], "labels": [0, 0, 1, 1]}


@dataclass(frozen=True)
class Curves:
    """The way in which score distributions are kept.

    Attributes:
        bins: bins of the histogram; 0 keeps the samples themselves, which is exact and as large as the data.
        low, high: declared range of the scores, both ends included; probabilities have 0 and 1.
    """

    bins: int = 0
    low: float = 0.0
    high: float = 1.0

    def __str__(self) -> str:
        return f"{self.bins} bins" if self.bins else "exact"


@statistic(needs=["scores"], size=lambda classes, bins, _: 2 * classes * bins)
def score_distribution(batch: Labelled | Labels, w: Weighting, *, curves: Curves) -> Samples | ScoreHistogram:
    score, positive, column, elements = batch.one_against_rest()
    classes = batch.labels if isinstance(batch, Labels) else 1 if batch.binary else batch.classes
    weighting = elements.weighting(w.draws)
    if not curves.bins:
        odds = batch.log_odds
        if odds is not None:
            flat, y = odds.reshape(-1), positive.astype(np.float64)
            return Samples.of(flat, y, column, classes, weighting, batch.hashes, logits=True)
        return Samples.of(score, positive.astype(np.float64), column, classes, weighting, batch.hashes)
    inside = np.asarray((score >= curves.low) & (score <= curves.high))
    message = f"expected a score from {curves.low:g} to {curves.high:g}, the declared range"
    if not inside.all():
        whole = np.asarray(inside.reshape(len(batch.value), -1).all(axis=1))
        batch.demand(whole, "histogram", "predictions", lambda _: f"out of range; {message}")
    bounds = (curves.low, curves.high)
    return ScoreHistogram.of(score, positive, column, (classes, curves.bins), bounds, weighting)


def _pooled(scores: Scores, average: str) -> Scores:
    return scores.pooled() if average == "micro" else scores


def auroc_error(scores: Scores, *, average: str, absent: str) -> Array:
    """Half the share of pairs in the same bin: within a bin the order is unknown, so each pair is wrong by at most one half."""
    scores = _pooled(scores, average)
    _, ties, defined = scores.roc_areas
    if isinstance(scores, Samples):
        ties = np.zeros_like(ties)
    return averaged(ties, defined, scores.support, average, "skip" if absent == "skip" else "zero")


def average_precision_error(scores: Scores, *, average: str, absent: str) -> Array:
    """The larger distance to the best and the worst order that the samples within each bin can have."""
    scores = _pooled(scores, average)
    _, errors, defined = scores.precisions
    if isinstance(scores, Samples):
        errors = np.zeros_like(errors)
    return averaged(errors, defined, scores.support, average, "skip" if absent == "skip" else "zero")


def _interval(measure: Callable[..., Any], ends: areas.Ends) -> Callable[..., Interval | None]:
    """Makes the function that computes the interval of an area, from the scores and from those of replicates."""

    def interval(
        scores: Samples | ScoreHistogram,
        drawn: ScoreHistogram | None,
        values: Array | None,
        level: float,
        *,
        average: str,
        absent: str,
    ) -> Interval | None:
        pooled = _pooled(scores, average)
        assert not isinstance(pooled, Levels)
        more = drawn.pooled() if drawn is not None and average == "micro" else drawn
        area, _, defined = measure(pooled)
        share = shares(defined, pooled.support, average, absent)
        value = float(averaged(area, defined, pooled.support, average, absent))
        support = _support(pooled, more)
        return None if support is None else areas.interval(ends, value, area, share, support, values, level)

    return interval


def _support(scores: Samples | ScoreHistogram, drawn: ScoreHistogram | None) -> tuple[Array, Array] | None:
    """Positives and negatives per class, in units of equal weight: (Σ W)² / Σ W² (Kish), W being the weight in each unit."""
    if isinstance(scores, Samples):
        return scores.effective_units(1), scores.effective_units(0)
    if drawn is None:
        return None
    parts = []
    for name in ("positive", "negative"):
        whole, each = (getattr(one, name).sum(axis=-1) for one in (scores, drawn))
        parts.append(quotient(whole * whole, ((each - whole) ** 2).mean(axis=0), 0.0))
    return parts[0], parts[1]


@metric(
    undefined="only one class stands among the labels",
    aliases=("roc_auc", "roc_auc_score", "auc", "auc_roc"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    usual=("binary",),
    error_bound=auroc_error,
    interval=_interval(lambda scores: scores.roc_areas, areas.newcombe),
    examples=[Example("binary", **SCORED, value=0.75)],
)
def auroc(
    scores: Annotated[Scores, score_distribution],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
) -> Array:
    r"""Area under the ROC curve: how probably a positive scores higher than a negative.

    1 if all positives are above all negatives, one half for guessing. Equal scores count half. For several classes, each
    against the rest. From a histogram, samples in the same bin count as equal, and the error bound is half the share of such
    pairs.

    Formula:
        \frac{\sum_{i \in P} \sum_{j \in N} w_i w_j ([s_i > s_j] + \tfrac12 [s_i = s_j])}{\sum_{i \in P} w_i \sum_{j \in N} w_j}

    Args:
        scores: distribution of the scores of positives and negatives.
        average: `macro` averages over classes, `weighted` by how frequent they are, `micro` pools the scores of all classes,
            each a score of its own, and `none` gives one value per class.
        absent: what a class has without positives or without negatives.

    Returns:
        a number from 0 to 1; NaN if nothing is left to average.

    Use when:
        a ranking is judged before a threshold is chosen, and the frequency of the classes should not matter.

    Avoid when:
        positives are rare and only the top of the ranking is used: take `average_precision`.

    Source:
        Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982.
        https://doi.org/10.1148/radiology.143.1.7063747
    """
    scores = _pooled(scores, average)
    value, _, defined = scores.roc_areas
    return averaged(value, defined, scores.support, average, absent)


@metric(
    undefined="no label is positive",
    aliases=("average_precision_score", "ap", "auprc", "pr_auc", "auc_pr"),
    shared_names=("map",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    error_bound=average_precision_error,
    interval=_interval(lambda scores: scores.precisions, areas.of_positives),
    examples=[Example("binary", **SCORED, value=(1 + 2 / 3) / 2)],
)
def average_precision(
    scores: Annotated[Scores, score_distribution],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
) -> Array:
    r"""Average precision: the precision at the rank of each positive, averaged.

    The area under the precision-recall curve as a sum of steps, without interpolation. Guessing gives the frequency of the
    positives. From a histogram, the error bound comes from the best and the worst order within each bin.

    Formula:
        \sum_k (R_k - R_{k-1}) P_k

    Args:
        scores: distribution of the scores of positives and negatives.
        average: `macro` averages over classes, `weighted` by how frequent they are, `micro` pools the scores of all classes,
            each a score of its own, and `none` gives one value per class.
        absent: what a class has without positives.

    Returns:
        a number from 0 to 1; NaN if nothing is left to average.

    Use when:
        positives are rare and the top of the ranking is what is used: search, fraud, screening.

    Avoid when:
        data sets with another frequency of positives are compared.

    Source:
        Zhu, Recall, Precision and Average Precision, 2004.
    """
    scores = _pooled(scores, average)
    value, _, defined = scores.precisions
    return averaged(value, defined, scores.support, average, absent)


@metric(
    aliases=("roc",),
    tasks=TASKS,
    better="neither",
    kind="curve",
    uncertainty="none",
    examples=[
        Example(
            "binary",
            **SCORED,
            value=[
                {
                    "threshold": [np.inf, 0.8, 0.4, 0.35, 0.1],
                    "false_positive_rate": [0, 0, 0.5, 0.5, 1],
                    "true_positive_rate": [0, 0.5, 0.5, 1, 1],
                }
            ],
        )
    ],
)
def roc_curve(scores: Annotated[Scores, score_distribution]) -> list[dict[str, Array]]:
    r"""ROC curve: what each threshold finds, against what it alarms falsely.

    One point per distinct score, or per edge of a bin. The points of a histogram lie on the exact curve; only those between
    them are missing.

    Formula:
        (FPR(t), TPR(t)), \quad t = \infty \dots -\infty

    Args:
        scores: distribution of the scores of positives and negatives.

    Returns:
        one curve per class with the columns `threshold` (at or above it the answer is yes), `false_positive_rate` and
        `true_positive_rate`; NaN without negatives or positives.

    Use when:
        a threshold is to be chosen, or a detector shown at all its settings.

    Avoid when:
        positives are rare: take `pr_curve`.

    Source:
        Fawcett, An introduction to ROC analysis, 2006. https://doi.org/10.1016/j.patrec.2005.10.010
    """
    curves = []
    for column in range(scores.classes):
        threshold, tp, fp = scores.steps(column)
        tp, fp = (np.concatenate([[0.0], part]) for part in (tp, fp))
        curves.append(
            {
                "threshold": np.concatenate([[np.inf], threshold]),
                "false_positive_rate": quotient(fp, fp[-1]),
                "true_positive_rate": quotient(tp, tp[-1]),
            }
        )
    return curves


@metric(
    aliases=("precision_recall_curve",),
    tasks=TASKS,
    better="neither",
    kind="curve",
    uncertainty="none",
    examples=[
        Example(
            "binary",
            **SCORED,
            value=[{"threshold": [0.8, 0.4, 0.35, 0.1], "precision": [1, 0.5, 2 / 3, 0.5], "recall": [0.5, 0.5, 1, 1]}],
        )
    ],
)
def pr_curve(scores: Annotated[Scores, score_distribution]) -> list[dict[str, Array]]:
    r"""Precision-recall curve: what each threshold finds, against how much of it is right.

    One point per distinct score, or per edge of a bin. The points of a histogram lie on the exact curve; only those between
    them are missing.

    Formula:
        (R(t), P(t)), \quad t = \infty \dots -\infty

    Args:
        scores: distribution of the scores of positives and negatives.

    Returns:
        one curve per class with the columns `threshold` (at or above it the answer is yes), `precision` and `recall`; recall is
        NaN without positives, precision where nothing is above the threshold.

    Use when:
        positives are rare and a threshold is to be chosen.

    Avoid when:
        the frequency of positives in the data is not that of the world.

    Source:
        Raghavan, Bollmann and Jung, A critical investigation of recall and precision, 1989.
        https://doi.org/10.1145/65943.65945
    """
    curves = []
    for column in range(scores.classes):
        threshold, tp, fp = scores.steps(column)
        positives = tp[-1] if len(tp) else 0.0
        curves.append({"threshold": threshold, "precision": quotient(tp, tp + fp), "recall": quotient(tp, positives)})
    return curves
