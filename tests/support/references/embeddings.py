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


def contrastive(input1: Array, input2: Array, labels: Array, margin: float = 1.0) -> Array:
    distance = np.array([distances.euclidean(first, second) for first, second in zip(input1, input2, strict=True)])
    return np.where(labels == 1, distance**2, np.maximum(0.0, margin - distance) ** 2)


def _cosines(first: Array, second: Array) -> Array:
    """The cosines of all rows with all rows; 0 for a row of zeros."""
    values = np.zeros((len(first), len(second)))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            lengths = np.linalg.norm(one) * np.linalg.norm(other)
            values[i, j] = np.dot(one, other) / lengths if lengths else 0.0
    return values


def _surprise(own: float, others: Any) -> Any:
    """-log(e^own / (e^own + the sum of e^others))."""
    return np.logaddexp(0.0, np.logaddexp.reduce([*others, -np.inf]) - own)


def info_nce(query: Array, positive: Array, negatives: Array | None = None, temperature: float = 0.07) -> Array:
    logits = _cosines(query, positive) / temperature
    others = [np.delete(row, n) for n, row in enumerate(logits)]
    if negatives is not None:
        others = list(_cosines(query, negatives) / temperature)
    return np.array([_surprise(logits[n, n], others[n]) for n in range(len(query))])


def nt_xent(view1: Array, view2: Array, temperature: float = 0.5) -> Array:
    views = np.concatenate([view1, view2])
    logits = _cosines(views, views) / temperature
    partner = np.roll(np.arange(len(views)), len(view1))
    return np.array([_surprise(logits[i, j], np.delete(logits[i], [i, j])) for i, j in enumerate(partner)])


def clip(image: Array, text: Array, logit_scale: Array) -> Array:
    temperature = 1 / float(logit_scale)
    return (info_nce(image, text, temperature=temperature) + info_nce(text, image, temperature=temperature)) / 2


def siglip(image: Array, text: Array, logit_scale: Array, logit_bias: Array) -> Array:
    logits = logit_scale * _cosines(image, text) + logit_bias
    return np.array(
        [
            sum(np.logaddexp(0.0, -logit if n == k else logit) for k, logit in enumerate(row))
            for n, row in enumerate(logits)
        ],
        dtype=np.float64,
    )


def supervised_contrastive(embeddings: Array, labels: Array, temperature: float = 0.1) -> Array:
    logits = _cosines(embeddings, embeddings) / temperature
    values = np.zeros(len(labels))
    for i, row in enumerate(logits):
        positives = [p for p in np.flatnonzero(labels == labels[i]) if p != i]
        if positives:
            values[i] = np.mean([_surprise(row[p], np.delete(row, [i, p])) for p in positives])
    return values


def circle(embeddings: Array, labels: Array, margin: float = 0.4, gamma: float = 80.0) -> Array:
    cosines = _cosines(embeddings, embeddings)
    values = np.zeros(len(labels))
    for i, row in enumerate(cosines):
        same = labels == labels[i]
        same[i] = False
        near, far = row[labels != labels[i]], row[same]
        products = [
            gamma * (max(0.0, n + margin) * (n - margin) - max(0.0, 1 + margin - p) * (p - 1 + margin))
            for n in near
            for p in far
        ]
        values[i] = np.logaddexp.reduce([0.0, *products])
    return values


def multi_similarity(
    embeddings: Array, labels: Array, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> Array:
    values = np.zeros(len(labels))
    for i, row in enumerate(_cosines(embeddings, embeddings) - base):
        same = np.flatnonzero(labels == labels[i])
        values[i] = np.log1p(np.exp(-alpha * row[same[same != i]]).sum()) / alpha
        values[i] += np.log1p(np.exp(beta * row[labels != labels[i]]).sum()) / beta
    return values


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths == 0, 1.0, lengths)


def arcface(embeddings: Array, prototypes: Array, labels: Array, margin: float = 0.5, scale: float = 64.0) -> Array:
    logits = scale * _cosines(embeddings, prototypes)
    values = np.zeros(len(labels))
    for n, label in enumerate(labels):
        first, second = _unit(embeddings[n]), _unit(prototypes[label])
        # The angle by its tangent: arccos has but half of the digits near 0 and pi.
        angle = 2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second))
        if not (first.any() and second.any()):
            angle = np.pi / 2
        own = np.cos(angle + margin) if angle <= np.pi - margin else np.cos(angle) - margin * np.sin(margin)
        values[n] = _surprise(scale * own, np.delete(logits[n], label))
    return values


def cosface(embeddings: Array, prototypes: Array, labels: Array, margin: float = 0.35, scale: float = 64.0) -> Array:
    logits = scale * _cosines(embeddings, prototypes)
    return np.array(
        [
            _surprise(row[label] - scale * margin, np.delete(row, label))
            for row, label in zip(logits, labels, strict=True)
        ]
    )


def vicreg(
    view1: Array, view2: Array, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Array:
    count, size = view1.shape
    if not count:
        return np.array(0.0)
    total = invariance * np.mean((view1 - view2) ** 2)
    for view in (view1, view2):
        matrix = np.cov(view, rowvar=False).reshape(size, size) if count > 1 else np.zeros((size, size))
        deviations = np.sqrt(np.diag(matrix) + 1e-4)
        total += variance * np.mean(np.maximum(0.0, 1 - deviations)) / 2
        total += covariance * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / size
    return np.array(total)


def barlow_twins(view1: Array, view2: Array, redundancy: float = 0.005) -> Array:
    total = 0.0
    for d, first in enumerate(view1.T):
        for e, second in enumerate(view2.T):
            constant = len(first) == 0 or np.ptp(first) == 0 or np.ptp(second) == 0
            correlation = 0.0 if constant else np.corrcoef(first, second)[0, 1]
            total += (1 - correlation) ** 2 if d == e else redundancy * correlation**2
    return np.array(total if len(view1) else 0.0)
