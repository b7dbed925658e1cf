"""One independent reference per loss: the unreduced values in float64, from numpy, scipy or mpmath, never from torch.

Each takes the arguments of the loss as numpy arrays and plain parameters, under the same names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.spatial import distance as distances

Array = NDArray[Any]

mpmath.mp.dps = 50


def mse(predictions: Array, labels: Array) -> Array:
    return np.square(predictions - labels)


def mae(predictions: Array, labels: Array) -> Array:
    return np.abs(predictions - labels)


def smooth_l1(predictions: Array, labels: Array, beta: float = 1.0) -> Array:
    difference = predictions - labels
    return special.huber(beta, difference) / beta if beta else np.abs(difference)


def huber(predictions: Array, labels: Array, delta: float = 1.0) -> Array:
    return special.huber(delta, predictions - labels)


def _classes_last(array: Array) -> Array:
    return np.moveaxis(array, min(1, array.ndim - 1), -1)


def _smoothed(labels: Array, classes: int, label_smoothing: float) -> Array:
    """Labels (..., classes last) as probabilities; every label must be a class."""
    target = np.eye(classes)[labels] if np.issubdtype(labels.dtype, np.integer) else _classes_last(labels)
    return (1 - label_smoothing) * target + label_smoothing / classes


def cross_entropy(
    predictions: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    logits = _classes_last(predictions)
    classes = logits.shape[-1]
    counted = np.ones(logits.shape[:-1], dtype=bool)
    if np.issubdtype(labels.dtype, np.integer):
        counted = labels != ignore_index
        labels = np.where(counted, labels, 0)
    surprise = special.logsumexp(logits, axis=-1, keepdims=True) - logits
    factors = np.ones(classes) if weight is None else weight
    values = np.sum(factors * _smoothed(labels, classes, label_smoothing) * surprise, axis=-1)
    return np.where(counted, values, 0.0)


def nll(predictions: Array, labels: Array, weight: Array | None = None, ignore_index: int = -100) -> Array:
    log_probabilities = _classes_last(predictions)
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label != ignore_index:
            values[place] = -log_probabilities[place][label] * (1.0 if weight is None else weight[label])
    return values


def linear_cross_entropy(
    features: Array, classifier: Array, labels: Array, bias: Array | None = None, **parameters: Any
) -> Array:
    logits = np.einsum("...d,cd->...c", features, classifier) + (0.0 if bias is None else bias)
    return cross_entropy(logits, labels, **parameters)


def binary_cross_entropy(predictions: Array, labels: Array, weight: Array | None = None) -> Array:
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(predictions), -100), np.maximum(np.log1p(-predictions), -100)
    return -(labels * yes + (1 - labels) * no) * (1.0 if weight is None else weight)


def binary_cross_entropy_with_logits(
    predictions: Array, labels: Array, weight: Array | None = None, pos_weight: Array | None = None
) -> Array:
    yes, no = np.logaddexp(0, -predictions), np.logaddexp(0, predictions)
    values = (1.0 if pos_weight is None else pos_weight) * labels * yes + (1 - labels) * no
    return values * (1.0 if weight is None else weight)


def _exactly(function: Callable[..., Any], *arrays: Array) -> Array:
    """`function` of the elements as numbers of 50 digits; the result is rounded once."""
    converted = np.frompyfunc(mpmath.mpf, 1, 1)
    result = np.frompyfunc(function, len(arrays), 1)(*(converted(array) for array in arrays))
    return np.asarray(result).astype(np.float64)


def focal(
    predictions: Array,
    labels: Array,
    gamma: float = 2.0,
    alpha: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    logits = _classes_last(predictions)
    classes = logits.shape[-1]
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] == ignore_index:
            continue
        powers = [mpmath.exp(float(logit)) for logit in logits[place]]
        total = mpmath.fsum(powers)
        target = _smoothed(labels[place], classes, label_smoothing)
        terms = [
            float(target[c])
            * (1.0 if alpha is None else float(alpha[c]))
            * (1 - powers[c] / total) ** gamma
            * -mpmath.log(powers[c] / total)
            for c in range(classes)
        ]
        values[place] = float(mpmath.fsum(terms))
    return values


def binary_focal(
    predictions: Array,
    labels: Array,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    pos_weight: Array | None = None,
) -> Array:
    def value(x: Any, y: Any, factor: Any) -> Any:
        p = 1 / (1 + mpmath.exp(-x))
        right = p * y + (1 - p) * (1 - y)
        balance = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
        surprise = factor * y * -mpmath.log(p) + (1 - y) * -mpmath.log(1 - p)
        return balance * (1 - right) ** gamma * surprise

    factors = np.ones_like(predictions) if pos_weight is None else np.broadcast_to(pos_weight, predictions.shape)
    return _exactly(value, predictions, labels, factors)


def multi_margin(
    predictions: Array, labels: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None
) -> Array:
    values = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        scores, right = predictions[place], labels[place]
        lacking = [max(0.0, margin - scores[right] + scores[c]) ** p for c in range(len(scores)) if c != right]
        values[place] = math.fsum(lacking) / len(scores) * (1.0 if weight is None else weight[right])
    return values


def multilabel_margin(predictions: Array, labels: Array) -> Array:
    values = np.zeros(predictions.shape[:-1])
    for place in np.ndindex(values.shape):
        scores = predictions[place]
        right = list(itertools.takewhile(lambda label: label >= 0, labels[place].tolist()))
        wrong = set(range(len(scores))) - set(right)
        values[place] = math.fsum(max(0.0, 1 - scores[r] + scores[w]) for r in right for w in wrong) / len(scores)
    return values


def multilabel_soft_margin(predictions: Array, labels: Array, weight: Array | None = None) -> Array:
    return np.mean(binary_cross_entropy_with_logits(predictions, labels, weight), axis=-1)


def soft_margin(predictions: Array, labels: Array) -> Array:
    return np.logaddexp(0, -labels * predictions)


def kl_div(predictions: Array, labels: Array, log_target: bool = False) -> Array:
    logarithms, probabilities = (labels, np.exp(labels)) if log_target else (None, labels)
    entropy = special.entr(probabilities) if logarithms is None else -probabilities * logarithms
    return -entropy - probabilities * predictions


def poisson_nll(
    predictions: Array, labels: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Array:
    log_rates = predictions if log_input else np.log(predictions + eps)
    values = (np.exp(predictions) if log_input else predictions) - labels * log_rates
    if full:
        large = np.maximum(labels, 1.0)
        stirling = large * np.log(large) - large + 0.5 * np.log(2 * np.pi * large)
        values = values + np.where(labels > 1, stirling, 0.0)
    return values


def gaussian_nll(predictions: Array, labels: Array, variance: Array, full: bool = False, eps: float = 1e-6) -> Array:
    if variance.ndim < predictions.ndim:
        variance = variance[..., np.newaxis]
    values = -stats.norm.logpdf(labels, loc=predictions, scale=np.sqrt(np.maximum(variance, eps)))
    return values if full else values - 0.5 * np.log(2 * np.pi)


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


def margin_ranking(input1: Array, input2: Array, labels: Array, margin: float = 0.0) -> Array:
    return np.maximum(0.0, labels * (input2 - input1) + margin)


def _rows(labels: Array, lengths: Array) -> Iterator[list[int]]:
    """The symbols of each sequence, whether they are padded or joined end to end."""
    start = 0
    for number, length in enumerate(lengths):
        row = labels[number] if labels.ndim == 2 else labels[start:]
        start += length
        yield row[:length].tolist()


def ctc(
    predictions: Array,
    labels: Array,
    prediction_lengths: Array,
    label_lengths: Array,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Array:
    """By definition: every path is merged and compared with the text. Feasible for a few frames and classes."""
    batch = predictions if predictions.ndim == 3 else predictions[:, np.newaxis]
    lengths = np.atleast_1d(prediction_lengths)
    values = []
    for number, text in enumerate(_rows(labels, np.atleast_1d(label_lengths))):
        frames = batch[: lengths[number], number]
        total = math.fsum(
            math.exp(math.fsum(frames[time, symbol] for time, symbol in enumerate(path)))
            for path in itertools.product(range(batch.shape[-1]), repeat=len(frames))
            if [symbol for symbol, _ in itertools.groupby(path) if symbol != blank] == text
        )
        impossible = 0.0 if zero_infinity else math.inf
        values.append(-math.log(total) if total else impossible)
    return np.array(values).reshape(prediction_lengths.shape)


REFERENCES: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        mse,
        mae,
        smooth_l1,
        huber,
        cross_entropy,
        nll,
        linear_cross_entropy,
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        focal,
        binary_focal,
        multi_margin,
        multilabel_margin,
        multilabel_soft_margin,
        soft_margin,
        kl_div,
        poisson_nll,
        gaussian_nll,
        hinge_embedding,
        cosine_embedding,
        triplet_margin,
        triplet_margin_with_distance,
        margin_ranking,
        ctc,
    )
}
