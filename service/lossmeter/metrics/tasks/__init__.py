"""The tasks. Each is declared once; what a plan accepts, what is usual, and how batches are read follows from it.

To add a task, write one file with

1. a subclass of `Batch` that holds what metrics need of a batch, one entry per element: arrays, or lists of texts or boxes;
2. a function that checks a `RawBatch` and makes that batch of it, raising `Invalid` with the place of what is wrong;
3. a `Task` with its name, the kinds of its predictions (a new one is a line of `KINDS`), that function, and what losses make
   of it, if any suit it;

and name the `Task` below. Its metrics name it in their `tasks`, and in `usual` where they belong to its usual set. Then
`make sync` brings it into the OpenAPI document and the pages.
"""

from __future__ import annotations

from collections.abc import Mapping

from lossmeter.metrics.tasks.classification import BINARY, MULTICLASS, SEGMENTATION
from lossmeter.metrics.tasks.clustering import CLUSTERING
from lossmeter.metrics.tasks.multilabel import MULTILABEL
from lossmeter.metrics.tasks.ranking import RANKING
from lossmeter.metrics.tasks.raw import RawBatch
from lossmeter.metrics.tasks.regression import REGRESSION
from lossmeter.metrics.tasks.task import KINDS, Kind, LossUse, Task

TASKS: Mapping[str, Task] = {
    task.name: task for task in (REGRESSION, BINARY, MULTICLASS, MULTILABEL, SEGMENTATION, RANKING, CLUSTERING)
}

__all__ = ["KINDS", "TASKS", "Kind", "LossUse", "RawBatch", "Task"]
