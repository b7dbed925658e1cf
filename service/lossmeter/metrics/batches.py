"""Checked batches of each shape of task, cut down to what counts: masked elements and those of weight zero are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from lossmeter.errors import Invalid
from lossmeter.metrics.draws import Draws, Hashes
from lossmeter.metrics.weighting import Array, Booleans, Integers, Weighting

Index = tuple[int, ...]
Rows = Integers | slice
"""Places among others, ascending; a slice, with both ends, where they follow each other."""
Chosen = Booleans | slice
"""Which ones are taken; a slice copies nothing."""


def select(rows: Rows, chosen: Chosen) -> Rows:
    """Returns the chosen ones of the rows."""
    if not isinstance(rows, slice):
        return np.asarray(rows[chosen], np.int64)
    if not isinstance(chosen, slice):
        return np.asarray(np.flatnonzero(chosen) + rows.start, np.int64)
    start, stop, _ = chosen.indices(rows.stop - rows.start)
    return slice(rows.start + start, rows.start + stop)


class Places(NamedTuple):
    """The places of the elements in the tensor that was sent, to name them in errors."""

    flat: Rows
    shape: Index

    def of(self, element: int) -> Index:
        place = self.flat.start + element if isinstance(self.flat, slice) else self.flat[element]
        return tuple(int(item) for item in np.unravel_index(int(place), self.shape))


@dataclass(frozen=True, eq=False)
class Batch:
    """Base of all batches. `samples` has one entry per unit, other arrays and lists one per element.

    Attributes:
        places: where each element stood.
        value: weight of each element, positive; shape (m,).
        unit: unit of each element, ascending without gaps; None if elements are units.
        samples: the place of each unit among the samples that were sent; n of them.
        identify: makes the hashes of the ids of the units, which are asked for where units are drawn; shape (n,).
    """

    places: Places
    value: Array
    unit: Integers | None
    samples: Rows
    identify: Callable[[], Hashes]

    @property
    def units(self) -> int:
        return self.samples.stop - self.samples.start if isinstance(self.samples, slice) else len(self.samples)

    @cached_property
    def hashes(self) -> Hashes:
        """Of the ids of the units; shape (n,)."""
        return self.identify()

    def weighting(self, draws: Draws | None = None) -> Weighting:
        return Weighting(self.value, self.unit, self.units, draws)

    def take(self, units: Booleans) -> Self:
        """Returns the batch of the chosen units alone; one boolean per unit."""
        elements = units if self.unit is None else units[self.unit]
        taken = self._cut(elements, units)
        return taken if self.unit is None else replace(taken, unit=(np.cumsum(units) - 1)[self.unit[elements]])

    def blocks(self, size: int) -> Iterator[Self]:
        """Cuts a batch whose elements are units into blocks of so many, without a copy."""
        for start in range(0, self.units, size):
            block = slice(start, start + size)
            yield self._cut(block, block)

    def _cut(self, elements: Chosen, units: Chosen) -> Self:
        changed: dict[str, Any] = {
            item.name: _picked(value, elements)
            for item in fields(self)
            if item.name not in {"samples", "places"}
            and isinstance(value := getattr(self, item.name), np.ndarray | list)
        }
        places = Places(select(self.places.flat, elements), self.places.shape)
        samples = select(self.samples, units)
        return replace(self, **changed, places=places, samples=samples, identify=lambda: self.hashes[units])

    def where(self, samples: Booleans) -> Self:
        """Returns the batch of the chosen samples alone, a slice; one boolean for each sample that was sent."""
        return self.take(np.asarray(samples, bool)[self.samples])

    def demand(self, valid: npt.NDArray[Any], subject: str, role: str, message: Callable[[int], str]) -> None:
        """Raises Invalid, naming the first element that is not valid."""
        if not valid.all():
            wrong = int(np.argmin(valid))
            raise Invalid.at(subject, f"/{role}", message(wrong), self.places.of(wrong))


def _picked(value: npt.NDArray[Any] | list[Any], elements: Chosen) -> npt.NDArray[Any] | list[Any]:
    if isinstance(value, np.ndarray) or isinstance(elements, slice):
        return value[elements]
    return list(compress(value, elements))


@dataclass(frozen=True, eq=False)
class Numbers(Batch):
    """Regression: predictions x and labels y, flattened, in float32 or float64 as they came; shape (m,)."""

    predictions: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    @cached_property
    def x(self) -> Array:
        """The predictions in float64."""
        return self.predictions.astype(np.float64, copy=False)

    @cached_property
    def y(self) -> Array:
        """The labels in float64."""
        return self.labels.astype(np.float64, copy=False)

    @cached_property
    def residual(self) -> Array:
        """The labels less the predictions."""
        return self.y - self.x

    @cached_property
    def squared(self) -> Array:
        """The squares of the residuals."""
        return self.residual * self.residual


@dataclass(frozen=True, eq=False)
class Labelled(Batch):
    """One class out of C for each element: binary (scores of class 1 only), multiclass, and pixels.

    Attributes:
        classes: C, at least 2.
        label: class indices; shape (m,).
        predictions_are: logits, probabilities, scores or classes.
        raw: what was predicted; class indices of shape (m,), numbers of shape (m,) if binary, otherwise (m, C).
        binary: only class 1 is of interest, and `raw` speaks of it alone.
        logarithms: of the probabilities, where these were sent; they tell apart what the probabilities no longer do.
    """

    classes: int
    binary: bool
    label: Integers
    predictions_are: str
    raw: npt.NDArray[Any]
    logarithms: Array | None = None

    def predicted(self, threshold: float = 0.5) -> Integers:
        """Returns the likeliest class (the first of equals), or 1 where the probability is above the threshold."""
        if self.predictions_are == "classes":
            return np.asarray(self.raw, np.int64)
        if self.binary:
            return above(self.raw, self.predictions_are, threshold).astype(np.int64)
        return self.likeliest

    @cached_property
    def likeliest(self) -> Integers:
        return np.asarray(np.argmax(self.likelihood, axis=1), np.int64)

    @property
    def likelihood(self) -> npt.NDArray[Any]:
        """The scores that order the classes of an element: as they were sent."""
        return self.raw if self.logarithms is None else self.logarithms

    @cached_property
    def probability(self) -> Array:
        """Probabilities of class 1 (m,), or of every class (m, C); scores as they are."""
        if self.predictions_are != "logits":
            return self.raw
        return sigmoid(self.raw) if self.binary else np.exp(log_softmax(self.raw))

    @cached_property
    def log_probability(self) -> Array:
        """Natural logarithm of the probability of the label; shape (m,). Probabilities are kept 2.2e-16 away from 0 and 1."""
        if self.binary:
            sign = 2 * self.label - 1
            if self.predictions_are == "logits":
                return log_sigmoid(sign * self.raw)
            return log_clipped(np.where(self.label == 1, self.raw, 1 - self.raw))
        if self.logarithms is not None:
            return np.take_along_axis(self.logarithms, self.label[:, None], axis=1)[:, 0]
        if self.predictions_are == "logits":
            return np.take_along_axis(log_softmax(self.raw), self.label[:, None], axis=1)[:, 0]
        return log_clipped(np.take_along_axis(self.raw, self.label[:, None], axis=1)[:, 0])

    @property
    def log_odds(self) -> Array | None:
        """Log-odds of class 1 (m,), or of every class (m, C); None where only probabilities or scores are known."""
        if self.predictions_are != "logits" and self.logarithms is None:
            return None
        return self.raw if self.binary else log_odds(self.likelihood)

    def one_against_rest(self) -> tuple[Array, Booleans, Integers, Batch]:
        """Takes every class as an element: returns its score, whether it is the label, the class, and their batch."""
        if self.binary:
            return self.probability, self.label == 1, np.zeros(len(self.label), np.int64), self
        c = self.classes
        unit = np.arange(self.units) if self.unit is None else self.unit
        column = np.tile(np.arange(c), len(self.label))
        batch = Batch(self.places, np.repeat(self.value, c), np.repeat(unit, c), self.samples, lambda: self.hashes)
        return self.probability.reshape(-1), np.repeat(self.label, c) == column, column, batch


@dataclass(frozen=True, eq=False)
class Labels(Batch):
    """Multilabel: for every sample (unit) L independent yes-or-no labels, flattened to elements.

    Attributes:
        labels: L.
        column: label number of each element; shape (m,).
        actual: whether the label holds; shape (m,).
        raw: logit, probability, score or decision; shape (m,).
    """

    labels: int
    predictions_are: str
    column: Integers
    actual: Booleans
    raw: npt.NDArray[Any]

    def decided(self, threshold: float = 0.5) -> Booleans:
        if self.predictions_are == "classes":
            return np.asarray(self.raw == 1)
        return above(self.raw, self.predictions_are, threshold)

    @cached_property
    def probability(self) -> Array:
        return sigmoid(self.raw) if self.predictions_are == "logits" else self.raw

    @cached_property
    def log_probability(self) -> Array:
        if self.predictions_are == "logits":
            return log_sigmoid(np.where(self.actual, self.raw, -self.raw))
        return log_clipped(np.where(self.actual, self.raw, 1 - self.raw))

    @property
    def log_odds(self) -> Array | None:
        return self.raw if self.predictions_are == "logits" else None

    def one_against_rest(self) -> tuple[Array, Booleans, Integers, Batch]:
        return self.probability, self.actual, self.column, self


@dataclass(frozen=True, eq=False)
class Queries(Batch):
    """Ranking: whole queries with D candidates each; an element is a query.

    Attributes:
        scores: larger ranks higher; shape (m, D).
        relevance: grades, not negative, 0 for irrelevant; shape (m, D).
        counted: which candidates are there; shape (m, D).
    """

    scores: Array
    relevance: Array
    counted: Booleans


@dataclass(frozen=True, eq=False)
class Groups(Batch):
    """Clustering: the cluster that each element was put in, and the class that it belongs to; shape (m,)."""

    cluster: Integers
    label: Integers


def sigmoid(z: Array) -> Array:
    """Computes 1 / (1 + exp(-z)), with an exponential that never overflows."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def log_sigmoid(z: Array) -> Array:
    """Computes the logarithm of the sigmoid, which stays finite."""
    # log(1 / (1 + exp(-z))), with an exponent that never overflows
    return np.minimum(z, 0.0) - np.log1p(np.exp(-np.abs(z)))


def log_softmax(z: Array) -> Array:
    """Computes the logarithm of the softmax of each row."""
    shifted = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def log_odds(z: Array) -> Array:
    """Computes the logit of the softmax of each row, with all digits where the softmax has long reached 0 or 1."""
    rows = np.arange(len(z))
    first = z.argmax(axis=1)
    shifted = z - z[rows, first][:, None]
    parts = np.exp(shifted)
    odds = shifted - np.log(np.maximum(parts.sum(axis=1, keepdims=True) - parts, np.finfo(np.float64).tiny))
    # Of the likeliest class the rest is what all others are, which the difference above would lose.
    rest = np.delete(shifted.reshape(-1), rows * z.shape[1] + first).reshape(len(z), z.shape[1] - 1)
    second = rest.max(axis=1, keepdims=True, initial=-np.inf)
    odds[rows, first] = -(second[:, 0] + np.log(np.exp(rest - second).sum(axis=1)))
    return np.asarray(odds)


def log_clipped(p: Array) -> Array:
    """Computes the logarithm of probabilities that are kept 2.2e-16 away from 0 and 1."""
    eps = np.finfo(np.float64).eps
    return np.asarray(np.log(np.clip(p, eps, 1 - eps)))


def above(raw: Array, predictions_are: str, threshold: float) -> Booleans:
    """Tells where the probability is above the threshold."""
    if predictions_are == "logits":
        # The logit of the threshold: comparing logits is exact where the sigmoid has long saturated.
        threshold = (
            float(np.log(threshold) - np.log1p(-threshold)) if 0 < threshold < 1 else np.inf * (2 * threshold - 1)
        )
    return np.asarray(raw > threshold)
