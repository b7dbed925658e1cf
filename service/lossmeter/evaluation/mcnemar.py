"""McNemar's test of two records that keep their samples: counts what only the one, and only the other, has right."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmeter.evaluation.metrics import ChosenMetric
from lossmeter.evaluation.statistics import Statistics
from lossmeter.metrics import confidence
from lossmeter.metrics.batches import above
from lossmeter.metrics.draws import Hashes
from lossmeter.metrics.scores import Samples
from lossmeter.metrics.weighting import Booleans

SUMS = "the runs keep sums, not samples; with curves.bins 0 and a metric of scores, such as auroc, they keep them"


def mcnemar(choice: ChosenMetric, sides: tuple[Statistics, Statistics]) -> dict[str, Any]:
    """Tests a metric that declares it, or says why it cannot; returns nothing for any other metric."""
    if not choice.metric.mcnemar:
        return {"mcnemar": None, "mcnemar_unavailable": None}
    outcomes = []
    for side in sides:
        kept = next((state for state in side.states.values() if isinstance(state, Samples)), None)
        outcome = SUMS if kept is None else _right(kept, float(choice.arguments["threshold"]))
        if isinstance(outcome, str):
            return {"mcnemar": None, "mcnemar_unavailable": outcome}
        outcomes.append(outcome)
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
    """Returns the hash of each sample, in order, and whether it is decided rightly; or why that is not known."""
    ids = kept.units
    order = np.lexsort((kept.column, ids))
    rows = ids[order].reshape(-1, kept.classes) if len(ids) % kept.classes == 0 else ids[:0].reshape(0, 1)
    if len(np.unique(ids)) * kept.classes != len(ids) or (rows != rows[:, :1]).any():
        return "a sample id stands for several elements"
    if (kept.weight != 1).any():
        return "the samples have weights"
    x, y = (part[order].reshape(-1, kept.classes) for part in (kept.x, kept.y))
    if kept.classes == 1:
        kind = "logits" if kept.logits else "probabilities"
        return rows[:, 0], above(x[:, 0], kind, threshold) == (y[:, 0] == 1)
    return rows[:, 0], x.argmax(axis=1) == y.argmax(axis=1)
