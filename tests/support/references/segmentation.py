"""References of the losses for segmentation: pixel by pixel, region by region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from tests.support.references._exact import Array

Region = tuple[Array, Array]


def _regions(
    predictions: Array, labels: Array, include_background: bool, ignore_index: int | None, level: str
) -> list[list[Region]]:
    """Probabilities and truth of the pixels of each class, for each image, or for one image of all."""
    overlapping = labels.ndim == predictions.ndim
    probabilities = special.expit(predictions) if overlapping else special.softmax(predictions, axis=1)
    images: list[list[Region]] = []
    for image in range(len(predictions)):
        classes = []
        for c in range(0 if include_background else 1, predictions.shape[1]):
            truth = labels[image, c] == 1 if overlapping else labels[image] == c
            kept = np.full(truth.shape, True) if ignore_index is None else labels[image] != ignore_index
            classes.append((probabilities[image, c][kept], truth[kept]))
        images.append(classes)
    if level == "image":
        return images
    joined = []
    for c in range(predictions.shape[1] - (not include_background)):
        parts = [classes[c] for classes in images]
        joined.append(
            (
                np.concatenate([np.zeros(0), *(np.ravel(p) for p, _ in parts)]),
                np.concatenate([np.zeros(0, bool), *(np.ravel(y) for _, y in parts)]),
            )
        )
    return [joined]


def _each(
    value: Any,
    predictions: Array,
    labels: Array,
    level: str = "image",
    absent: str = "skip",
    include_background: bool = True,
    ignore_index: int | None = None,
) -> Array:
    images = _regions(predictions, labels, include_background, ignore_index, level)
    constant = 1.0 if absent == "one" else 0.0
    rows = [[value(p, y) if y.any() else constant for p, y in classes] for classes in images]
    count = predictions.shape[1] - (not include_background)
    values = np.array(rows, dtype=np.float64).reshape(len(images), count)
    return values if level == "image" else values[0]


def dice(predictions: Array, labels: Array, squared: bool = False, smooth: float = 1.0, **rest: Any) -> Array:
    def value(p: Array, y: Array) -> Any:
        return 1 - (2 * np.sum(p * y) + smooth) / (np.sum(p**2 if squared else p) + np.sum(y) + smooth)

    return _each(value, predictions, labels, **rest)


def jaccard(predictions: Array, labels: Array, smooth: float = 1.0, **rest: Any) -> Array:
    def value(p: Array, y: Array) -> Any:
        return 1 - (np.sum(p * y) + smooth) / (np.sum(p + y - p * y) + smooth)

    return _each(value, predictions, labels, **rest)


def _tversky(p: Array, y: Array, alpha: float, beta: float, smooth: float) -> Any:
    whole = np.sum(p * y) + alpha * np.sum(p * ~y) + beta * np.sum((1 - p) * y) + smooth
    return (alpha * np.sum(p * ~y) + beta * np.sum((1 - p) * y)) / whole if whole else 0.0


def tversky(
    predictions: Array, labels: Array, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0, **rest: Any
) -> Array:
    return _each(lambda p, y: _tversky(p, y, alpha, beta, smooth), predictions, labels, **rest)


def focal_tversky(
    predictions: Array,
    labels: Array,
    gamma: float = 4 / 3,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    **rest: Any,
) -> Array:
    return _each(lambda p, y: _tversky(p, y, alpha, beta, smooth) ** (1 / gamma), predictions, labels, **rest)


def generalized_dice(
    predictions: Array,
    labels: Array,
    weighting: str = "square",
    smooth: float = 1.0,
    level: str = "image",
    absent: str = "skip",
    include_background: bool = True,
    ignore_index: int | None = None,
) -> Array:
    values = []
    for classes in _regions(predictions, labels, include_background, ignore_index, level):
        hits, sizes = smooth, smooth
        for p, y in classes:
            size = int(np.sum(y))
            weight = {"square": size**2, "simple": size, "uniform": 1}[weighting]
            if size:
                hits += 2 * np.sum(p * y) / weight
                sizes += (np.sum(p) + size) / weight
        there = any(y.any() for _, y in classes)
        values.append(1 - hits / sizes if there else 1.0 if absent == "one" else 0.0)
    return np.array(values) if level == "image" else np.array(values[0])


def _jaccard_losses(truth: Array) -> Iterator[float]:
    """1 - IoU if the first k pixels are wrong, for each k."""
    for wrong in range(len(truth) + 1):
        predicted = truth.copy()
        predicted[:wrong] = ~predicted[:wrong]
        union = np.sum(predicted | truth)
        yield 1 - np.sum(predicted & truth) / union if union else 0.0


def _lovasz(errors: Array, truth: Array) -> float:
    order = np.argsort(-errors, kind="stable")
    steps = np.diff(list(_jaccard_losses(truth[order])))
    return float(np.sum(errors[order] * steps))


def lovasz_softmax(
    predictions: Array,
    labels: Array,
    classes: str = "present",
    level: str = "image",
    include_background: bool = True,
    ignore_index: int | None = None,
) -> Array:
    images = _regions(predictions, labels, include_background, ignore_index, level)
    rows = [
        [
            _lovasz(np.abs(np.ravel(y) - np.ravel(p)), np.ravel(y)) if y.any() or classes == "all" else 0.0
            for p, y in regions
        ]
        for regions in images
    ]
    values = np.array(rows, dtype=np.float64).reshape(len(images), predictions.shape[1] - (not include_background))
    return values if level == "image" else values[0]


def lovasz_hinge(predictions: Array, labels: Array, level: str = "image") -> Array:
    if level == "batch":
        predictions, labels = predictions.reshape(1, -1), labels.reshape(1, -1)
    values = [
        _lovasz(np.maximum(0.0, 1 - np.ravel(x) * np.where(np.ravel(y) == 1, 1, -1)), np.ravel(y) == 1)
        for x, y in zip(predictions, labels, strict=True)
    ]
    return np.array(values) if level == "image" else np.array(values[0])
