"""Limits the memory that the states of a plan take: tables of classes by classes, and histograms, can fill it."""

from __future__ import annotations

from lossmeter.errors import TooLarge
from lossmeter.evaluation.metrics import REPLICATE_BINS
from lossmeter.evaluation.plan import Plan

MAX_ELEMENTS = 1 << 27
"""Numbers in the states of one part of the data: a gibibyte."""


def check(plan: Plan, classes: int | None) -> None:
    """Adds up what the states of the metrics hold.

    Raises:
        TooLarge: if that is more than fits, with the metric that needs most of it.
    """
    if classes is None:
        return
    replicates, bins = plan.metrics.replicates, plan.metrics.curves.bins
    needed: dict[str, tuple[int, str]] = {}
    for choice in plan.metrics.choices:
        for key, item in zip(choice.keys, choice.metric.statistics, strict=True):
            drawn = replicates if item.replicated else 0
            size = item.size(classes, bins) + drawn * item.size(classes, min(bins, REPLICATE_BINS))
            needed[key] = (size, choice.metric.name)
    total = sum(size for size, _ in needed.values())
    if total > MAX_ELEMENTS:
        largest = max(needed.values())[1]
        raise TooLarge(
            f"{plan.task.name}: the statistics of {classes} classes with {replicates} replicates hold {total} numbers, most of "
            f"them for {largest}; expected at most {MAX_ELEMENTS}."
        )
