"""References of the losses for classes that torch lacks, by the definition, a sample at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mpmath
import numpy as np
from scipy import special

from tests.support.references._exact import Array, exactly


def _samples(predictions: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The place of each sample in the result, and its row of classes."""
    rows = np.moveaxis(predictions, min(1, predictions.ndim - 1), -1)
    for place in np.ndindex(rows.shape[:-1]):
        yield place, rows[place]


def _softmax(logits: Sequence[float]) -> list[Any]:
    powers = [mpmath.exp(mpmath.mpf(float(logit))) for logit in logits]
    total = mpmath.fsum(powers)
    return [power / total for power in powers]


def _of_labels(predictions: Array, labels: Array, ignore_index: int, of: Callable[[list[Any], int], Any]) -> Array:
    """A value of the softmax and the label of each sample that counts, and 0 for the others."""
    values = np.zeros(labels.shape)
    for place, row in _samples(predictions):
        if labels[place] != ignore_index:
            values[place] = of(_softmax(row), int(labels[place]))
    return values


def hinge(predictions: Array, labels: Array, margin: float = 1.0) -> Array:
    return np.where(labels > 0, np.maximum(margin - predictions, 0), np.maximum(margin + predictions, 0))


def squared_hinge(predictions: Array, labels: Array, margin: float = 1.0) -> Array:
    return hinge(predictions, labels, margin) ** 2


def poly1(
    predictions: Array,
    labels: Array,
    epsilon: float = 1.0,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    soft = not np.issubdtype(labels.dtype, np.integer)
    values = np.zeros(np.delete(predictions.shape, min(1, predictions.ndim - 1)) if soft else labels.shape)
    targets = dict(_samples(labels)) if soft else {}
    for place, row in _samples(predictions):
        if soft or labels[place] != ignore_index:
            target = targets[place] if soft else np.eye(len(row))[labels[place]]
            shares = (1 - label_smoothing) * target + label_smoothing / len(row)
            factors = np.ones(len(row)) if weight is None else weight
            terms = zip(factors * shares, _softmax(row), strict=True)
            values[place] = mpmath.fsum(mpmath.mpf(q) * (-mpmath.log(p) + epsilon * (1 - p)) for q, p in terms)
    return values


def generalized_cross_entropy(predictions: Array, labels: Array, q: float = 0.7, ignore_index: int = -100) -> Array:
    return _of_labels(predictions, labels, ignore_index, lambda p, y: (1 - p[y] ** mpmath.mpf(q)) / q)


def symmetric_cross_entropy(
    predictions: Array,
    labels: Array,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    ignore_index: int = -100,
) -> Array:
    def value(p: list[Any], y: int) -> Any:
        reverse = -mpmath.fsum(p[c] * (0 if c == y else log_zero) for c in range(len(p)))
        return -alpha * mpmath.log(p[y]) + beta * reverse

    return _of_labels(predictions, labels, ignore_index, value)


def class_balanced_cross_entropy(
    predictions: Array, labels: Array, counts: Array, beta: float = 0.9999, ignore_index: int = -100
) -> Array:
    present = [n > 0 for n in counts]
    effective = [(1 - mpmath.mpf(beta) ** mpmath.mpf(n)) / (1 - mpmath.mpf(beta)) for n in counts]
    weights = [1 / size if there else mpmath.mpf(0) for size, there in zip(effective, present, strict=True)]
    total = mpmath.fsum(weights)
    scaled = [one * sum(present) / total if total else one for one in weights]
    return _of_labels(predictions, labels, ignore_index, lambda p, y: -scaled[y] * mpmath.log(p[y]))


def logit_adjusted_cross_entropy(
    predictions: Array, labels: Array, prior: Array, tau: float = 1.0, ignore_index: int = -100
) -> Array:
    powers = [mpmath.mpf(max(share, 1e-12)) ** tau for share in prior]

    def value(p: list[Any], y: int) -> Any:
        return -mpmath.log(p[y] * powers[y] / mpmath.fsum(a * b for a, b in zip(p, powers, strict=True)))

    return _of_labels(predictions, labels, ignore_index, value)


def ldam(
    predictions: Array,
    labels: Array,
    counts: Array,
    max_margin: float = 0.5,
    scale: float = 30.0,
    ignore_index: int = -100,
) -> Array:
    rarest = min((n for n in counts if n), default=1.0)
    values = np.zeros(labels.shape)
    for place, row in _samples(predictions):
        label = labels[place]
        if label != ignore_index:
            margin = max_margin * (rarest / counts[label]) ** 0.25 if counts[label] else max_margin
            shifted = [mpmath.mpf(float(x)) - (margin if c == label else 0) for c, x in enumerate(row)]
            total = mpmath.fsum(mpmath.exp(scale * (x - shifted[label])) for x in shifted)
            values[place] = mpmath.log(total)
    return values


def asymmetric(
    predictions: Array,
    labels: Array,
    gamma_negative: float = 4.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
) -> Array:
    def value(x: Any, y: Any) -> Any:
        p = 1 / (1 + mpmath.exp(-x))
        if y:
            return -((1 - p) ** gamma_positive) * mpmath.log(p)
        shifted = max(p - mpmath.mpf(clip), 0)
        return -(shifted**gamma_negative) * mpmath.log(1 - shifted) if shifted else mpmath.mpf(0)

    return exactly(value, predictions, labels)


def brier(predictions: Array, labels: Array) -> Array:
    rows = zip(predictions, labels, strict=True)
    return np.array([sum((p - (c == y)) ** 2 for c, p in enumerate(row)) for row, y in rows], dtype=np.float64)


def z_loss(predictions: Array) -> Array:
    return np.asarray(special.logsumexp(predictions, axis=1) ** 2)


def emd(predictions: Array, labels: Array) -> Array:
    target = np.eye(predictions.shape[1])[labels] if np.issubdtype(labels.dtype, np.integer) else labels
    gaps = [(predictions[:, : c + 1] - target[:, : c + 1]).sum(1) for c in range(predictions.shape[1])]
    return np.asarray(sum(gap**2 for gap in gaps), dtype=np.float64)


def _kl(p: Any, q: Any) -> Any:
    return mpmath.fsum(a * (mpmath.log(a) - mpmath.log(b)) for a, b in zip(p, q, strict=True) if a)


def _powers(row: Array) -> list[Any]:
    return [mpmath.exp(mpmath.mpf(float(one))) for one in row]


def js_div(predictions: Array, labels: Array) -> Array:
    values = np.zeros(len(labels))
    for n, (row, label) in enumerate(zip(predictions, labels, strict=True)):
        p, q = _powers(row), [mpmath.mpf(float(one)) for one in label]
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        values[n] = (_kl(p, middle) + _kl(q, middle)) / 2
    return values


def distillation(predictions: Array, teacher: Array, temperature: float = 4.0) -> Array:
    values = np.zeros(len(predictions))
    for n, (student, taught) in enumerate(zip(predictions, teacher, strict=True)):
        p, q = (
            _softmax([mpmath.mpf(float(one)) / mpmath.mpf(temperature) for one in row])  # type: ignore[misc]
            for row in (taught, student)
        )
        values[n] = mpmath.mpf(temperature) ** 2 * _kl(p, q)
    return values


def generalized_jsd(predictions: Array, teacher: Array, beta: float = 0.5) -> Array:
    values = np.zeros(len(predictions))
    for n, (student, taught) in enumerate(zip(predictions, teacher, strict=True)):
        s, t = _powers(student), _powers(taught)
        if beta in (0, 1):
            values[n] = _kl(t, s) if beta == 0 else _kl(s, t)
            continue
        middle = [beta * b + (1 - mpmath.mpf(beta)) * a for a, b in zip(s, t, strict=True)]
        values[n] = beta * _kl(t, middle) + (1 - mpmath.mpf(beta)) * _kl(s, middle)
    return values


def _surprise(logit: float, answer: bool) -> float:
    return float(np.logaddexp(0, -logit if answer else logit))


def coral(predictions: Array, labels: Array) -> Array:
    rows = zip(predictions, labels, strict=True)
    return np.array([sum(_surprise(x, y > k) for k, x in enumerate(row)) for row, y in rows], dtype=np.float64)


def corn(predictions: Array, labels: Array) -> Array:
    rows = zip(predictions, labels, strict=True)
    return np.array([sum(_surprise(x, y > k) for k, x in enumerate(row[: y + 1])) for row, y in rows], dtype=np.float64)
