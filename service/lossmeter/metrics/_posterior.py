"""Replicates of counts with a prior: half counts of right and of wrong decisions, weighing what a unit weighs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossmeter.metrics._counts import ClassCounts, Contingency
from lossmeter.metrics._prior import choices, half_counts, unit_weight
from lossmeter.metrics.states import Quotient
from lossmeter.metrics.weighting import Array, Integers

EXCLUSIVE = 1e-9
"""The share of decisions that must name one class for classes to exclude each other."""


FOUR = ("true_positive", "false_positive", "false_negative", "true_negative")


class HalfDecisions:
    """The half counts of classes that exclude each other, by replicate: two right decisions and two wrong ones."""

    def __init__(self, point: ClassCounts, drawn: ClassCounts, name: str) -> None:
        count = drawn.seen.shape[0]
        classes = np.flatnonzero(point.actual + point.predicted > 0)
        if len(classes) < 2:
            classes = np.arange(min(2, point.seen.shape[-1]))
        unit = float(unit_weight(point.seen, drawn.seen)[0])
        self.right: list[tuple[Integers, Array]] = []
        self.wrong: list[tuple[Integers, Integers, Array]] = []
        for number, cell in enumerate(_two(count, f"{name} right", len(classes))):
            self.right.append((classes[cell], unit * half_counts(count, f"{name} right {number}")))
        for number, cell in enumerate(_two(count, f"{name} wrong", len(classes) * (len(classes) - 1))):
            actual, other = np.divmod(cell, len(classes) - 1)
            predicted = other + (other >= actual)
            self.wrong.append(
                (classes[actual], classes[predicted], unit * half_counts(count, f"{name} wrong {number}"))
            )


def _two(count: int, name: str, among: int) -> tuple[Integers, Integers]:
    """Draws two different ones of so many cells in each replicate; the same one twice where there is no other."""
    first = choices(count, f"{name} first", among)
    second = (first + 1 + choices(count, f"{name} second", among - 1)) % max(among, 1)
    return first, second


def with_prior(point: ClassCounts, drawn: ClassCounts, name: str) -> ClassCounts:
    """Returns the replicates with half counts: of each label, or of classes that exclude each other."""
    tp, fp, fn, tn = (getattr(drawn, field).copy() for field in FOUR)
    labels = tp.shape[-1]
    if labels > 1 and _exclusive(point):
        halves, rows = HalfDecisions(point, drawn, name), np.arange(len(tp))
        each = np.arange(labels)
        for place, amount in halves.right:
            tp[rows, place] += amount
            tn += amount[:, None] * (each != place[:, None])
        for actual, predicted, amount in halves.wrong:
            fn[rows, actual] += amount
            fp[rows, predicted] += amount
            tn += amount[:, None] * ((each != actual[:, None]) & (each != predicted[:, None]))
    else:
        unit = unit_weight(point.seen, drawn.seen)
        for label in np.flatnonzero((point.actual + point.predicted > 0) | (labels == 1)).tolist():
            for cell, amounts in (("tp", tp), ("fp", fp), ("fn", fn), ("tn", tn)):
                amounts[:, label] += unit[label] * half_counts(len(tp), f"{name} {label} {cell}")
    return replace(drawn, **dict(zip(FOUR, (tp, fp, fn, tn), strict=True)))


def _exclusive(point: ClassCounts) -> bool:
    whole = point.seen[0]
    sums = (point.actual.sum(), point.predicted.sum())
    return bool((np.abs(point.seen - whole) <= EXCLUSIVE * whole).all()) and all(
        abs(one - whole) <= EXCLUSIVE * whole for one in sums
    )


def quotient_with_prior(point: Quotient, drawn: Quotient, name: str) -> Quotient:
    """Returns the replicates of a share with half a right and half a wrong decision."""
    unit = unit_weight(point.denominator, drawn.denominator)
    right, wrong = (unit * half_counts(len(drawn.denominator), f"{name} {side}") for side in ("right", "wrong"))
    return Quotient(drawn.numerator + right, drawn.denominator + right + wrong)


def table_with_prior(point: Contingency, drawn: Contingency, name: str) -> Contingency:
    """Returns the replicates with half counts of pairs: in the largest class of a cluster (right), and elsewhere (wrong)."""
    known = point.weight > 0
    clusters, rows = np.unique(point.cluster[known], return_inverse=True)
    labels, columns = np.unique(point.label[known], return_inverse=True)
    # The first of the largest of each cluster; the others are counted through, as there may be as many as samples squared.
    order = np.lexsort((columns, -point.weight[known], rows))
    largest = columns[order][np.searchsorted(rows[order], np.arange(len(clusters)))]
    width = len(labels)
    count = len(drawn.weight)
    unit = float(unit_weight(np.asarray(point.mass), drawn.mass))
    result = drawn
    for side, cells in (("right", len(clusters)), ("wrong", len(clusters) * (width - 1))):
        if not cells:
            continue
        for number, chosen in enumerate(_two(count, f"{name} {side}", cells)):
            row, column = (chosen, largest[chosen]) if side == "right" else np.divmod(chosen, width - 1)
            if side == "wrong":
                column = column + (column >= largest[row])
            # By cell: the pairs of a state are the same in all replicates.
            used, place = np.unique(row * width + column, return_inverse=True)
            weight = np.zeros((count, len(used)))
            weight[np.arange(count), place] = unit * half_counts(count, f"{name} {side} {number}")
            row, column = np.divmod(used, width)
            result = result.merge(Contingency(clusters[row], labels[column], weight))
    return result
