"""McNemar's test, where two runs still know each sample: which samples only the one, and only the other, has right."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmeter.metrics import Statistics, confidence
from lossmeter.metrics._draws import Hashes
from lossmeter.metrics._scores import Samples
from lossmeter.metrics._weighting import Booleans
from lossmeter.metrics.evaluation import Choice

SUMS = "the runs keep sums, not samples; with curves.bins 0 and a metric of scores, such as auroc, they keep them"


def mcnemar(choice: Choice, sides: tuple[Statistics, Statistics]) -> dict[str, Any]:
    """The test for accuracy, or why there is none; nothing for any other metric."""
    if choice.metric.name != "accuracy":
        return {"mcnemar": None, "mcnemar_unavailable": None}
    outcomes = []
    for side in sides:
        kept = next((state for state in side.states.values() if isinstance(state, Samples)), None)
        found = SUMS if kept is None else _right(kept, float(choice.arguments["threshold"]))
        if isinstance(found, str):
            return {"mcnemar": None, "mcnemar_unavailable": found}
        outcomes.append(found)
    (ids, first), (others, second) = outcomes
    if not np.array_equal(ids, others):
        return {"mcnemar": None, "mcnemar_unavailable": "the runs are not over the same samples"}
    only_baseline, only_candidate = confidence.discordant(first, second)
    tested = {
        "only_baseline_right": only_baseline,
        "only_candidate_right": only_candidate,
        "p_value": confidence.mcnemar(only_baseline, only_candidate),
    }
    return {"mcnemar": tested, "mcnemar_unavailable": None}


def _right(kept: Samples, threshold: float) -> tuple[Hashes, Booleans] | str:
    """The hash of each sample, in order, and whether it is decided rightly; or why that is not known."""
    ids = (kept.high.astype(np.uint64) << np.uint64(32)) | kept.low.astype(np.uint64)
    order = np.lexsort((kept.column, ids))
    rows = ids[order].reshape(-1, kept.classes) if len(ids) % kept.classes == 0 else ids[:0].reshape(0, 1)
    if len(np.unique(ids)) * kept.classes != len(ids) or (rows != rows[:, :1]).any():
        return "a sample id stands for several elements"
    if (kept.weight != 1).any():
        return "the samples have weights"
    x, y = (part[order].reshape(-1, kept.classes) for part in (kept.x, kept.y))
    if kept.classes == 1:
        return rows[:, 0], (x[:, 0] > threshold) == (y[:, 0] == 1)
    return rows[:, 0], x.argmax(axis=1) == y.argmax(axis=1)
