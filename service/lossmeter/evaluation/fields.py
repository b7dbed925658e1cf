"""Declares the fields of a plan as a client writes them, once, with their bounds and descriptions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from lossmeter.metrics.tasks import KINDS, TASKS
from lossmeter.validation import IgnoredIndex, Real

MAX_REPLICATES = 2000
MAX_HARDEST = 1000
MAX_CHOICES = 100
MAX_CLASSES = 10_000_000
LEFT_OUT: Any = None
"""The default of a field that has no value of its own for being left out, and so is of a plain type."""

VALUES: dict[str, Any] = {"type": "array", "items": {"type": ["string", "integer", "boolean"]}}
# Items of long lists are checked where they are used, which is faster and says more.
Names = Annotated[list[Any], WithJsonSchema({"type": "array", "items": {"type": ["string", "integer"]}})]
Values = Annotated[list[Any], WithJsonSchema(VALUES)]
SliceChoice = Annotated[
    Any,
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["column", "value"],
                    "additionalProperties": False,
                    "properties": {"column": {"type": "string"}, "value": VALUES["items"]},
                },
            ]
        }
    ),
]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LossChoice(BaseModel):
    """A loss with its parameters, under the names that `GET /v1/losses` gives them; weights of classes as arrays."""

    model_config = ConfigDict(extra="allow", strict=True)

    loss: str = Field(description="The name of the loss, or an alias.")
    weight_in_objective: Weight = Field(1.0, description="The factor of its mean in the objective.")


class MetricChoice(BaseModel):
    """A metric with its parameters, under the names that `GET /v1/metrics` gives them."""

    model_config = ConfigDict(extra="allow", strict=True)

    metric: str = Field(description="The name of the metric, or an alias.")


class GateFields(BaseModel):
    """A condition that must hold: a metric or a loss, with parameters if several have the name, and a threshold."""

    model_config = ConfigDict(extra="allow", strict=True)

    metric: str = Field(LEFT_OUT, description="A scalar metric; measured too if `metrics` does not name it.")
    loss: str = Field(LEFT_OUT, description="A loss; measured too if `losses` does not name it.")
    minimum: Real = Field(LEFT_OUT, description="Least value that passes.")
    maximum: Real = Field(LEFT_OUT, description="Largest value that passes.")
    baseline: Real = Field(LEFT_OUT, description="In place of the two: the figure of what this is compared with.")
    margin: Weight = Field(LEFT_OUT, description="How much worse than the baseline it may be; 0 if left out.")
    slice: SliceChoice = Field(
        LEFT_OUT, description="A column, in every slice of which it must hold; or one slice; left out, all samples."
    )
    at: Literal["value", "lower", "upper"] = Field(
        "value", description="What is compared: the value, or an end of its interval, to be sure of it."
    )


class ScoreKeepingFields(BaseModel):
    """The way in which the scores behind AUROC, average precision and the curves are kept."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bins: int = Field(0, ge=0, le=1_000_000, description="Bins of a histogram; 0 keeps every score, which is exact.")
    low: Real = Field(0.0, description="Least possible score.")
    high: Real = Field(1.0, description="Largest possible score.")


class PlanFields(BaseModel):
    """The plan of an evaluation: all that is measured."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: Literal.__getitem__(tuple(TASKS)) = Field(description="What kind of question the predictions answer.")  # type: ignore[valid-type]
    predictions_are: Literal.__getitem__(tuple(KINDS)) = Field(  # type: ignore[valid-type]
        description="What the predictions are; never guessed from the numbers."
    )
    classes: int = Field(
        LEFT_OUT,
        ge=1,
        le=MAX_CLASSES,
        description="Number of classes or labels; needed where predictions are classes, otherwise read off predictions.",
    )
    losses: list[LossChoice] = Field(
        LEFT_OUT,
        max_length=MAX_CHOICES,
        description="What is averaged; left out, the usual losses of the task.",
    )
    metrics: list[MetricChoice] = Field(
        LEFT_OUT,
        max_length=MAX_CHOICES,
        description="What is measured besides; left out, the usual metrics of the task.",
    )
    gates: list[GateFields] = Field([], max_length=MAX_CHOICES, description="What must hold for the data to pass.")
    confidence: float = Field(0.95, gt=0, lt=1, description="How probably an interval holds the true value.")
    replicates: int = Field(
        200, ge=0, le=MAX_REPLICATES, description="Of the bootstrap; 0 for no interval where only it knows one."
    )
    hardest: int = Field(0, ge=0, le=MAX_HARDEST, description="How many of the samples with the highest loss to name.")
    curves: ScoreKeepingFields = Field(
        default_factory=lambda: ScoreKeepingFields.model_validate({}), description="How scores are kept."
    )
    ignore_index: IgnoredIndex = Field(
        LEFT_OUT,
        description="A label that does not count, in losses and metrics alike.",
    )
    precision: Literal["float32", "float64"] = Field("float64", description="Arithmetic of the losses.")


class SlicedFields(PlanFields):
    """A whole plan: with the names of the columns by which samples are sliced."""

    slices: list[str] = Field([], max_length=MAX_CHOICES, description="Columns by whose values everything is repeated.")


def given(model: BaseModel) -> dict[str, Any]:
    """The fields that a client gave, and no others."""
    return model.model_dump(exclude_unset=True)
