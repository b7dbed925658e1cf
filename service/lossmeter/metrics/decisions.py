"""Metrics of decisions class by class: which of them were right, from counts of right and wrong ones."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics._counts import ClassCounts
from lossmeter.metrics._parameters import Absent, Average, Fraction, Positive, averaged
from lossmeter.metrics._posterior import with_prior
from lossmeter.metrics._trials import OVERLAP, f_ends, same_ends, trials_of
from lossmeter.metrics.batches import Labelled, Labels
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.weighting import Array, Booleans, Weighting, quotient

FAMILY = "decisions"

TASKS = ("binary", "multiclass", "multilabel", "segmentation")
BINARY = {"predictions_are": "classes", "predictions": [1, 1, 0, 1, 0, 0], "labels": [1, 0, 0, 1, 1, 0]}
MULTICLASS = {
    "predictions_are": "classes",
    "predictions": [0, 2, 1, 0, 0, 1],
    "labels": [0, 1, 2, 0, 1, 2],
    "classes": 3,
}


@statistic(needs=["classes"], size=lambda classes, *_: 8 * classes)
def class_counts(batch: Labelled | Labels, w: Weighting, *, threshold: float) -> ClassCounts:
    if isinstance(batch, Labels):
        return ClassCounts.of_labels(batch.decided(threshold), batch.actual, batch.column, batch.labels, w)
    predicted = batch.predicted(threshold)
    if batch.binary:
        column = np.zeros(len(predicted), np.int64)
        return ClassCounts.of_labels(predicted == 1, batch.label == 1, column, 1, w)
    return ClassCounts.of_classes(predicted, batch.label, batch.classes, w)


def counts_prior(
    states: tuple[ClassCounts, ...], drawn: tuple[ClassCounts, ...], name: str, **_: object
) -> tuple[ClassCounts, ...]:
    """The replicates of counts with half counts."""
    return (with_prior(states[0], drawn[0], name),)


def share(
    counts: ClassCounts, above: Array, below: Array, average: str, absent: str, defined: Booleans | None = None
) -> Array:
    """above / below per class, averaged; a class that occurs but has nothing below it gets 0."""
    if defined is None:
        defined = counts.actual + counts.false_positive > 0
    support = counts.actual
    if average == "micro":
        above, below, support = (part.sum(axis=-1, keepdims=True) for part in (above, below, support))
        defined, average = np.asarray(defined.any(axis=-1, keepdims=True)), "macro"
    return averaged(quotient(above, below, 0.0), defined, support, average, absent)


@metric(
    undefined="nothing was predicted positive",
    aliases=("precision_score", "ppv", "positive_predictive_value"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    uncertainty="proportion",
    usual=("binary", "multilabel"),
    examples=[
        Example("binary", **BINARY, value=2 / 3),
        Example("multiclass", **MULTICLASS, value=2 / 9),
    ],
    trials=trials_of("true_positive", ("true_positive", "false_positive")),
)
def precision(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Precision: of what was given the class, how much has it.

    A spam filter with precision 0.9 is right in nine of ten mails that it throws away. It says nothing about the spam it
    missed: that is `recall`.

    Formula:
        \frac{TP}{TP + FP}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; 0 for a class that was never predicted; NaN if nothing is left to average.

    Use when:
        acting on a false alarm is costly: blocking a payment, showing an advertisement, accusing somebody.

    Avoid when:
        missing a case is what hurts: take `recall`.

    Source:
        van Rijsbergen, Information Retrieval, 1979.
    """
    return share(counts, counts.true_positive, counts.predicted, average, absent)


@metric(
    undefined="no label is positive",
    aliases=("sensitivity", "true_positive_rate", "recall_score", "tpr"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    uncertainty="proportion",
    usual=("binary", "multilabel"),
    examples=[
        Example("binary", **BINARY, value=2 / 3),
        Example("multiclass", **MULTICLASS, value=1 / 3),
    ],
    trials=trials_of("true_positive", ("true_positive", "false_negative")),
)
def recall(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Recall: of what has the class, how much was found.

    A test with recall 0.9 finds nine of ten cases. Also called sensitivity or true positive rate.

    Formula:
        \frac{TP}{TP + FN}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; 0 for a class that was predicted but never occurs; NaN if nothing is left to average.

    Use when:
        a missed case is costly: illness, fraud, defects, intrusions.

    Avoid when:
        false alarms matter as well: saying yes always has recall 1; take `f1`.

    Source:
        van Rijsbergen, Information Retrieval, 1979.
    """
    return share(counts, counts.true_positive, counts.actual, average, absent)


@metric(
    undefined="neither a label nor a prediction is positive",
    aliases=("f_beta_score",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    trials=OVERLAP,
    ends=f_ends,
    examples=[Example("binary", **BINARY, beta=2.0, value=2 / 3), Example("multiclass", **MULTICLASS, value=0.8 / 3)],
)
def f_beta(
    counts: Annotated[ClassCounts, class_counts],
    *,
    beta: Positive = 1.0,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""F-beta: precision and recall in one figure, recall counting beta times as much.

    The weighted harmonic mean, which is near to the smaller of the two. Beta 2 favours finding everything, 0.5 favours few
    false alarms, 1 is `f1`. The macro average is the mean of the classes' scores, not the score of the mean precision and
    recall.

    Formula:
        \frac{(1 + \beta^2) TP}{(1 + \beta^2) TP + \beta^2 FN + FP}

    Args:
        counts: right and wrong decisions per class.
        beta: how many times as important recall is as precision.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; NaN if nothing is left to average.

    Use when:
        the relative cost of misses and false alarms is known.

    Avoid when:
        the negatives matter too: they do not enter; take `matthews`.

    Source:
        van Rijsbergen, Information Retrieval, 1979, chapter 7.
    """
    above = (1 + beta**2) * counts.true_positive
    return share(counts, above, above + beta**2 * counts.false_negative + counts.false_positive, average, absent)


@metric(
    undefined="neither a label nor a prediction is positive",
    aliases=("dice", "f1_score", "f_measure", "dice_coefficient"),
    shared_names=("dice_score",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    trials=OVERLAP,
    ends=f_ends,
    usual=TASKS,
    examples=[Example("binary", **BINARY, value=2 / 3), Example("multiclass", **MULTICLASS, value=0.8 / 3)],
)
def f1(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""F1: the harmonic mean of precision and recall.

    High only if both are. Macro F1 treats rare classes like frequent ones; micro F1 over classes that exclude each other is the
    accuracy. For images it is Dice over all pixels of all images together; `dice_per_image` averages over images.

    Formula:
        \frac{2 TP}{2 TP + FP + FN}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; NaN if nothing is left to average.

    Use when:
        classes are unbalanced and both misses and false alarms matter.

    Avoid when:
        one of the two is worse than the other: take `f_beta`.

    Source:
        van Rijsbergen, Information Retrieval, 1979, chapter 7.
    """
    return np.asarray(f_beta(counts, average=average, absent=absent))


@metric(
    undefined="no label is negative",
    aliases=("true_negative_rate", "specificity_score", "tnr"),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    uncertainty="proportion",
    examples=[Example("binary", **BINARY, value=2 / 3), Example("multiclass", **MULTICLASS, value=2 / 3)],
    trials=trials_of("true_negative", ("true_negative", "false_positive")),
)
def specificity(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Specificity: of what does not have the class, how much was left alone.

    The recall of "no". A screening test with specificity 0.99 alarms one healthy person in a hundred.

    Formula:
        \frac{TN}{TN + FP}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; 0 if everything has the class; NaN if nothing is left to average.

    Use when:
        healthy cases are many and each false alarm has a price; always beside `recall`.

    Avoid when:
        the class is rare: it is then near 1 even for a poor test; take `precision`.

    Source:
        Yerushalmy, Statistical Problems in Assessing Methods of Medical Diagnosis, 1947.
    """
    return share(counts, counts.true_negative, counts.true_negative + counts.false_positive, average, absent)


@metric(
    undefined="nothing was predicted negative",
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    uncertainty="proportion",
    aliases=("negative_predictive_value",),
    examples=[Example("binary", **BINARY, value=2 / 3), Example("multiclass", **MULTICLASS, value=(1 + 0.5 + 0.6) / 3)],
    trials=trials_of("true_negative", ("true_negative", "false_negative")),
)
def npv(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Negative predictive value: of what was denied the class, how much does not have it.

    The precision of "no": how far a negative finding can be trusted.

    Formula:
        \frac{TN}{TN + FN}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; 0 if everything was given the class; NaN if nothing is left to average.

    Use when:
        a negative finding ends the investigation: ruling out an illness.

    Avoid when:
        data sets with another frequency of the class are compared: it changes with it.

    Source:
        Altman and Bland, Diagnostic tests 2: predictive values, 1994. https://doi.org/10.1136/bmj.309.6947.102
    """
    return share(counts, counts.true_negative, counts.true_negative + counts.false_negative, average, absent)


@metric(
    undefined="neither a label nor a prediction is positive",
    aliases=("iou", "jaccard_score", "jaccard_index", "miou", "intersection_over_union"),
    shared_names=("mean_iou",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    prior=counts_prior,
    trials=OVERLAP,
    ends=same_ends,
    usual=("segmentation",),
    examples=[Example("binary", **BINARY, value=0.5), Example("multiclass", **MULTICLASS, value=2 / 9)],
)
def jaccard(
    counts: Annotated[ClassCounts, class_counts],
    *,
    average: Average = "macro",
    absent: Absent = "skip",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Jaccard index, or intersection over union: overlap of what was predicted and what is.

    For images, over all pixels of all images together; `iou_per_image` averages over images. A change of F1 or Dice: J = F / (2
    - F).

    Formula:
        \frac{TP}{TP + FP + FN}

    Args:
        counts: right and wrong decisions per class.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; NaN if nothing is left to average.

    Use when:
        regions or sets are compared: segmentation, tags.

    Avoid when:
        small objects matter as much as large ones: take `iou_per_image`.

    Source:
        Jaccard, The Distribution of the Flora in the Alpine Zone, 1912.
    """
    union = counts.true_positive + counts.false_positive + counts.false_negative
    return share(counts, counts.true_positive, union, average, absent)
