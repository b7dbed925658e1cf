"""Losses for segmentation that extend the Jaccard index from sets of pixels to numbers between, by Lovász."""

from __future__ import annotations

from math import log
from typing import Annotated, Literal

import torch
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.losses._regions import (
    BY_CLASS,
    Background,
    Ignored,
    Level,
    places,
    present,
    region_flaws,
    regions,
    shape_by_class,
    shape_by_image,
)
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import ClassIndices, Flags, Logits, Unreduced

FAMILY = "segmentation"
TASKS = ("segmentation",)

Pixels = Annotated[
    Logits[Tensor, "N *d"],
    Prose("logits $x$ of pixels, positive for those of the region; images in the first dimension."),
]


def _slopes(members: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns by how much the Jaccard loss of a region grows with each further pixel that is wrong, in the order given.

    With k wrong pixels the union is that of the region and of the wrong ones outside of it, and the intersection what is
    left of the region. One more inside costs 1 / union, one more outside intersection / (union (union - 1)).
    """
    region = members.sum(-1, keepdim=True)
    intersection = (region - members.cumsum(-1)).to(dtype)
    union = (region + (~members).cumsum(-1)).to(dtype)
    outside = torch.where(union > 1, intersection / (union * (union - 1)).clamp(min=1), 1.0)
    return torch.where(members, 1 / union.clamp(min=1), outside)


def _extension(errors: Tensor, members: Tensor) -> Tensor:
    """Returns the Lovász extension of the Jaccard loss of errors, over the last dimension."""
    ordered = errors.sort(dim=-1, descending=True, stable=True)
    slopes = _slopes(members.gather(-1, ordered.indices), errors.dtype)
    return (ordered.values * slopes).sum(-1)


def _present_classes(arguments: Arguments) -> Support:
    """Classes count that have a pixel, unless all of them do."""
    return Support(present(arguments)) if arguments["classes"] == "present" else Support()


def _joined(tensor: Tensor, level: str) -> Tensor:
    """Returns pixels of regions, (N, C, P) or (C, N P)."""
    return tensor if level == "image" else tensor.transpose(0, 1).flatten(1)


@loss(
    suits={"overlap": "It descends mean IoU itself, made continuous."},
    copies=12,
    sweeps=55,
    aliases=["lovasz_softmax_loss"],
    alternative=shape_by_class,
    support=_present_classes,
    check=region_flaws,
    examples=[
        Example(predictions=[[[log(4), log(4)], [0.0, 0.0]]], labels=[[0, 1]], value=(0.5 * 0.8 + 0.5 * 0.2 + 0.8) / 2),
        Example(predictions=[[[log(4), log(4)], [0.0, 0.0]]], labels=[[0, 0]], classes="all", value=(0.2 + 0.2) / 2),
    ],
)
def lovasz_softmax(
    predictions: Logits[Tensor, "N C *d"],
    labels: ClassIndices[Tensor, "N *d"],
    *,
    classes: Literal["present", "all"] = "present",
    level: Level = "image",
    include_background: Background = True,
    ignore_index: Ignored = None,
) -> Unreduced[Tensor, BY_CLASS]:
    r"""Lovász-Softmax loss: the Jaccard loss (1 - IoU) of each class, made continuous so that it can be descended.

    IoU is defined for pixels that are in or out. Its Lovász extension is the one surface that is linear between such
    corners and convex: for probabilities of 0 and 1 it is exactly 1 - IoU, and between it weighs the error of each pixel
    with what IoU would lose by it. `jaccard` puts probabilities into the formula instead, which agrees at the corners
    alone. Errors are sorted, so that the gradient of a pixel depends on its rank.

    A class without a pixel does not count; with `classes` all it counts and costs the largest probability that any pixel
    gives it. The result has a value for each class of each image, or for each class of the batch, and `mean` is over all
    that count; the authors' `per_image` takes the mean over images of means over classes. Weights and masks have that
    shape, or one number per image (at the level of the batch: per class); single pixels are left out by `ignore_index`.
    kornia and the authors' default is level batch.

    Formula:
        \ell_{nc} = \sum_{i} m_{(i)} \bigl( J(i) - J(i - 1) \bigr), \qquad m_i = |[y_i = c] - p_{ci}|, \quad
        m_{(1)} \ge m_{(2)} \ge \dots, \quad J(i) = 1 - \frac{|R \setminus W_i|}{|R \cup W_i|}; \quad
        R \text{: pixels of the class}, \; W_i \text{: the } i \text{ with the largest error}

    Args:
        predictions: logits $x$ of images, classes in the second dimension; any number of further ones.
        labels: the class of each pixel $y$.
        classes: whether the classes that are `present` count, or `all`.

    Returns:
        one loss per image and class (N, C), or per class (C) at the level of the batch, between 0 and 1.

    Use when:
        mean IoU is what is judged; for fine-tuning after `cross_entropy`, or together with it.

    Avoid when:
        training from scratch with this alone, which is slow to begin with; classes overlap (take `lovasz_hinge` for each).

    Source:
        Berman, Rannen Triki and Blaschko, The Lovász-Softmax Loss, 2018. https://arxiv.org/abs/1705.08790.
    """
    found = regions(predictions, labels, include_background=include_background, ignore_index=ignore_index)
    # An ignored pixel has no error, and so no part, wherever it is sorted.
    belong = found.members > 0
    members = _joined(belong, level)
    values = _extension(_joined(found.error(), level), members)
    return values if classes == "all" else values.masked_fill(~belong.any(places(level)), 0.0)


@loss(
    suits={"overlap": "It descends the IoU of one region itself, made continuous."},
    copies=7,
    sweeps=30,
    aliases=["lovasz_hinge_loss"],
    alternative=shape_by_image,
    examples=[
        Example(predictions=[[2.0, -0.5, -3.0]], labels=[[1, 1, 0]], value=1.5 / 2),
        Example(predictions=[[2.0, 0.5, -0.5]], labels=[[1, 0, 0]], value=1.5 / 2 + 0.5 / 6),
    ],
)
def lovasz_hinge(
    predictions: Pixels, labels: Flags[Tensor, "N *d"], *, level: Level = "image"
) -> Unreduced[Tensor, "N | "]:
    r"""Lovász hinge loss: the Jaccard loss of one region, made continuous over hinge errors of logits.

    For two classes. A pixel's error is what its logit lacks to a margin of 1 on the right side; the errors, largest first,
    are weighed with what IoU loses by each. It is convex in the logits. As a logit may be as wrong as it likes, so may the
    loss exceed 1.

    There is a value for each image, whose pixels may have any shape (channels are pixels too), or one for the batch;
    weights and masks are likewise. An image without a pixel of the region costs its largest error. kornia and the authors'
    default is level batch; segmentation-models-pytorch is level image.

    Formula:
        \ell_n = \sum_{i} \max(0, m_{(i)}) \bigl( J(i) - J(i - 1) \bigr), \qquad m_i = 1 - x_i (2 y_i - 1), \quad
        m_{(1)} \ge m_{(2)} \ge \dots, \quad J \text{ as in `lovasz\_softmax`}

    Args:
        labels: 1 for pixels of the region, 0 for others $y$; same shape as `predictions`.

    Returns:
        one loss per image (N), or one number at the level of the batch; not negative.

    Use when:
        one region is to be found and IoU is judged: salt in seismic images, buildings, foreground of a picture.

    Avoid when:
        there are several classes (take `lovasz_softmax`), or probabilities are needed: logits beyond 1 are not told apart.

    Source:
        Berman, Rannen Triki and Blaschko, The Lovász-Softmax Loss, 2018. https://arxiv.org/abs/1705.08790; Yu and Blaschko,
        Learning Submodular Losses with the Lovász Hinge, 2015. https://proceedings.mlr.press/v37/yub15.html.
    """
    errors = (1 - predictions * (2 * labels - 1)).clamp(min=0).unsqueeze(-1)
    members = (labels > 0).unsqueeze(-1)
    first = 1 if level == "image" else 0
    return _extension(errors.flatten(first), members.flatten(first))
