"""Losses for segmentation: how well the regions of an image overlap with the true ones."""

from __future__ import annotations

from math import log
from typing import Literal

import torch
from torch import Tensor

from lossmeter.losses._regions import (
    BY_CLASS,
    Absent,
    Background,
    Ignored,
    Level,
    RegionLabels,
    RegionLogits,
    Smooth,
    places,
    present,
    present_classes,
    quotient,
    region_flaws,
    regions,
    shape_by_class,
    shape_by_image,
    unless_absent,
)
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import Unreduced

FAMILY = "segmentation"
TASKS = ("segmentation",)
THIRDS = [[[log(3), log(3), 0.0, 0.0], [0.0, 0.0, log(3), log(3)]]]


@loss(
    suits={
        "small_regions": "It counts shares of a region, so that background does not outweigh it.",
        "overlap": "It is the Dice coefficient itself, with probabilities.",
        "imbalance": "Each class costs its share, however many pixels it has.",
    },
    aliases=["dice_loss", "soft_dice"],
    alternative=shape_by_class,
    chunked=False,  # the sigmoid of the last few elements of a tensor differs in its last bits
    support=present_classes,
    check=region_flaws,
    examples=[
        Example(predictions=THIRDS, labels=[[0, 0, 1, 1]], value=1 - (2 * 1.5 + 1) / (2 + 2 + 1)),
        Example(
            predictions=THIRDS, labels=[[0, 0, 0, 0]], smooth=0.0, absent="one", value=(1 - 2 * 2 / (2 + 4) + 1) / 2
        ),
    ],
)
def dice(
    predictions: RegionLogits,
    labels: RegionLabels,
    *,
    squared: bool = False,
    level: Level = "image",
    absent: Absent = "skip",
    smooth: Smooth = 1.0,
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, BY_CLASS]:
    r"""Dice loss: 1 minus twice the overlap of a predicted and a true region, divided by the sum of their sizes.

    Cross entropy counts pixels, so a small organ or a thin road drowns in background. Dice compares regions: the
    coefficient is 1 for a perfect overlap and 0 for none, whatever the size of the region. Probabilities stand in for
    pixels that are in or out, so that there is a gradient. On a mostly empty image it is noisy where `cross_entropy` is
    not, so the sum of both is the usual choice.

    The result has a value for each class of each image, or for each class of the batch. Weights and masks have that shape,
    or one number per image (at the level of the batch: per class); single pixels are left out by `ignore_index`. Libraries
    differ: MONAI has smooth 1e-5 and gives absent classes their quotient, close to 1; segmentation-models-pytorch is level
    batch, absent zero, smooth 0; optax is smooth 1; kornia's `macro` is smooth 0, its default `micro` one region of all
    classes. With every class present they agree. `squared` adds up squares of probabilities in the denominator, as V-Net
    does.

    Formula:
        \ell_{nc} = 1 - \frac{2 \sum_i p_{nci} y_{nci} + s}{\sum_i p_{nci} + \sum_i y_{nci} + s}, \qquad p =
        \mathrm{softmax}(x) \text{ or } \sigma(x); \quad \text{squared:} \; \sum_i p_{nci}^2 \text{ in place of } \sum_i
        p_{nci}

    Args:
        squared: squares of probabilities in the denominator.

    Returns:
        one loss per image and class (N, C), or per class (C) at the level of the batch, between 0 and 1.

    Use when:
        regions are small or few in large images: organs, lesions, cells, roads, defects; usually together with `cross_entropy`.

    Avoid when:
        many images have no region at all, or single pixels matter; calibrated probabilities are needed (take `cross_entropy`).

    Source:
        Milletari, Navab and Ahmadi, V-Net, 2016. https://arxiv.org/abs/1606.04797.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    over = places(level)
    sizes = found.members.sum(over)
    # 1 - (2 hit + s) / (sizes + s) is the error over the sizes, in which nothing cancels.
    error = found.error(2 if squared else 1).sum(over)
    predicted = (found.probabilities.square() if squared else found.probabilities).sum(over)
    values = quotient(error, predicted + sizes + smooth)
    return unless_absent(values, sizes > 0, absent)


def _with_regions(arguments: Arguments) -> Support:
    """Images count that have a region, unless those without have a constant."""
    return Support(present(arguments).any(-1)) if arguments["absent"] == "skip" else Support()


@loss(
    suits={
        "small_regions": "A region weighs the inverse square of its size.",
        "overlap": "It is one Dice coefficient of all classes together.",
        "imbalance": "Classes that differ in size by orders of magnitude weigh alike.",
    },
    aliases=["generalized_dice_loss", "generalised_dice"],
    alternative=shape_by_image,
    chunked=False,  # the sigmoid of the last few elements of a tensor differs in its last bits
    support=_with_regions,
    check=region_flaws,
    examples=[
        Example(predictions=THIRDS, labels=[[0, 0, 1, 1]], smooth=0.0, value=0.25),
        Example(
            predictions=THIRDS,
            labels=[[0, 0, 0, 1]],
            smooth=0.0,
            weighting="uniform",
            value=1 - 2 * (0.75 + 0.75 + 0.25 + 0.75) / 8,
        ),
    ],
)
def generalized_dice(
    predictions: RegionLogits,
    labels: RegionLabels,
    *,
    weighting: Literal["square", "simple", "uniform"] = "square",
    level: Level = "image",
    absent: Absent = "skip",
    smooth: Smooth = 1.0,
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, "N | "]:
    r"""Generalised Dice loss: one Dice coefficient of all classes together, in which small regions weigh as much as large ones.

    Overlaps and sizes of all classes are added up, each divided by the square of the size of its true region, and one
    quotient is taken of the sums. `simple` divides by the size itself, `uniform` does not divide. Compared with the mean of
    `dice` over classes, one class that is missed entirely does not cost a fixed share.

    Sums that are divided by squares are small, of the size of 1 over the number of pixels: mind that `smooth` is added to
    them. At the default of 1, which all losses of this family have, large regions have hardly any loss; take 1e-5, as MONAI
    does, for regions of more than a few pixels. A class without a pixel has the weight 0 (MONAI gives it the largest one of
    the others); `absent` says what an image costs in which no class has any. The result has a value for each image, or one
    for the batch, and so have weights and masks.

    Formula:
        \ell_n = 1 - \frac{2 \sum_c w_{nc} \sum_i p_{nci} y_{nci} + s}{\sum_c w_{nc} \sum_i (p_{nci} + y_{nci}) + s}, \qquad
        w_{nc} = \Bigl( \sum_i y_{nci} \Bigr)^{-2}, \quad 0 \text{ for absent classes}

    Args:
        weighting: what the sums of a class are divided by: the `square` of its size, its size (`simple`), or nothing
            (`uniform`).

    Returns:
        one loss per image (N), or one number at the level of the batch, between 0 and 1.

    Use when:
        classes differ in size by orders of magnitude: vessels beside organs, several tissues, many parts of a street.

    Avoid when:
        each class should cost its share (take `dice`), or labels of small regions are noisy, as they weigh most.

    Source:
        Sudre et al., Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced Segmentations, 2017.
        https://arxiv.org/abs/1707.03237.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    over = places(level)
    sizes = found.members.sum(over)
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    weights = torch.where(sizes > 0, sizes.clamp(min=1) ** -power, 0.0)
    error = (weights * found.error().sum(over)).sum(-1)
    values = quotient(error, (weights * (found.probabilities.sum(over) + sizes)).sum(-1) + smooth)
    return unless_absent(values, (sizes > 0).any(-1), absent)


@loss(
    suits={"overlap": "It is IoU itself, with probabilities."},
    aliases=["jaccard_loss", "soft_jaccard"],
    alternative=shape_by_class,
    chunked=False,  # the sigmoid of the last few elements of a tensor differs in its last bits
    support=present_classes,
    check=region_flaws,
    examples=[
        Example(predictions=THIRDS, labels=[[0, 0, 1, 1]], value=1 - (1.5 + 1) / (2.5 + 1)),
        Example(predictions=THIRDS, labels=[[0, 0, 0, 0]], smooth=0.0, value=1 - 2 / 4),
    ],
)
def jaccard(
    predictions: RegionLogits,
    labels: RegionLabels,
    *,
    level: Level = "image",
    absent: Absent = "skip",
    smooth: Smooth = 1.0,
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, BY_CLASS]:
    r"""Jaccard loss: 1 minus the intersection of a predicted and a true region over their union, IoU, with probabilities.

    IoU is what segmentation is mostly judged by. It is close kin to `dice`, whose loss L gives 2L / (1 + L) here (without
    smoothing): both rank predictions of a region alike, but IoU is stricter with a poor overlap, which matters in a mean
    over regions.

    The result has a value for each class of each image, or for each class of the batch. Weights and masks have that shape,
    or one number per image (at the level of the batch: per class); single pixels are left out by `ignore_index`.
    segmentation-models-pytorch is level batch, absent zero, smooth 0; MONAI's `DiceLoss(jaccard=True)` doubles both sums,
    so its smoothing of 1e-5 is 5e-6 here.

    Formula:
        \ell_{nc} = 1 - \frac{\sum_i p_{nci} y_{nci} + s}{\sum_i p_{nci} + \sum_i y_{nci} - \sum_i p_{nci} y_{nci} + s}, \qquad
        p = \mathrm{softmax}(x) \text{ or } \sigma(x)

    Args:
        smooth: $s$, added to intersection and union: the larger, the less very small regions weigh.

    Returns:
        one loss per image and class (N, C), or per class (C) at the level of the batch, between 0 and 1.

    Use when:
        IoU is the measure in the end and probabilities are nearly certain: street scenes, land cover, buildings.

    Avoid when:
        probabilities are far from 0 and 1, where this is not IoU (take `lovasz_softmax`); regions are mostly absent.

    Source:
        Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation, 2016.
        https://doi.org/10.1007/978-3-319-50835-1_22.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    over = places(level)
    error, sizes = found.error().sum(over), found.members.sum(over)
    # What is hit, missed and too much is half of both sizes and the error.
    values = quotient(2 * error, found.probabilities.sum(over) + sizes + error + 2 * smooth)
    return unless_absent(values, sizes > 0, absent)
