"""Evaluation metrics as functions of small states that merge: a file per family, each metric one decorated function.

An `Evaluation` names a task and its metrics; `batch` checks the tensors of a request; `Evaluation.measure` turns a batch into
`Statistics`, which merge in any order and travel as JSON; `Evaluation.report` turns them into results with intervals, and
`Evaluation.compare` compares two of them in pairs.
"""

from lossmeter.metrics import (
    accuracy,
    agreement,
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
from lossmeter.metrics._catalogue import METRICS, TASKS, Example, Metric, find_metric
from lossmeter.metrics._states import Ratio
from lossmeter.metrics._weighting import Weighting
from lossmeter.metrics.confidence import Difference, Interval, discordant, mcnemar, paired_t, student, wilson
from lossmeter.metrics.curves import Curves
from lossmeter.metrics.evaluation import Comparison, Evaluation, Measurement, Statistics, merge_all, usual
from lossmeter.metrics.tasks import PREDICTIONS_ARE, batch

__all__ = [
    "METRICS",
    "PREDICTIONS_ARE",
    "TASKS",
    "Comparison",
    "Curves",
    "Difference",
    "Evaluation",
    "Example",
    "Interval",
    "Measurement",
    "Metric",
    "Ratio",
    "Statistics",
    "Weighting",
    "accuracy",
    "agreement",
    "batch",
    "clustering",
    "correlation",
    "curves",
    "decisions",
    "deviances",
    "discordant",
    "find_metric",
    "mcnemar",
    "merge_all",
    "paired_t",
    "probabilities",
    "ranking",
    "ranks",
    "regression",
    "segmentation",
    "student",
    "usual",
    "wilson",
]
