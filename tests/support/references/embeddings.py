"""References of the losses for embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import distance as distances

from tests.support.references._exact import Array


def hinge_embedding(predictions: Array, labels: Array, margin: float = 1.0) -> Array:
    return np.where(labels == 1, predictions, np.maximum(0.0, margin - predictions))


def cosine_embedding(input1: Array, input2: Array, labels: Array, margin: float = 0.0) -> Array:
    # torch adds 1e-12 to each squared length (EPSILON in aten/src/ATen/native/Loss.cpp), so that null vectors have a cosine.
    squares = (np.sum(input1**2, axis=-1) + 1e-12) * (np.sum(input2**2, axis=-1) + 1e-12)
    cosine = np.sum(input1 * input2, axis=-1) / np.sqrt(squares)
    return np.where(labels == 1, 1 - cosine, np.maximum(0.0, cosine - margin))


def _triplet(
    anchor: Array, positive: Array, negative: Array, distance: Callable[[Array, Array], Any], margin: float, swap: bool
) -> Array:
    values = np.zeros(anchor.shape[:-1])
    for place in np.ndindex(values.shape):
        near, far = distance(anchor[place], positive[place]), distance(anchor[place], negative[place])
        if swap:
            far = min(far, distance(positive[place], negative[place]))
        values[place] = max(0.0, near - far + margin)
    return values


def triplet_margin(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Array:
    def norm(first: Array, second: Array) -> Any:
        return distances.minkowski(first + eps, second, p)

    return _triplet(anchor, positive, negative, norm, margin, swap)


def triplet_margin_with_distance(
    anchor: Array,
    positive: Array,
    negative: Array,
    distance: str = "euclidean",
    margin: float = 1.0,
    swap: bool = False,
) -> Array:
    named = {
        "euclidean": lambda first, second: distances.euclidean(first + 1e-6, second),
        "squared_euclidean": distances.sqeuclidean,
        "manhattan": distances.cityblock,
        "cosine": distances.cosine,
    }
    return _triplet(anchor, positive, negative, named[distance], margin, swap)
