"""References of the losses for boxes, a pair at a time, from corners."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.references._exact import Array

Corners = tuple[float, float, float, float]


def _corners(box: Array, box_format: str) -> Corners:
    a, b, c, d = (float(one) for one in box)
    if box_format == "xywh":
        return a, b, a + c, b + d
    return (a - c / 2, b - d / 2, a + c / 2, b + d / 2) if box_format == "cxcywh" else (a, b, c, d)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(a: Corners, b: Corners) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _hull(a: Corners, b: Corners) -> Corners:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _each(predictions: Array, labels: Array, box_format: str, of: Callable[[Corners, Corners], Any]) -> Array:
    pairs = zip(predictions, labels, strict=True)
    return np.array([of(_corners(a, box_format), _corners(b, box_format)) for a, b in pairs], dtype=np.float64)


def _iou(a: Corners, b: Corners, epsilon: float) -> float:
    shared = _overlap(a, b)
    return shared / (_area(a) + _area(b) - shared + epsilon)


def _diou(a: Corners, b: Corners, epsilon: float) -> float:
    hull = _hull(a, b)
    across = (a[0] + a[2] - b[0] - b[2]) ** 2 / 4 + (a[1] + a[3] - b[1] - b[3]) ** 2 / 4
    return 1 - _iou(a, b, epsilon) + across / ((hull[2] - hull[0]) ** 2 + (hull[3] - hull[1]) ** 2 + epsilon)


def iou(predictions: Array, labels: Array, box_format: str = "xyxy", epsilon: float = 1e-7) -> Array:
    return _each(predictions, labels, box_format, lambda a, b: 1 - _iou(a, b, epsilon))


def giou(predictions: Array, labels: Array, box_format: str = "xyxy", epsilon: float = 1e-7) -> Array:
    def value(a: Corners, b: Corners) -> float:
        hull, union = _area(_hull(a, b)), _area(a) + _area(b) - _overlap(a, b)
        return 1 - _iou(a, b, epsilon) + (hull - union) / (hull + epsilon)

    return _each(predictions, labels, box_format, value)


def diou(predictions: Array, labels: Array, box_format: str = "xyxy", epsilon: float = 1e-7) -> Array:
    return _each(predictions, labels, box_format, lambda a, b: _diou(a, b, epsilon))


def ciou(predictions: Array, labels: Array, box_format: str = "xyxy", epsilon: float = 1e-7) -> Array:
    def angle(box: Corners) -> float:
        width, height = box[2] - box[0], box[3] - box[1]
        return math.atan(width / height) if height else math.pi / 2 * (width > 0)

    def value(a: Corners, b: Corners) -> float:
        v = 4 / math.pi**2 * (angle(a) - angle(b)) ** 2
        return _diou(a, b, epsilon) + v * v / (1 - _iou(a, b, epsilon) + v + epsilon)

    return _each(predictions, labels, box_format, value)
