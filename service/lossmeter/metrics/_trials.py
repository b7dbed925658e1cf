"""Shares of decisions on one label as successes among trials, and what follows from their intervals for other metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossmeter.metrics._counts import ClassCounts
from lossmeter.metrics.weighting import Array, quotient


def trials_of(above: str, below: tuple[str, ...]) -> Callable[..., tuple[Array, Array, Array]]:
    """Successes, trials and Kish's effective trials (NaN where no squares are kept) of a share of one class."""

    def count(counts: ClassCounts, **_: object) -> tuple[Array, Array, Array]:
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        successes = getattr(counts, above)[..., 0]
        trials = sum((getattr(counts, name)[..., 0] for name in below), np.zeros(()))
        if not counts.squares.shape[-1]:
            return successes, trials, np.full(np.shape(trials), np.nan)
        squares = dict(zip(names, counts.squares[..., 0], strict=True))
        return successes, trials, quotient(trials**2, sum(squares[name] for name in below), 0.0)

    return count


OVERLAP = trials_of("true_positive", ("true_positive", "false_positive", "false_negative"))


def f_ends(low: float, high: float, *, beta: float = 1.0, **_: object) -> tuple[float, float]:
    """The ends of F-beta by those of the Jaccard index, of which F1 alone is a function.

    A wrong decision weighs 1 or β²: below, all are given the larger weight, and above the smaller.
    """

    def at(share: float, weight: float) -> float:
        right = (1 + beta**2) * share
        return right / (right + weight * (1 - share)) if share > 0 else 0.0

    return at(low, max(1.0, beta**2)), at(high, min(1.0, beta**2))


def same_ends(low: float, high: float, **_: object) -> tuple[float, float]:
    """Returns the ends of what is that share itself."""
    return low, high
