"""Metrics of images, averaged over images: each image counts the same, whatever the size of its objects."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from lossmeter.metrics._parameters import Absent, averaged
from lossmeter.metrics.batches import Labelled
from lossmeter.metrics.catalogue import Example, metric, statistic
from lossmeter.metrics.states import Quotient, Ratio
from lossmeter.metrics.weighting import Array, Booleans, Integers, Weighting, quotient

FAMILY = "segmentation"

TASKS = ("segmentation",)
IMAGES = {
    "predictions_are": "classes",
    "classes": 2,
    "predictions": [[[0, 1], [1, 1]], [[0, 0], [0, 1]]],
    "labels": [[[0, 1], [1, 0]], [[0, 0], [0, 0]]],
}


@statistic(needs=["classes"], working=lambda samples, classes: 8 * samples * classes)
def overlap_per_image(batch: Labelled, w: Weighting, *, background: bool, absent: str) -> Quotient:
    return _overlaps(batch, w, background, absent, 2.0)


@statistic(needs=["classes"], working=lambda samples, classes: 8 * samples * classes)
def union_per_image(batch: Labelled, w: Weighting, *, background: bool, absent: str) -> Quotient:
    return _overlaps(batch, w, background, absent, 1.0)


def _overlaps(batch: Labelled, w: Weighting, background: bool, absent: str, twice: float) -> Quotient:
    """The mean over images of t · TP / (t · TP + FP + FN), each the mean over its classes; the factor t is 2 for Dice."""
    unit = np.arange(w.units) if w.unit is None else w.unit
    images = Weighting(w.value, None, len(unit))
    predicted, label, c = batch.predicted(), batch.label, batch.classes
    right = predicted == label

    def count(index: Integers, chosen: Booleans) -> Array:
        return images.tally(unit * c + index, w.units * c, chosen).reshape(w.units, c)

    tp, fp, fn = count(label, right), count(predicted, ~right), count(label, ~right)
    first = 0 if background else 1
    above, wrong = (twice * tp)[:, first:], (fp + fn)[:, first:]
    score = averaged(quotient(above, above + wrong, 0.0), above + wrong > 0, tp[:, first:], "macro", absent)
    known = np.isfinite(score) if absent == "skip" else np.ones(w.units, bool)
    weight = quotient(w.per_unit(w.value), w.per_unit(np.ones_like(w.value)))
    return Ratio.of(
        np.where(known, score, 0.0), Weighting(weight, None, w.units, w.draws), base=known.astype(np.float64)
    )


@metric(
    shared_names=("dice_score",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    examples=[
        Example("segmentation", **IMAGES, value=((2 / 3 + 4 / 5) / 2 + (6 / 7 + 0) / 2) / 2),
        Example("segmentation", **IMAGES, background=False, value=(4 / 5 + 0) / 2),
    ],
)
def dice_per_image(
    overlap: Annotated[Quotient, overlap_per_image], *, background: bool = True, absent: Absent = "skip"
) -> Array:
    r"""Dice per image: overlap of predicted and actual regions, averaged over the classes of each image, then over images.

    `f1` over all pixels lets large objects decide; here each image counts the same. An image without any of the classes is left
    out under `skip`. Weights of pixels count within an image; an image weighs the mean of its pixels' weights.

    Formula:
        \frac{1}{N} \sum_i \frac{1}{|C_i|} \sum_{c \in C_i} \frac{2 TP_{ic}}{2 TP_{ic} + FP_{ic} + FN_{ic}}

    Args:
        overlap: mean over images of their scores.
        background: whether class 0 counts as one of the classes.
        absent: what a class has in an image where it is neither predicted nor present.

    Returns:
        a share from 0 to 1; NaN without images.

    Use when:
        each image is a case of its own: medical scans.

    Avoid when:
        images are tiles of one large scene: take `f1`.

    Source:
        Dice, Measures of the Amount of Ecologic Association Between Species, 1945. https://doi.org/10.2307/1932409
    """
    return overlap.mean


@metric(
    shared_names=("mean_iou",),
    tasks=TASKS,
    better="higher",
    bounds=(0.0, 1.0),
    uncertainty="mean",
    examples=[Example("segmentation", **IMAGES, value=((1 / 2 + 2 / 3) / 2 + (3 / 4 + 0) / 2) / 2)],
)
def iou_per_image(
    overlap: Annotated[Quotient, union_per_image], *, background: bool = True, absent: Absent = "skip"
) -> Array:
    r"""Intersection over union per image, averaged over the classes of each image, then over images.

    As `dice_per_image`, with the union in the denominator; always the smaller of the two. `jaccard` is the same over all
    pixels.

    Formula:
        \frac{1}{N} \sum_i \frac{1}{|C_i|} \sum_{c \in C_i} \frac{TP_{ic}}{TP_{ic} + FP_{ic} + FN_{ic}}

    Args:
        overlap: mean over images of their scores.
        background: whether class 0 counts as one of the classes.
        absent: what a class has in an image where it is neither predicted nor present.

    Returns:
        a share from 0 to 1; NaN without images.

    Use when:
        each image is a case of its own, and results are compared with others that report IoU.

    Avoid when:
        images are tiles of one large scene: take `jaccard`.

    Source:
        Everingham et al., The Pascal Visual Object Classes Challenge, 2010. https://doi.org/10.1007/s11263-009-0275-4
    """
    return overlap.mean
