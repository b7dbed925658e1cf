"""Entries of the catalogue of metrics, as they are served and printed."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

from lossmeter.api.models.entries import ParameterModel, described
from lossmeter.catalogue.translations import ENGLISH
from lossmeter.evaluation.metrics import usual
from lossmeter.metrics import TASKS, Example, Metric


class MetricExample(BaseModel):
    """A request to `POST /v1/evaluate` that works as it stands."""

    request: dict[str, Any]
    answer: dict[str, Any] = Field(description="What the figure of the metric in the answer holds, among others.")


class MetricEntry(BaseModel):
    """A metric of the catalogue."""

    name: str
    aliases: list[str]
    family: str
    tasks: list[str]
    usual_for: list[str] = Field(description="Tasks that it is measured for if nothing is asked for.")
    predictions_are: dict[str, list[str]] = Field(description="By task, what the predictions may be.")
    kind: Literal["scalar", "per_class", "matrix", "curve"] = Field(
        description="What its value is; an average of `none` leaves one value per class."
    )
    summary: str
    explanation: str
    formula: str = Field(description="LaTeX.")
    parameters: list[ParameterModel]
    returns: str
    use_when: str
    avoid_when: str
    source: str
    minimum: float | None = Field(description="Least possible value; null if there is none.")
    maximum: float | None = Field(description="Largest possible value; null if there is none.")
    higher_is_better: bool | None = Field(description="Null where neither is.")
    interval: Literal["mean", "proportion", "bootstrap", "none"] = Field(description="Where its interval comes from.")
    state: list[str] = Field(description="The statistics that it is a function of, which add up over batches.")
    grows: bool = Field(
        description="Whether that state is as large as the data, unless scores are kept in a histogram."
    )
    examples: list[MetricExample]


class MetricList(BaseModel):
    """The catalogue of metrics."""

    metrics: list[MetricEntry]


@cache
def metric_entry(metric: Metric, language: str = ENGLISH) -> MetricEntry:
    """Returns the entry of one metric, its texts in a language."""
    return MetricEntry(
        **described(metric, language),
        tasks=list(metric.tasks),
        usual_for=[
            task
            for task in metric.tasks
            if any({"metric": metric.name} in usual(task, kind) for kind in TASKS[task].measured)
        ],
        predictions_are={task: [kind for kind in TASKS[task].measured if metric.takes(kind)] for task in metric.tasks},
        kind=metric.kind,
        minimum=metric.minimum,
        maximum=metric.maximum,
        higher_is_better={"higher": True, "lower": False, "neither": None}[metric.better],
        interval=metric.uncertainty,
        state=[item.name for item in metric.statistics],
        grows=any("samples" in item.needs or "curves" in item.parameters for item in metric.statistics),
        examples=[_example(metric, example) for example in metric.examples],
    )


def _example(metric: Metric, example: Example) -> MetricExample:
    names = ("predictions_are", "predictions", "labels", "classes")
    batch = {"predictions_are": "values", **example.batch}
    parameters = {name: value for name, value in batch.items() if name not in names}
    data = {name: batch[name] for name in names if name in batch}
    request = {"task": example.task, **data, "losses": [], "metrics": [{"metric": metric.name, **parameters}]}
    return MetricExample(request=request, answer={"metric": metric.name, "value": example.value})
