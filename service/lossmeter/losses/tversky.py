"""Losses for segmentation in which what is missed and what is too much cost differently."""

from __future__ import annotations

from math import log
from typing import Annotated

import torch
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.losses._regions import (
    BY_CLASS,
    Absent,
    Background,
    Ignored,
    Level,
    RegionLabels,
    RegionLogits,
    Regions,
    Smooth,
    places,
    present_classes,
    quotient,
    region_flaws,
    regions,
    shape_by_class,
    unless_absent,
)
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import NonNegative, Positive, Unreduced

FAMILY = "segmentation"
TASKS = ("segmentation",)
THIRDS = [[[log(3), log(3), 0.0, 0.0], [0.0, 0.0, log(3), log(3)]]]
CASES = {"predictions": THIRDS, "labels": [[0, 0, 0, 1]]}

FalsePositives = Annotated[NonNegative, Prose(r"how much costs what is predicted and not there, $\alpha$.")]
FalseNegatives = Annotated[NonNegative, Prose(r"how much costs what is there and not predicted, $\beta$.")]


def _values(regions: Regions, alpha: float, beta: float, level: str, smooth: float) -> Tensor:
    over = places(level)
    hits = regions.hits()
    # Each difference is 0 or a single number, so that neither price rounds the other away.
    error = alpha * (regions.probabilities - hits).sum(over) + beta * (regions.members - hits).sum(over)
    return quotient(error, hits.sum(over) + error + smooth)


@loss(
    suits={
        "asymmetric_costs": "`alpha` and `beta` price false positives and misses.",
        "small_regions": "It counts shares of a region, and missed pixels may cost more.",
        "imbalance": "Foreground and background need not be of like size.",
    },
    aliases=["tversky_loss"],
    copies=4,
    sweeps=25,
    alternative=shape_by_class,
    chunked=False,  # the sigmoid of the last few elements of a tensor differs in its last bits
    support=present_classes,
    check=region_flaws,
    examples=[
        Example(
            **CASES,
            alpha=0.25,
            beta=0.75,
            smooth=0.0,
            value=1 - (1.75 / (1.75 + 0.25 * 0.25 + 0.75 * 1.25) + 0.75 / (0.75 + 0.25 * 1.25 + 0.75 * 0.25)) / 2,
        )
    ],
)
def tversky(
    predictions: RegionLogits,
    labels: RegionLabels,
    *,
    alpha: FalsePositives = 0.5,
    beta: FalseNegatives = 0.5,
    level: Level = "image",
    absent: Absent = "skip",
    smooth: Smooth = 1.0,
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, BY_CLASS]:
    r"""Tversky loss: Dice loss with separate prices for pixels that are predicted too much and for those that are missed.

    With $\alpha = \beta = 1/2$ it is `dice`, with 1 and 1 it is `jaccard`. More weight on $\beta$ buys recall: lesions are
    found even if their outline is too wide; the paper has $\alpha = 0.3$, $\beta = 0.7$.

    `smooth` is added to both sums as they stand here, where the overlap is counted once: 1 here is 2 in `dice`, which
    counts it twice. Mind that libraries differ in which letter is which: $\alpha$ is for false positives here, in the
    paper, MONAI and segmentation-models-pytorch. MONAI has 0.5, 0.5 and smooth 1e-5, and gives absent classes their
    quotient; segmentation-models-pytorch is level batch, absent zero, smooth 0. The result has a value for each class of
    each image, or for each class of the batch. Weights and masks have that shape, or one number per image (at the level of
    the batch: per class); single pixels are left out by `ignore_index`.

    Formula:
        \ell_{nc} = 1 - \frac{\mathrm{TP} + s}{\mathrm{TP} + \alpha \, \mathrm{FP} + \beta \, \mathrm{FN} + s}, \qquad
        \mathrm{TP} = \sum_i p_{nci} y_{nci}, \quad \mathrm{FP} = \sum_i p_{nci} (1 - y_{nci}), \quad
        \mathrm{FN} = \sum_i (1 - p_{nci}) y_{nci}

    Args:
        smooth: $s$, added to numerator and denominator: the larger, the less very small regions weigh.

    Returns:
        one loss per image and class (N, C), or per class (C) at the level of the batch, between 0 and 1.

    Use when:
        missing something is worse than a false alarm, or the other way round: lesions, tumours, cracks, changes in
        satellite images.

    Avoid when:
        both errors cost the same: take `dice`.

    Source:
        Salehi, Erdogmus and Gholipour, Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep
        Networks, 2017. https://arxiv.org/abs/1706.05721.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    return unless_absent(_values(found, alpha, beta, level, smooth), found.members.sum(places(level)) > 0, absent)


@loss(
    suits={
        "small_regions": "Regions that are nearly right keep a gradient, to their last pixels.",
        "asymmetric_costs": "`alpha` and `beta` price false positives and misses.",
    },
    copies=4,
    sweeps=25,
    aliases=["focal_tversky_loss"],
    alternative=shape_by_class,
    chunked=False,  # the sigmoid of the last few elements of a tensor differs in its last bits
    support=present_classes,
    check=region_flaws,
    examples=[
        Example(**CASES, alpha=0.0, beta=1.0, smooth=0.0, gamma=1.0, value=1 - (1.75 / 3 + 0.75) / 2),
        Example(**CASES, alpha=0.0, beta=1.0, smooth=0.0, gamma=2.0, value=((1.25 / 3) ** 0.5 + 0.25**0.5) / 2),
    ],
)
def focal_tversky(
    predictions: RegionLogits,
    labels: RegionLabels,
    *,
    gamma: Positive = 4 / 3,
    alpha: FalsePositives = 0.5,
    beta: FalseNegatives = 0.5,
    level: Level = "image",
    absent: Absent = "skip",
    smooth: Smooth = 1.0,
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, BY_CLASS]:
    r"""Focal Tversky loss: a root of the Tversky loss, by which regions that are nearly right keep a gradient.

    `tversky` to the power $1 / \gamma$. With $\gamma > 1$ small losses are raised, and the gradient grows as a region gets
    better: hard small regions are finished rather than left at half. With $\gamma = 1$ it is `tversky`; below 1 the
    opposite happens, and regions that are far off weigh most. A region without any error has the loss 0 and no gradient.

    The paper has $\gamma = 4/3$, $\alpha = 0.3$ and $\beta = 0.7$ (called the other way round there), and applies the power
    to each class; segmentation-models-pytorch raises the mean over classes to the power `gamma` itself, not its inverse.
    All else is as in `tversky`: shapes, weights, masks, smoothing.

    Formula:
        \ell_{nc} = \Bigl( 1 - \frac{\mathrm{TP} + s}{\mathrm{TP} + \alpha \, \mathrm{FP} + \beta \, \mathrm{FN} + s}
        \Bigr)^{1 / \gamma}

    Args:
        gamma: $\gamma$, of which the inverse is the exponent; between 1 and 3.

    Returns:
        one loss per image and class (N, C), or per class (C) at the level of the batch, between 0 and 1.

    Use when:
        regions are small and the last of their pixels matter: lesions, nodules, small vessels.

    Avoid when:
        labels are noisy at the outlines, since the gradient is largest where the region is nearly right (take `tversky`).

    Source:
        Abraham and Khan, A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion Segmentation, 2018.
        https://arxiv.org/abs/1810.07842.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    values = _values(found, alpha, beta, level, smooth)
    # The slope of a root is infinite at 0, which a region without error has.
    roots = torch.where(values > 0, values, 1.0).pow(1 / gamma).masked_fill(values <= 0, 0.0)
    return unless_absent(roots, found.members.sum(places(level)) > 0, absent)
