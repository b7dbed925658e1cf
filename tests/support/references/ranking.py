"""References of the losses for order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from tests.support.references._exact import Array


def margin_ranking(input1: Array, input2: Array, labels: Array, margin: float = 0.0) -> Array:
    return np.maximum(0.0, labels * (input2 - input1) + margin)


def bpr(positive: Array, negative: Array) -> Array:
    return np.logaddexp(0.0, negative - positive)


def _by_query(predictions: Array, labels: Array, mask: Array | None, value: Callable[[list[Any]], Any]) -> Array:
    """The value of each query, given its documents as pairs of score and label; 0 for a query without documents."""
    values = np.zeros(len(predictions))
    for query, (scores, relevances) in enumerate(zip(predictions, labels, strict=True)):
        kept = np.broadcast_to(True if mask is None else mask[query], scores.shape)
        pairs = [
            (mpmath.mpf(float(s)), mpmath.mpf(float(y))) for s, y, k in zip(scores, relevances, kept, strict=True) if k
        ]
        values[query] = value(pairs) if pairs else 0.0
    return values


def ranknet(predictions: Array, labels: Array, mask: Array | None = None) -> Array:
    def value(pairs: list[Any]) -> Any:
        costs = [mpmath.log(1 + mpmath.exp(t - s)) for s, y in pairs for t, z in pairs if y > z]
        return mpmath.fsum(costs) / max(len(costs), 1)

    return _by_query(predictions, labels, mask, value)


def listnet(predictions: Array, labels: Array, mask: Array | None = None) -> Array:
    def value(pairs: list[Any]) -> Any:
        total = mpmath.log(mpmath.fsum(mpmath.exp(s) for s, _ in pairs))
        weights = [mpmath.exp(y) for _, y in pairs]
        return mpmath.fsum(w * (total - s) for w, (s, _) in zip(weights, pairs, strict=True)) / mpmath.fsum(weights)

    return _by_query(predictions, labels, mask, value)


def list_mle(predictions: Array, labels: Array, mask: Array | None = None) -> Array:
    def value(pairs: list[Any]) -> Any:
        probability, left = mpmath.mpf(1), sorted(pairs, key=lambda pair: -pair[1])
        while left:
            probability *= mpmath.exp(left[0][0]) / mpmath.fsum(mpmath.exp(s) for s, _ in left)
            left.pop(0)
        return -mpmath.log(probability)

    return _by_query(predictions, labels, mask, value)


def approx_ndcg(predictions: Array, labels: Array, mask: Array | None = None, temperature: float = 1.0) -> Array:
    def value(pairs: list[Any]) -> Any:
        best = sorted((y for _, y in pairs), reverse=True)
        ideal = mpmath.fsum((mpmath.mpf(2) ** y - 1) / mpmath.log(2 + place, 2) for place, y in enumerate(best))
        dcg = mpmath.mpf(0)
        for i, (s, y) in enumerate(pairs):
            higher = (1 / (1 + mpmath.exp((s - t) / temperature)) for j, (t, _) in enumerate(pairs) if j != i)
            dcg += (mpmath.mpf(2) ** y - 1) / mpmath.log(2 + mpmath.fsum(higher), 2)
        return 1 - dcg / ideal if ideal else 0.0

    return _by_query(predictions, labels, mask, value)
