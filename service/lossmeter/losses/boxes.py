"""Losses for bounding boxes: how much two rectangles overlap, and how far they are from doing so."""

from __future__ import annotations

from collections.abc import Iterator
from math import atan, pi
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import Boxes, Unreduced

FAMILY = "boxes"
TASKS = ("detection",)

BoxFormat = Annotated[
    Literal["xyxy", "xywh", "cxcywh"],
    Prose(
        "what the four numbers of a box are: two opposite corners, with the smaller coordinates first (`xyxy`); the first "
        "corner, width and height (`xywh`); or the centre, width and height (`cxcywh`)."
    ),
]
Epsilon = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    Prose("what is added to denominators, so that boxes without area divide nothing by zero."),
]


def _box_flaws(arguments: Arguments) -> Iterator[Flaw]:
    corners = arguments["box_format"] == "xyxy"
    for name in ("predictions", "labels"):
        boxes = arguments[name]
        size = boxes[:, 2:] - boxes[:, :2] if corners else boxes[:, 2:]
        offending = torch.cat([torch.zeros_like(size, dtype=torch.bool), size < 0], dim=1)
        expected = "at least the smaller coordinate, since box_format is xyxy" if corners else "a size of at least 0"
        yield from _flaws.element(name, boxes, offending, expected)


class _Pair(NamedTuple):
    """Predicted and labelled boxes as corners (N, 2, 2): both of them, of each two coordinates, and what is added to areas."""

    low: Tensor
    high: Tensor
    epsilon: Tensor

    @property
    def sizes(self) -> Tensor:
        return self.high - self.low

    @property
    def hull(self) -> Tensor:
        """Width and height of the smallest box around both."""
        return self.high.amax(1) - self.low.amin(1)

    def overlap(self) -> tuple[Tensor, Tensor]:
        """Intersection over union, and the union."""
        both = (self.high.amin(1) - self.low.amax(1)).clamp(min=0).prod(-1)
        union = self.sizes.prod(-1).sum(1) - both
        return both / (union + self.epsilon), union

    def distance(self) -> Tensor:
        """The squared distance of the centres as a share of the squared diagonal of the hull."""
        centres = (self.low + self.high) / 2
        diagonal = self.hull.square().sum(-1) + self.epsilon
        return (centres[:, 0] - centres[:, 1]).square().sum(-1) / diagonal


def _pair(predictions: Tensor, labels: Tensor, box_format: str, epsilon: float) -> _Pair:
    boxes = torch.stack([predictions, labels], dim=1)
    # Coordinates whose squares could overflow are measured in a larger unit, which changes no ratio.
    largest = boxes.detach().abs().flatten(1).amax(1)
    limit = torch.finfo(boxes.dtype).max ** 0.25
    unit = torch.where(largest > limit, largest, 1.0)
    boxes = boxes / unit.reshape(-1, 1, 1)
    first, second = boxes[..., :2], boxes[..., 2:]
    if box_format == "xywh":
        second = first + second
    elif box_format == "cxcywh":
        first, second = first - second / 2, first + second / 2
    added = (epsilon / unit / unit).clamp(min=torch.finfo(boxes.dtype).tiny)
    return _Pair(first, second, added)


@loss(
    suits={"overlap": "It is the measure itself, of boxes that already meet."},
    copies=7,
    sweeps=35,
    chunked=False,
    check=_box_flaws,
    aliases=["iou_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0, 2.0, 2.0]], labels=[[1.0, 0.0, 3.0, 2.0]], epsilon=1e-12, value=2 / 3),
        Example(
            predictions=[[1.0, 1.0, 2.0, 2.0]],
            labels=[[2.0, 1.0, 2.0, 2.0]],
            box_format="cxcywh",
            epsilon=1e-12,
            value=2 / 3,
        ),
    ],
)
def iou(
    predictions: Boxes[Tensor, "N 4"],
    labels: Boxes[Tensor, "N 4"],
    *,
    box_format: BoxFormat = "xyxy",
    epsilon: Epsilon = 1e-7,
) -> Unreduced[Tensor, "N"]:
    r"""One minus the intersection over union of two boxes: the share of their common area that they do not share.

    It is 0 for equal boxes and 1 for boxes that do not meet, whatever their size: a small box may be off by a few pixels only,
    a large one by many, and both cost the same. That is how detectors are scored, so it trains what is measured. But boxes that
    do not meet all cost 1, however far apart they are, and then there is nothing to learn from. The first paper of its kind
    takes $-\log$ of the ratio in place of one minus it.

    Formula:
        \ell_n = 1 - \frac{|A_n \cap B_n|}{|A_n \cup B_n| + \varepsilon}

    Args:
        predictions: boxes $A$, one a row; none may have a negative width or height.
        labels: the true boxes $B$; same shape as `predictions`.

    Returns:
        one loss per pair of boxes, between 0 and 1.

    Use when:
        predicted boxes already overlap the true ones: refining stages of detectors, tracking, layout of documents.

    Avoid when:
        boxes may not meet, as early in training: take `giou`, `diou` or `ciou`.

    Source:
        Yu et al., UnitBox: An Advanced Object Detection Network, 2016. https://arxiv.org/abs/1608.01471.
    """
    ratio, _ = _pair(predictions, labels, box_format, epsilon).overlap()
    return 1 - ratio


@loss(
    suits={
        "usual": "It has a gradient wherever the boxes lie, and is what DETR takes.",
        "disjoint_boxes": "Boxes that do not meet are drawn together through the hull of both.",
        "overlap": "It is IoU, continued to boxes that do not meet.",
    },
    copies=8,
    sweeps=45,
    chunked=False,
    check=_box_flaws,
    aliases=["generalized_box_iou_loss", "giou_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0, 1.0, 1.0]], labels=[[3.0, 0.0, 4.0, 1.0]], epsilon=1e-12, value=1.5),
        Example(
            predictions=[[0.0, 0.0, 2.0, 2.0]], labels=[[1.0, 1.0, 3.0, 3.0]], epsilon=1e-12, value=1 - 1 / 7 + 2 / 9
        ),
    ],
)
def giou(
    predictions: Boxes[Tensor, "N 4"],
    labels: Boxes[Tensor, "N 4"],
    *,
    box_format: BoxFormat = "xyxy",
    epsilon: Epsilon = 1e-7,
) -> Unreduced[Tensor, "N"]:
    r"""Generalised intersection over union: `iou` that also tells how far apart two boxes are.

    To the loss of `iou` it adds the share of the smallest box around both that neither of them covers. For boxes that overlap
    well that is little; for boxes that do not meet it grows towards 1 the farther apart they are, so there is always a
    direction in which to improve. In practice it first stretches the predicted box until it meets the true one. With the
    default epsilon it is torchvision's `generalized_box_iou_loss`.

    Formula:
        \ell_n = 1 - \frac{|A_n \cap B_n|}{|A_n \cup B_n| + \varepsilon} + \frac{|C_n| - |A_n \cup B_n|}{|C_n| + \varepsilon},
        \qquad C_n \; \text{the smallest box around both}

    Args:
        predictions: boxes $A$, one a row; none may have a negative width or height.
        labels: the true boxes $B$; same shape as `predictions`.

    Returns:
        one loss per pair of boxes, between 0 and 2.

    Use when:
        boxes are regressed in object detection, by themselves or beside `smooth_l1` as in DETR.

    Avoid when:
        convergence is slow, or boxes lie inside each other, where it is `iou`: take `diou` or `ciou`.

    Source:
        Rezatofighi et al., Generalized Intersection over Union, 2019. https://arxiv.org/abs/1902.09630; torchvision.
    """
    pair = _pair(predictions, labels, box_format, epsilon)
    ratio, union = pair.overlap()
    hull = pair.hull.prod(-1)
    return 1 - ratio + (hull - union) / (hull + pair.epsilon)


@loss(
    suits={
        "disjoint_boxes": "The distance of the centres draws boxes together quickly.",
        "overlap": "It is IoU with a term for the distance of the centres.",
    },
    copies=8,
    sweeps=45,
    chunked=False,
    check=_box_flaws,
    aliases=["distance_box_iou_loss", "diou_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0, 1.0, 1.0]], labels=[[3.0, 0.0, 4.0, 1.0]], epsilon=1e-12, value=1 + 9 / 17),
    ],
)
def diou(
    predictions: Boxes[Tensor, "N 4"],
    labels: Boxes[Tensor, "N 4"],
    *,
    box_format: BoxFormat = "xyxy",
    epsilon: Epsilon = 1e-7,
) -> Unreduced[Tensor, "N"]:
    r"""Distance intersection over union: `iou`, and the distance of the centres.

    To the loss of `iou` it adds the squared distance of the two centres, as a share of the squared diagonal of the smallest box
    around both. That draws the predicted box straight towards the true one, also while they do not meet and when one lies
    inside the other, which makes it converge faster than `giou`. With the default epsilon it is torchvision's
    `distance_box_iou_loss`.

    Formula:
        \ell_n = 1 - \frac{|A_n \cap B_n|}{|A_n \cup B_n| + \varepsilon} + \frac{\| a_n - b_n \|^2}{d_n^2 + \varepsilon},
        \qquad a, b \; \text{the centres}, \; d \; \text{the diagonal of the smallest box around both}

    Args:
        predictions: boxes $A$, one a row; none may have a negative width or height.
        labels: the true boxes $B$; same shape as `predictions`.

    Returns:
        one loss per pair of boxes, between 0 and 2.

    Use when:
        boxes are regressed in object detection and `giou` converges slowly; objects that are often close together.

    Avoid when:
        width and height come out in a wrong proportion: take `ciou`.

    Source:
        Zheng et al., Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression, 2019.
        https://arxiv.org/abs/1911.08287; torchvision.
    """
    pair = _pair(predictions, labels, box_format, epsilon)
    return 1 - pair.overlap()[0] + pair.distance()


def _slope(sizes: Tensor) -> Tensor:
    """The angle of the diagonal of each box; 0 for a box without any size."""
    # An angle does not depend on the unit; in that of the larger side no square vanishes.
    unit = sizes.detach().amax(-1, keepdim=True)
    empty = unit <= torch.finfo(sizes.dtype).tiny
    width, height = torch.where(empty, 0.0, sizes / torch.where(empty, 1.0, unit)).unbind(-1)
    return torch.atan2(width, torch.where(empty.squeeze(-1), 1.0, height))


# Of a box twice as wide as high and one twice as high as wide.
_PROPORTION = 4 / pi**2 * (atan(0.5) - atan(2)) ** 2


@loss(
    suits={
        "disjoint_boxes": "Centres are drawn together, and the proportion of the sides is set right as well.",
        "overlap": "It is IoU with terms for the centres and the proportion of the sides.",
    },
    copies=10,
    sweeps=60,
    chunked=False,
    check=_box_flaws,
    aliases=["complete_box_iou_loss", "ciou_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0, 1.0, 1.0]], labels=[[3.0, 0.0, 4.0, 1.0]], epsilon=1e-12, value=1 + 9 / 17),
        Example(
            predictions=[[0.0, 0.0, 2.0, 1.0]],
            labels=[[3.0, 0.0, 4.0, 2.0]],
            epsilon=1e-12,
            value=1 + 6.5 / 20 + _PROPORTION**2 / (1 + _PROPORTION),
        ),
    ],
)
def ciou(
    predictions: Boxes[Tensor, "N 4"],
    labels: Boxes[Tensor, "N 4"],
    *,
    box_format: BoxFormat = "xyxy",
    epsilon: Epsilon = 1e-7,
) -> Unreduced[Tensor, "N"]:
    r"""Complete intersection over union: overlap, distance of the centres, and the proportion of the sides.

    To `diou` it adds how much the proportions of the two boxes differ, as the angle of their diagonals. The weight of that
    grows as the boxes come to overlap, since it is useless before, and is held fixed for the gradient. Boxes of equal
    proportion cost the same as under `diou`. With the default epsilon it is torchvision's `complete_box_iou_loss`, except that
    a height of 0 is no special case here.

    Formula:
        \ell_n = 1 - \mathrm{IoU}_n + \frac{\| a_n - b_n \|^2}{d_n^2 + \varepsilon} + \lfloor \alpha_n \rfloor v_n, \qquad
        v_n = \frac{4}{\pi^2} \left( \arctan \frac{w^B_n}{h^B_n} - \arctan \frac{w^A_n}{h^A_n} \right)^2, \quad
        \alpha_n = \frac{v_n}{1 - \mathrm{IoU}_n + v_n + \varepsilon}, \qquad
        \lfloor \cdot \rfloor \; \text{without gradient}

    Args:
        predictions: boxes $A$, one a row; none may have a negative width or height.
        labels: the true boxes $B$; same shape as `predictions`.

    Returns:
        one loss per pair of boxes, between 0 and 3.

    Use when:
        boxes are regressed in object detection: it is the default of the YOLO family; also with objects of extreme proportion.

    Avoid when:
        boxes are nearly without area, where proportions are mere noise: take `diou` or `giou`.

    Source:
        Zheng et al., Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression, 2019.
        https://arxiv.org/abs/1911.08287; torchvision.
    """
    pair = _pair(predictions, labels, box_format, epsilon)
    ratio, _ = pair.overlap()
    first, second = _slope(pair.sizes).unbind(1)
    proportion = 4 / pi**2 * (second - first).square()
    with torch.no_grad():
        share = proportion / (1 - ratio + proportion + max(epsilon, torch.finfo(ratio.dtype).tiny))
    return 1 - ratio + pair.distance() + share * proportion
