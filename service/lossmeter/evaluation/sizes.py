"""How large the states of an evaluation become: tables of classes by classes, and histograms, must not fill the memory."""

from __future__ import annotations

from lossmeter.errors import TooLarge
from lossmeter.evaluation.plan import Plan
from lossmeter.metrics.evaluation import REPLICATE_BINS

MAX_ELEMENTS = 1 << 27
"""Numbers in the states of one part of the data: a gibibyte."""


def check(plan: Plan, classes: int | None) -> None:
    """Adds up what the states of the metrics hold.

    Raises:
        TooLarge: if that is more than fits, with the metric that needs most of it.
    """
    if classes is None:
        return
    replicates, bins = plan.evaluation.replicates, plan.evaluation.curves.bins
    needed: dict[str, tuple[int, str]] = {}
    for choice in plan.evaluation.choices:
        for key, item in zip(choice.keys, choice.metric.statistics, strict=True):
            drawn = replicates if item.replicated else 0
            size = classes * (1 + drawn)
            if item.name == "confusions":
                size = classes * classes * (1 + drawn)
            elif item.name == "score_distribution":
                size = classes * (bins + drawn * min(bins, REPLICATE_BINS))
            needed[key] = (size, choice.metric.name)
    total = sum(size for size, _ in needed.values())
    if total > MAX_ELEMENTS:
        largest = max(needed.values())[1]
        raise TooLarge(
            f"{plan.task}: the statistics of {classes} classes with {replicates} replicates hold {total} numbers, most of "
            f"them for {largest}; expected at most {MAX_ELEMENTS}."
        )
