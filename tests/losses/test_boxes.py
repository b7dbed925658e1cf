"""Losses for boxes: identities, the formulas of torchvision, and boxes without area or of any size."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from lossmeter.losses import LOSSES
from tests.losses.test_flaws import flaws
from tests.support.inputs import smooth

F64 = torch.float64
BOXES = ("iou", "giou", "diou", "ciou")
every_loss = pytest.mark.parametrize("name", BOXES)


def value(name: str, *boxes: Any, **parameters: Any) -> Tensor:
    return LOSSES[name].function(*(torch.as_tensor(one, dtype=F64) for one in boxes), **parameters)


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def pairs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    place = 3 * torch.rand(2, 100, 2, generator=generator, dtype=F64)
    size = 0.1 + 2 * torch.rand(2, 100, 2, generator=generator, dtype=F64)
    first, second = torch.cat([place, place + size], dim=-1)
    return first, second


def torchvision(name: str, boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """The losses of torchvision.ops 0.24 (`giou_loss`, `diou_loss`, `ciou_loss`), written out."""
    x1, y1, x2, y2 = boxes1.unbind(-1)
    x1g, y1g, x2g, y2g = boxes2.unbind(-1)
    xkis1, ykis1 = torch.max(x1, x1g), torch.max(y1, y1g)
    xkis2, ykis2 = torch.min(x2, x2g), torch.min(y2, y2g)
    intersection = torch.zeros_like(x1)
    mask = (ykis2 > ykis1) & (xkis2 > xkis1)
    intersection[mask] = (xkis2[mask] - xkis1[mask]) * (ykis2[mask] - ykis1[mask])
    union = (x2 - x1) * (y2 - y1) + (x2g - x1g) * (y2g - y1g) - intersection
    ratio = intersection / (union + eps)
    xc1, yc1, xc2, yc2 = torch.min(x1, x1g), torch.min(y1, y1g), torch.max(x2, x2g), torch.max(y2, y2g)
    if name == "iou":
        return 1 - ratio
    if name == "giou":
        area = (xc2 - xc1) * (yc2 - yc1)
        return 1 - (ratio - (area - union) / (area + eps))
    diagonal = (xc2 - xc1) ** 2 + (yc2 - yc1) ** 2 + eps
    centres = ((x2 + x1) / 2 - (x1g + x2g) / 2) ** 2 + ((y2 + y1) / 2 - (y1g + y2g) / 2) ** 2
    loss = 1 - ratio + centres / diagonal
    if name == "diou":
        return loss
    v = 4 / torch.pi**2 * (torch.atan((x2g - x1g) / (y2g - y1g)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
    with torch.no_grad():
        alpha = v / (1 - ratio + v + eps)
    return loss + alpha * v


@every_loss
def test_values_and_gradients_are_torchvisions(name: str) -> None:
    ours, theirs = ([boxes.clone().requires_grad_() for boxes in pairs()] for _ in range(2))
    values, expected = value(name, *ours), torchvision(name, *theirs)
    close(values.detach(), expected.detach())
    gradients = zip(torch.autograd.grad(values.sum(), ours), torch.autograd.grad(expected.sum(), theirs), strict=True)
    for gradient, other in gradients:
        close(gradient, other)


@every_loss
def test_every_format_says_the_same(name: str) -> None:
    corners = pairs()
    sized = [torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1) for boxes in corners]
    centred = [torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], dim=1) for b in corners]
    close(value(name, *sized, box_format="xywh"), value(name, *corners))
    close(value(name, *centred, box_format="cxcywh"), value(name, *corners))


@every_loss
def test_equal_boxes_cost_nothing_and_both_sides_count_alike(name: str) -> None:
    first, second = pairs()
    close(value(name, first, first, epsilon=1e-12), torch.zeros(100), atol=1e-9)
    close(value(name, first, second), value(name, second, first))


def test_complete_iou_of_boxes_of_equal_proportion_is_distance_iou() -> None:
    first, second = pairs()
    second[:, 2:] = second[:, :2] + 1.7 * (first[:, 2:] - first[:, :2])
    close(value("ciou", first, second), value("diou", first, second))


def test_boxes_that_do_not_meet_have_a_direction_except_under_iou() -> None:
    near, far = [[0.0, 0.0, 1.0, 1.0]], [[5.0, 0.0, 6.0, 1.0]]
    for name in BOXES:
        boxes = torch.tensor(near, dtype=F64, requires_grad=True)
        (gradient,) = torch.autograd.grad(value(name, boxes, far).sum(), boxes)
        assert bool(gradient.any()) is (name != "iou")


def test_the_gradient_of_complete_iou_is_that_of_a_fixed_share() -> None:
    for case in smooth("ciou"):
        parameters = {name: one for name, one in case.items() if not isinstance(one, Tensor)}
        boxes, labels = case["predictions"], case["labels"]
        with torch.no_grad():
            overlap = 1 - value("iou", boxes, labels, **parameters)
            share_of = value("ciou", boxes, labels, **parameters) - value("diou", boxes, labels, **parameters)
            # α v = v² / (1 - IoU + v + ε), solved for v
            rest = 1 - overlap + parameters.get("epsilon", 1e-7)
            v = (share_of + (share_of.square() + 4 * share_of * rest).sqrt()) / 2
            alpha = v / (rest + v)

        def held(x: Tensor, y: Tensor, alpha: Tensor = alpha, parameters: dict[str, Any] = parameters) -> Tensor:
            sizes = [b[:, 2:] - (b[:, :2] if parameters.get("box_format", "xyxy") == "xyxy" else 0) for b in (x, y)]
            angles = [torch.atan(size[:, 0] / size[:, 1]) for size in sizes]
            return value("diou", x, y, **parameters) + alpha * 4 / torch.pi**2 * (angles[0] - angles[1]) ** 2

        leaves = [boxes.requires_grad_(), labels.requires_grad_()]
        assert gradcheck(held, leaves, atol=1e-7, rtol=1e-6)
        expected = torch.autograd.grad(held(*leaves).sum(), leaves)
        actual = torch.autograd.grad(value("ciou", *leaves, **parameters).sum(), leaves)
        for one, other in zip(actual, expected, strict=True):
            close(one, other, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("epsilon", [1e-300, 1e-7, 1.0])
@every_loss
def test_boxes_of_every_size_give_finite_values_and_gradients(name: str, epsilon: float, dtype: torch.dtype) -> None:
    big = 1e18 if dtype == torch.float32 else 1e150
    sides = [0.0, 1 / big, 1e-6, 1.0, big]
    boxes = torch.tensor([[x, x, x + w, x + h] for x, w, h in itertools.product((0.0, big), sides, sides)], dtype=dtype)
    first, second = (
        boxes[list(side)].requires_grad_() for side in zip(*itertools.product(range(50), repeat=2), strict=True)
    )
    values = LOSSES[name].function(first, second, epsilon=epsilon)
    assert values.isfinite().all()
    assert ((values > -1e-5) & (values < 3 + 1e-5)).all()
    for gradient in torch.autograd.grad(values.sum(), (first, second)):
        assert not gradient.isnan().any()


def test_boxes_of_negative_size_are_a_flaw() -> None:
    message = "predictions[1, 2] is 0.5; expected at least the smaller coordinate, since box_format is xyxy."
    boxes = [[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.5, 1.0]]
    assert flaws("giou", predictions=boxes, labels=boxes[:1] * 2) == [("/predictions", message, (1, 2))]
    message = "labels[0, 3] is -1.0; expected a size of at least 0."
    sized = {"predictions": [[0.0, 0.0, 1.0, 1.0]], "labels": [[0.0, 0.0, 1.0, -1.0]]}
    assert flaws("iou", **sized, box_format="xywh") == [("/labels", message, (0, 3))]
