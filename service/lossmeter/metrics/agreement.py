"""Metrics of decisions that correct for chance, or for how unequal the classes are."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from lossmeter.metrics._counts import ClassCounts
from lossmeter.metrics._parameters import Absent, Fraction, averaged
from lossmeter.metrics._posterior import HalfDecisions, with_prior
from lossmeter.metrics.batches import Labelled
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.decisions import BINARY, MULTICLASS, class_counts, counts_prior
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "agreement"

EXCLUSIVE = ("binary", "multiclass", "segmentation")
PENALTIES = {
    "none": lambda distance: (distance > 0).astype(np.float64),
    "linear": lambda distance: distance,
    "quadratic": lambda distance: distance**2,
}


@statistic(needs=["classes"])
def distance_of_classes(batch: Labelled, w: Weighting, *, weights: str, threshold: float) -> Quotient:
    distance = np.abs(batch.predicted(threshold) - batch.label).astype(np.float64)
    return Ratio.of(PENALTIES[weights](distance), w)


@metric(
    undefined="no class stands among the labels",
    aliases=("balanced_accuracy_score", "bacc"),
    tasks=("binary", "multiclass", "segmentation"),
    better="higher",
    bounds=(None, 1.0),
    prior=counts_prior,
    examples=[Example("binary", **BINARY, value=2 / 3), Example("multiclass", **MULTICLASS, value=1 / 3)],
)
def balanced_accuracy(
    counts: Annotated[ClassCounts, class_counts],
    *,
    adjusted: bool = False,
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Balanced accuracy: the mean recall of the classes.

    What the accuracy would be if all classes were equally frequent. Always answering the commonest class gives 1 / C.

    Formula:
        \frac{1}{C} \sum_c \frac{TP_c}{TP_c + FN_c}

    Args:
        counts: right and wrong decisions per class.
        adjusted: rescale so that chance is 0 and perfection 1.
        absent: what a class has that no label names.
        threshold: binary: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; adjusted, from -1 / (C - 1) to 1.

    Use when:
        classes are unbalanced and each matters as much.

    Avoid when:
        the frequency of the classes in the data is that of the world, and decisions are what counts: take `accuracy`.

    Source:
        Brodersen et al., The Balanced Accuracy and Its Posterior Distribution, 2010. https://doi.org/10.1109/ICPR.2010.764
    """
    _, actual, _, _ = counts.exclusive()
    right = counts.true_positive
    if right.shape[-1] == 1:
        right = np.concatenate([counts.true_negative, right], axis=-1)
    present = actual > 0
    value = averaged(quotient(right, actual, 0.0), present, actual, "macro", absent)
    if not adjusted:
        return value
    chance = quotient(1.0, present.sum(axis=-1) if absent == "skip" else actual.shape[-1])
    return quotient(value - chance, 1 - chance)


@metric(
    aliases=("mcc", "matthews_corrcoef", "matthews_correlation", "matthews_correlation_coefficient"),
    tasks=("binary", "multiclass", "segmentation"),
    better="higher",
    bounds=(-1.0, 1.0),
    prior=counts_prior,
    examples=[Example("binary", **BINARY, value=1 / 3), Example("multiclass", **MULTICLASS, value=0.0)],
)
def matthews(counts: Annotated[ClassCounts, class_counts], *, threshold: Fraction = 0.5) -> Array:
    r"""Matthews' correlation coefficient: the correlation of predicted and actual class.

    High only if the classifier does well on every class, the rare and the negative ones included; 0 is chance, -1 is always
    wrong (of two classes).

    Formula:
        \frac{c s - \sum_k p_k t_k}{\sqrt{(s^2 - \sum_k p_k^2)(s^2 - \sum_k t_k^2)}}

    Args:
        counts: right and wrong decisions per class; $c$ is the weight decided rightly, $s$ all weight, $p_k$ and $t_k$ the
        weight predicted as and actually of class $k$.
        threshold: binary: probability above which the answer is yes.

    Returns:
        a number from -1 to 1; 0 if only one class is ever predicted or occurs; NaN without samples.

    Use when:
        a single figure for an unbalanced problem is wanted.

    Avoid when:
        the audience needs a share it can picture: take `balanced_accuracy`.

    Source:
        Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
        https://doi.org/10.1016/j.compbiolchem.2004.09.006
    """
    agreed, actual, predicted, seen = counts.exclusive()
    agreed, actual, predicted = (
        quotient(part, seen if part.ndim == seen.ndim else seen[..., None]) for part in (agreed, actual, predicted)
    )
    # 1 - Σ p² = Σ p (1 - p), without cancelling
    spread = [np.sqrt(np.maximum(part * (1 - part), 0.0).sum(axis=-1)) for part in (actual, predicted)]
    value = quotient(agreed - (actual * predicted).sum(axis=-1), spread[0] * spread[1], 0.0)
    alone = np.minimum((actual > 0).sum(axis=-1), (predicted > 0).sum(axis=-1)) < 2
    wrong = counts.false_positive.sum(axis=-1) + counts.false_negative.sum(axis=-1)
    value = np.where(wrong == 0, 1.0, np.clip(value, -1.0, 1.0))
    return np.where(seen > 0, np.where(alone, 0.0, value), np.nan)


def kappa_prior(
    states: tuple[ClassCounts, Quotient],
    drawn: tuple[ClassCounts, Quotient],
    name: str,
    *,
    weights: str,
    **_: object,
) -> tuple[ClassCounts, Quotient]:
    """The replicates of counts and of penalties with the same half counts."""
    counts, distance = drawn
    more = with_prior(states[0], counts, name)
    if states[0].seen.shape[-1] == 1:
        wrong = (more.false_positive - counts.false_positive + more.false_negative - counts.false_negative)[..., 0]
    else:
        halves = HalfDecisions(states[0], counts, name)
        wrong = sum(
            amount * PENALTIES[weights](np.abs(actual - predicted).astype(np.float64))
            for actual, predicted, amount in halves.wrong
        )
    added = more.seen[..., 0] - counts.seen[..., 0]
    return more, Quotient(distance.numerator + wrong, distance.denominator + added)


@metric(
    undefined="all labels and predictions are of one class",
    aliases=("cohen_kappa_score", "kappa", "cohens_kappa"),
    tasks=EXCLUSIVE,
    better="higher",
    bounds=(None, 1.0),
    prior=kappa_prior,
    examples=[
        Example("binary", **BINARY, value=1 / 3),
        Example("multiclass", **MULTICLASS, weights="linear", value=0.25),
    ],
)
def cohen_kappa(
    counts: Annotated[ClassCounts, class_counts],
    distance: Annotated[Quotient, distance_of_classes],
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Cohen's kappa: agreement beyond what chance would give.

    1 is full agreement, 0 what two raters reach who answer independently with the same frequencies. For ordered classes,
    weights make a near miss cost less than a far one.

    Formula:
        1 - \frac{\sum_{ij} d_{ij} O_{ij}}{\sum_{ij} d_{ij} E_{ij}}

    Args:
        counts: actual and predicted frequencies of the classes.
        distance: mean penalty of the decisions.
        weights: `none` penalises every mistake alike, `linear` by the distance of the class indices, `quadratic` by its square.
        threshold: binary: probability above which the answer is yes.

    Returns:
        a number up to 1; NaN if chance alone explains everything (one class only).

    Use when:
        predictions are compared with raters, or grades are predicted: medical scores, essay marks (quadratic).

    Avoid when:
        data sets with other frequencies of the classes are compared: chance differs.

    Source:
        Cohen, A Coefficient of Agreement for Nominal Scales, 1960. https://doi.org/10.1177/001316446002000104
    """
    _, actual, predicted, seen = counts.exclusive()
    above = _penalties_of_lower(actual, weights)
    below = _penalties_of_lower(actual[..., ::-1], weights)[..., ::-1]
    expected = ((above + below) * predicted).sum(axis=-1)
    return 1 - quotient(distance.mean * seen * seen, expected)


def _penalties_of_lower(weight: Array, weights: str) -> Array:
    """For each class, what all classes below it add to its expected penalty, without a table of classes by classes.

    Sums of sums: the number of steps between two classes is how often the lower one is counted on the way to the higher one,
    and the square of n is the sum of 2k - 1 over k up to n. All terms are positive, so that nothing cancels.

    Args:
        weight: of each class; shape (..., C).
        weights: the kind of penalty.

    Returns:
        shape (..., C).
    """
    lower = np.zeros_like(weight)
    np.cumsum(weight[..., :-1], axis=-1, out=lower[..., 1:])
    if weights == "none":
        return lower
    steps = np.cumsum(lower, axis=-1)
    return steps if weights == "linear" else np.cumsum(2 * steps - lower, axis=-1)
