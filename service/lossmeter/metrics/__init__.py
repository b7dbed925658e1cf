"""Evaluation metrics as functions of small states that merge: a file per family, each metric one decorated function.

`tasks` declares the tasks and reads their batches; `states` are what statistics make of a batch; `confidence` says how sure
a figure is. `lossmeter.evaluation` puts them together.
"""

from lossmeter.metrics import (
    accuracy,
    agreement,
    areas,
    clustering,
    correlation,
    curves,
    decisions,
    deviances,
    probabilities,
    ranking,
    ranks,
    regression,
    segmentation,
)
from lossmeter.metrics._counts import ClassCounts, Contingency
from lossmeter.metrics._posterior import quotient_with_prior
from lossmeter.metrics.catalogue import METRICS, Example, Metric, Statistic, find_metric
from lossmeter.metrics.confidence import Difference, Interval, discordant, mcnemar, student, wilson
from lossmeter.metrics.curves import Curves
from lossmeter.metrics.states import Ratio
from lossmeter.metrics.tasks import TASKS, Task
from lossmeter.metrics.weighting import Weighting

__all__ = [
    "METRICS",
    "TASKS",
    "ClassCounts",
    "Contingency",
    "Curves",
    "Difference",
    "Example",
    "Interval",
    "Metric",
    "Ratio",
    "Statistic",
    "Task",
    "Weighting",
    "accuracy",
    "agreement",
    "areas",
    "clustering",
    "correlation",
    "curves",
    "decisions",
    "deviances",
    "discordant",
    "find_metric",
    "mcnemar",
    "probabilities",
    "quotient_with_prior",
    "ranking",
    "ranks",
    "regression",
    "segmentation",
    "student",
    "wilson",
]
