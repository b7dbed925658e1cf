"""Metrics of decisions as a whole: the share of them that is right, and the table of all confusions."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from lossmeter.metrics._counts import Confusion
from lossmeter.metrics._parameters import Fraction, PositiveInteger
from lossmeter.metrics.batches import Labelled, Labels
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.decisions import BINARY, MULTICLASS
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Weighting, quotient

FAMILY = "accuracy"

EXCLUSIVE = ("binary", "multiclass", "segmentation")
MULTILABEL = {
    "predictions_are": "probabilities",
    "predictions": [[0.9, 0.2, 0.6], [0.1, 0.7, 0.8], [0.3, 0.4, 0.2], [0.8, 0.9, 0.1]],
    "labels": [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]],
}
SCORED = {
    "predictions_are": "probabilities",
    "predictions": [[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1]],
    "labels": [0, 1, 2, 2],
}


@statistic(needs=["classes"])
def right_decisions(batch: Labelled, w: Weighting, *, threshold: float) -> Quotient:
    return Ratio.of((batch.predicted(threshold) == batch.label).astype(np.float64), w)


@statistic(needs=["classes"])
def wrong_decisions(batch: Labelled | Labels, w: Weighting, *, threshold: float) -> Quotient:
    if isinstance(batch, Labels):
        return Ratio.of((batch.decided(threshold) != batch.actual).astype(np.float64), w)
    return Ratio.of((batch.predicted(threshold) != batch.label).astype(np.float64), w)


@statistic(needs=["classes"])
def all_right(batch: Labels, w: Weighting, *, threshold: float) -> Quotient:
    wrong = (batch.decided(threshold) != batch.actual).astype(np.float64)
    per_sample = Weighting(np.ones_like(wrong), w.unit, w.units)
    elements = per_sample.per_unit(np.ones_like(wrong))
    weight = per_sample.per_unit(w.value) / elements
    right = (per_sample.per_unit(wrong) == 0).astype(np.float64)
    return Ratio.of(right, Weighting(weight, None, w.units, w.draws))


@statistic(needs=["scores"])
def top_k_hits(batch: Labelled, w: Weighting, *, k: int) -> Quotient:
    raw = batch.likelihood
    own = np.take_along_axis(raw, batch.label[:, None], axis=1)
    earlier = np.arange(batch.classes) < batch.label[:, None]
    place = ((raw > own) | ((raw == own) & earlier)).sum(axis=1)
    return Ratio.of((place < k).astype(np.float64), w)


@statistic(needs=["classes"], replicated=False, size=lambda classes, *_: classes * classes)
def confusions(batch: Labelled, w: Weighting, *, threshold: float) -> Confusion:
    return Confusion.of(batch.predicted(threshold), batch.label, batch.classes, w)


@metric(
    aliases=(
        "token_accuracy",
        "pixel_accuracy",
        "acc",
        "accuracy_score",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
    ),
    tasks=EXCLUSIVE,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="proportion",
    usual=EXCLUSIVE,
    mcnemar=True,
    examples=[Example("binary", **BINARY, value=2 / 3), Example("multiclass", **MULTICLASS, value=1 / 3)],
)
def accuracy(right: Annotated[Quotient, right_decisions], *, threshold: Fraction = 0.5) -> Array:
    r"""Accuracy: the share of decisions that are right.

    Over all elements that count: samples, the tokens of sequences (where it is called token accuracy), the pixels of images.
    The predicted class is the likeliest one, the first of equals.

    Formula:
        \frac{\sum_i w_i [\hat y_i = y_i]}{\sum_i w_i}

    Args:
        right: share of right decisions.
        threshold: binary: probability above which the answer is yes.

    Returns:
        a share from 0 to 1; NaN without samples.

    Use when:
        classes are about equally frequent and mistakes cost the same.

    Avoid when:
        one class is rare: never finding it costs almost no accuracy; take `balanced_accuracy`, `f1` or `matthews`.

    Source:
        Fisher, The Use of Multiple Measurements in Taxonomic Problems, 1936.
    """
    return right.mean


@metric(
    aliases=("top_k_accuracy_score", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"),
    tasks=("multiclass", "segmentation"),
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="proportion",
    examples=[Example("multiclass", **SCORED, k=2, value=0.75)],
)
def top_k_accuracy(hits: Annotated[Quotient, top_k_hits], *, k: PositiveInteger = 5) -> Array:
    r"""Top-k accuracy: the share of samples whose class is among the k likeliest.

    With k 1 it is the accuracy. Of classes with the same score the first comes first.

    Formula:
        \frac{1}{\sum_i w_i} \sum_i w_i [\operatorname{rank}(z_{i, y_i}) \le k]

    Args:
        hits: share of samples among the k likeliest.
        k: how many of the likeliest classes may be tried.

    Returns:
        a share from 0 to 1; 1 if k is at least the number of classes.

    Use when:
        several suggestions are shown, or classes are many and partly alike: ImageNet, code completion.

    Avoid when:
        only the first answer is used.

    Source:
        Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015. https://arxiv.org/abs/1409.0575
    """
    return hits.mean


@metric(
    aliases=("hamming_loss", "hamming_distance"),
    tasks=(*EXCLUSIVE, "multilabel"),
    better="lower",
    bounds=(0.0, 1.0),
    uncertainty="proportion",
    usual=("multilabel",),
    examples=[Example("multilabel", **MULTILABEL, value=2 / 12), Example("binary", **BINARY, value=1 / 3)],
)
def hamming(wrong: Annotated[Quotient, wrong_decisions], *, threshold: Fraction = 0.5) -> Array:
    r"""Hamming loss: the share of decisions that are wrong.

    Over all labels of all samples. For classes that exclude each other it is one minus the accuracy.

    Formula:
        \frac{1}{\sum_i w_i L} \sum_i w_i \sum_l [\hat y_{il} \ne y_{il}]

    Args:
        wrong: share of wrong decisions.
        threshold: binary and multilabel: probability above which the answer is yes.

    Returns:
        a share from 0 to 1, 0 being best.

    Use when:
        samples carry several labels and each decision counts by itself.

    Avoid when:
        labels are rare: saying no throughout already looks good; take `f1`.

    Source:
        Schapire and Singer, BoosTexter, 2000. https://doi.org/10.1023/A:1007649029923
    """
    return wrong.mean


@metric(
    aliases=("subset_accuracy", "exact_match_ratio"),
    tasks=("multilabel",),
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="proportion",
    usual=("multilabel",),
    examples=[Example("multilabel", **MULTILABEL, value=0.5)],
)
def exact_match(right: Annotated[Quotient, all_right], *, threshold: Fraction = 0.5) -> Array:
    r"""Exact match: the share of samples with every label right.

    One wrong label spoils the sample. Labels that are masked do not count; weights given label by label are averaged per
    sample, and a label of weight 0 counts no more than one that is masked.

    Formula:
        \frac{1}{\sum_i w_i} \sum_i w_i [\hat y_i = y_i]

    Args:
        right: share of samples that are all right.
        threshold: probability above which the answer is yes.

    Returns:
        a share from 0 to 1.

    Use when:
        an answer is useful only as a whole: the set of codes on an invoice.

    Avoid when:
        labels are many: it is then always near zero; take `hamming` or `f1`.

    Source:
        Ghamrawi and McCallum, Collective Multi-Label Classification, 2005. https://doi.org/10.1145/1099554.1099591
    """
    return right.mean


@metric(
    tasks=EXCLUSIVE,
    better="neither",
    bounds=(0.0, None),
    kind="matrix",
    uncertainty="none",
    examples=[
        Example("multiclass", **MULTICLASS, value=[[2, 0, 0], [1, 0, 1], [0, 2, 0]]),
        Example("binary", **BINARY, normalize="all", value=[[2 / 6, 1 / 6], [1 / 6, 2 / 6]]),
    ],
)
def confusion_matrix(
    table: Annotated[Confusion, confusions],
    *,
    normalize: Literal["none", "actual", "predicted", "all"] = "none",
    threshold: Fraction = 0.5,
) -> Array:
    r"""Confusion matrix: what was taken for what.

    Rows are actual classes, columns predicted ones; the diagonal is right. Every other metric of decisions follows from it.

    Formula:
        M_{ab} = \sum_i w_i [y_i = a] [\hat y_i = b]

    Args:
        table: weight by actual and predicted class.
        normalize: divide by the sum of each row (`actual`), of each column (`predicted`), or of everything (`all`).
        threshold: binary: probability above which the answer is yes.

    Returns:
        a matrix (C, C) of weights, or of shares; 0 in a row or column without samples.

    Use when:
        it matters which mistakes are made, not only how many.

    Avoid when:
        classes are too many to look at.

    Source:
        Pearson, On the Theory of Contingency, 1904.
    """
    axes = {"none": None, "actual": (-1,), "predicted": (-2,), "all": (-2, -1)}[normalize]
    return table.weight if axes is None else quotient(table.weight, table.weight.sum(axis=axes, keepdims=True), 0.0)
