"""States that count: how much weight fell where. Unweighted they are whole numbers, and merge exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lossmeter.metrics.states import Reader, State, merged_by, total
from lossmeter.metrics.weighting import Array, Booleans, Integers, Weighting, quotient

# Below this share of the total, a difference of sums of weights is rounding and stands for zero.
ROUNDING = 1e-12
PAIRED_CLASSES = 16
"""Up to so many classes the pairs of them are counted, so that no count is a difference."""


@dataclass(frozen=True, eq=False)
class ClassCounts(State, kind="class_counts"):
    """Right and wrong decisions for each of C classes or labels, each seen as "this one or not".

    Attributes:
        true_positive: weight that has the class and was given it; shape (C,).
        false_positive: weight that was given the class and does not have it; shape (C,).
        false_negative: weight that has the class and was not given it; shape (C,).
        true_negative: weight that neither has the class nor was given it; shape (C,). Before version 2 the weight of
            everything was kept in its place, and so it was a difference, in which digits cancel.
        squares: sums of squared weights of the same four, shape (4, C); empty where no interval is made of
            them: in replicates, for classes that exclude each other, and where a unit has several elements.
    """

    version: ClassVar[int] = 2
    true_positive: Array = total()
    false_positive: Array = total()
    false_negative: Array = total()
    true_negative: Array = total()
    squares: Array = total()

    @classmethod
    def of_classes(cls, predicted: Integers, label: Integers, classes: int, w: Weighting) -> ClassCounts:
        """Counts classes that exclude each other: indices of shape (m,)."""
        none = np.zeros((*w.lead, 4, 0))
        if classes <= PAIRED_CLASSES:
            pairs = w.tally(label * classes + predicted, classes * classes)
            actual, given = (
                place[:, None] == np.arange(classes) for place in np.divmod(np.arange(classes**2), classes)
            )
            cells = (actual & given, ~actual & given, actual & ~given, ~actual & ~given)
            tp, fp, fn, tn = (pairs @ cell.astype(np.float64) for cell in cells)
            return cls(tp, fp, fn, tn, none)
        right = predicted == label
        counts = w.tally(label, classes, right), w.tally(predicted, classes, ~right), w.tally(label, classes, ~right)
        return cls(*counts, _rest(w.total()[..., None], *counts), none)

    @classmethod
    def of_labels(
        cls, predicted: Booleans, actual: Booleans, column: Integers, labels: int, w: Weighting
    ) -> ClassCounts:
        """Counts independent labels: decisions of shape (m,), each on the label number `column`."""
        outcome = np.where(predicted, np.where(actual, 0, 1), np.where(actual, 2, 3))

        def four(power: int) -> Array:
            counts = w.tally(column * 4 + outcome, 4 * labels, power=power).reshape(*w.lead, labels, 4)
            return np.ascontiguousarray(np.moveaxis(counts, -1, -2))

        counts = four(1)
        squares = four(2) if w.draws is None and w.unit is None else np.zeros((*w.lead, 4, 0))
        return cls(counts[..., 0, :], counts[..., 1, :], counts[..., 2, :], counts[..., 3, :], squares)

    @classmethod
    def _read(cls, record: Mapping[str, Any], read: Reader) -> dict[str, Any]:
        if record["version"] > 1:
            return super()._read(record, read)
        tp, fp, fn, seen, squares = (
            read(record[name]) for name in ("true_positive", "false_positive", "false_negative", "seen", "squares")
        )
        last = np.maximum(squares[..., 3:, :] - squares[..., :3, :].sum(axis=-2, keepdims=True), 0.0)
        squares = np.concatenate([squares[..., :3, :], last], axis=-2)
        return dict(zip(cls.arrays(), (tp, fp, fn, _rest(seen, tp, fp, fn), squares), strict=True))

    @property
    def mass(self) -> Array:
        return self.seen[..., 0]

    @property
    def seen(self) -> Array:
        """Weight of everything decided on, by class."""
        return self.true_positive + self.true_negative + (self.false_positive + self.false_negative)

    @property
    def actual(self) -> Array:
        return self.true_positive + self.false_negative

    @property
    def predicted(self) -> Array:
        return self.true_positive + self.false_positive

    def both(self) -> ClassCounts:
        """Returns the counts of both classes, no and yes, where they are of a single label."""

        def pair(no: Array, yes: Array) -> Array:
            return np.concatenate([no, yes], axis=-1)

        return ClassCounts(
            pair(self.true_negative, self.true_positive),
            pair(self.false_negative, self.false_positive),
            pair(self.false_positive, self.false_negative),
            pair(self.true_positive, self.true_negative),
            np.zeros((*self.true_positive.shape[:-1], 4, 0)),
        )

    def exclusive(self) -> tuple[Array, Array, Array, Array]:
        """Weight in agreement, per class actual and predicted, and in all; a single label counts as two classes."""
        actual, predicted, agreed = self.actual, self.predicted, self.true_positive
        if agreed.shape[-1] == 1:
            negative = self.true_negative
            actual = np.concatenate([negative + self.false_positive, actual], axis=-1)
            predicted = np.concatenate([negative + self.false_negative, predicted], axis=-1)
            agreed = np.concatenate([negative, agreed], axis=-1)
        return agreed.sum(axis=-1), actual, predicted, actual.sum(axis=-1)


def _rest(seen: Array, *parts: Array) -> Array:
    rest = seen - sum(parts)
    return np.where(rest > ROUNDING * seen, rest, 0.0)


@dataclass(frozen=True, eq=False)
class Confusion(State, kind="confusion"):
    """Weight by actual class (rows) and predicted class (columns); shape (C, C)."""

    weight: Array = total()

    @classmethod
    def of(cls, predicted: Integers, label: Integers, classes: int, w: Weighting) -> Confusion:
        flat = w.tally(label * classes + predicted, classes * classes)
        return cls(flat.reshape(*w.lead, classes, classes))


@dataclass(frozen=True, eq=False)
class CalibrationBins(State, kind="calibration_bins"):
    """Predicted and observed frequency by bin of the prediction; bin j holds (j / bins, (j + 1) / bins], the first also 0.

    Attributes:
        bins: number of bins.
        weight: weight in each bin; shape (bins,).
        confidence: weighted sum of the predicted probabilities; shape (bins,).
        correct: weight for which the predicted thing happened; shape (bins,).
    """

    bins: int
    weight: Array = total()
    confidence: Array = total()
    correct: Array = total()

    @classmethod
    def of(cls, probability: Array, happened: Booleans, bins: int, w: Weighting) -> CalibrationBins:
        edges = np.linspace(0.0, 1.0, bins + 1)
        place = np.searchsorted(edges[1:-1], probability, side="left")
        scaled = Weighting(w.value * probability, w.unit, w.units, w.draws)
        outcomes = w.tally(2 * place + happened, 2 * bins).reshape(*w.lead, bins, 2)
        return cls(bins, outcomes.sum(axis=-1), scaled.tally(place, bins), outcomes[..., 1])

    def gaps(self) -> tuple[Array, Array]:
        """Returns per bin the share of the weight, and the distance of confidence from frequency (0 where empty)."""
        share = quotient(self.weight, self.weight.sum(axis=-1, keepdims=True))
        gap = np.abs(quotient(self.confidence, self.weight, 0.0) - quotient(self.correct, self.weight, 0.0))
        return share, gap


@dataclass(frozen=True, eq=False)
class Contingency(State, kind="contingency"):
    """Weight by pair of cluster and class, for the pairs that occur.

    Attributes:
        cluster, label: whole numbers that name the pair, sorted by cluster and then label; shape (pairs,).
        weight: weight of each pair; shape (pairs,), the only field with a leading axis in replicates.
    """

    cluster: Array = merged_by("union")
    label: Array = merged_by("union")
    weight: Array = merged_by("sum by pair")

    @classmethod
    def of(cls, cluster: Integers, label: Integers, w: Weighting) -> Contingency:
        pairs, place = _unique(np.stack([cluster, label], axis=1).astype(np.float64))
        return cls(pairs[:, 0], pairs[:, 1], w.tally(place, len(pairs)))

    def _fits(self, name: str, mine: Array, theirs: Array) -> bool:
        return name != "weight" or mine.shape[:-1] == theirs.shape[:-1]

    @property
    def mass(self) -> Array:
        return np.asarray(self.weight.sum(axis=-1))

    def _merged(self, other: Self) -> dict[str, Any]:
        both = np.concatenate([np.stack([part.cluster, part.label], axis=1) for part in (self, other)])
        pairs, place = _unique(both)
        weight = np.zeros((*self.weight.shape[:-1], len(pairs)))
        count = len(self.cluster)
        weight[..., place[:count]] += self.weight
        weight[..., place[count:]] += other.weight
        return {"cluster": pairs[:, 0], "label": pairs[:, 1], "weight": weight}

    def margins(self) -> tuple[Array, Array, Array]:
        """Weight per cluster, per class, and the product of the two for each pair."""
        _, rows = np.unique(self.cluster, return_inverse=True)
        _, columns = np.unique(self.label, return_inverse=True)
        by_cluster, by_class = _summed(self.weight, rows), _summed(self.weight, columns)
        return by_cluster, by_class, by_cluster[..., rows] * by_class[..., columns]


def _unique(pairs: Array) -> tuple[Array, npt.NDArray[Any]]:
    distinct, place = np.unique(pairs, axis=0, return_inverse=True)
    return distinct, place.reshape(-1)


def _summed(weight: Array, place: npt.NDArray[Any]) -> Array:
    out = np.zeros((*weight.shape[:-1], int(place.max(initial=-1)) + 1))
    np.add.at(out, (..., place), weight)  # type: ignore[arg-type]
    return out
