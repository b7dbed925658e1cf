"""The request and the answer of an evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from lossmeter.api.models.schemas import LabelsField, ResultWarning, TensorField, count_elements, mask_of
from lossmeter.evaluation import Plan, PlanFields
from lossmeter.evaluation.fields import LEFT_OUT, Names, Values
from lossmeter.validation import validate

Model = TypeVar("Model", bound=BaseModel)
TENSORS = frozenset({"predictions", "labels", "sample_weight", "mask"})
TEXTS = frozenset({"predictions", "labels"})
DATA = ("predictions", "labels", "sample_weight", "mask", "sample_ids", "groups", "slices")
REQUESTED = "The name under which it was asked for."
ERROR_BOUND = "How far the value may be from the exact one; 0 if it is exact."
PER_SAMPLE = "of shape (N,) or the shape of labels"


class DataFields(BaseModel):
    """A batch of samples."""

    predictions: LabelsField = Field(
        description="(N, …); (N, C, …) for scores of classes; (Q, D) for ranked queries; classes also by their names."
    )
    labels: LabelsField = Field(
        description="Values, class indices or names, decisions 0 or 1, or relevance: one for each prediction."
    )
    sample_weight: TensorField = Field(LEFT_OUT, description=f"How much each counts: not negative, {PER_SAMPLE}.")
    mask: TensorField = Field(LEFT_OUT, description=f"What counts (true) and what does not: {PER_SAMPLE}.")
    sample_ids: Names = Field(
        LEFT_OUT, description="One for each sample: names the hardest, and lets two evaluations be compared in pairs."
    )
    groups: Names = Field(
        LEFT_OUT, description="One for each sample: those of a group (all of one patient, say) are drawn together."
    )


class EvaluateRequest(PlanFields, DataFields, arbitrary_types_allowed=True):
    """A batch, and all that is wanted of it."""

    slices: dict[str, Values] = Field(
        {}, description="Named columns, one value for each sample: everything is repeated for every value of each."
    )
    gradients: list[Literal["predictions"]] = Field([], description="What to differentiate the objective by.")
    tensor_encoding: Literal["data", "base64"] = Field(
        "data", description="How the tensors of a JSON answer are written."
    )


def parse_evaluation(given: dict[str, Any], max_elements: int) -> tuple[Plan, dict[str, Any], list[str], bool, int]:
    """Returns plan and data that the fields describe, wanted gradients, whether in base64, and the number of elements.

    Raises:
        Invalid: with all that is wrong with the fields.
        TooLarge: if the tensors have too many elements.
    """
    request = validate_given(EvaluateRequest, "evaluate", given)
    data, size = batch_data("evaluate", request, max_elements)
    wanted: list[str] = list(dict.fromkeys(request.gradients))
    return Plan.of(request, tuple(request.slices)), data, wanted, request.tensor_encoding == "base64", size


def validate_given(model: type[Model], subject: str, given: dict[str, Any]) -> Model:
    """Returns the fields of a request as a model; one that is null counts as one that is not given.

    Raises:
        Invalid: with all that is wrong with them.
    """
    return validate(model, subject, {name: value for name, value in given.items() if value is not None})


def batch_data(subject: str, batch: DataFields, max_elements: int) -> tuple[dict[str, Any], int]:
    """Returns the data of a batch, and how many elements its tensors have.

    Raises:
        Invalid: if a tensor has too many dimensions.
        TooLarge: if the tensors have too many elements.
    """
    data = {name: getattr(batch, name) for name in DATA}
    if data["mask"] is not None:
        data["mask"] = mask_of(subject, data["mask"])
    tensors = {name: value for name, value in data.items() if name in TENSORS and value is not None}
    return data, count_elements(subject, tensors, max_elements)


class IntervalModel(BaseModel):
    """The interval in which a figure lies."""

    low: float | None
    high: float | None
    standard_error: float | None
    level: float = Field(description="How probably the interval holds the true value.")
    method: Literal["student", "wilson", "bootstrap", "newcombe"]


class LossFigure(BaseModel):
    """A loss over all samples that count."""

    loss: str = Field(description="The proper name of the loss.")
    requested: str = Field(description=REQUESTED)
    parameters: dict[str, Any]
    weight_in_objective: float
    value: float | None = Field(description="The mean, sum / normalizer; null where nothing counts.")
    sum: float | None
    normalizer: float
    count: int = Field(description="How many elements count.")
    standard_error: float | None = Field(description="Of the value; null below two samples.")
    interval: IntervalModel | None


class ObjectiveFigure(BaseModel):
    """The sum of `weight_in_objective` times the value of every loss."""

    value: float | None = Field(description="Null where no loss is in the objective, or one of them is not defined.")
    interval: IntervalModel | None


class ObjectiveAnswer(ObjectiveFigure):
    """The objective and its gradients."""

    gradients: dict[str, TensorField] = Field(description="Of the objective; by role, in the role's shape.")


Number = float | None


class FigureFields(BaseModel):
    """A metric over all samples that count."""

    metric: str = Field(description="The proper name of the metric.")
    requested: str = Field(description=REQUESTED)
    parameters: dict[str, Any] = Field(description="All of them, with their values.")
    interval: IntervalModel | None = Field(description="Of a scalar, where one is known.")


class ScalarFigure(FigureFields):
    """A metric that is one number."""

    kind: Literal["scalar"]
    value: Number = Field(description="Null where it is not defined.")
    error_bound: Number = Field(description=ERROR_BOUND)


class PerClassFigure(FigureFields):
    """A metric with one number for each class."""

    kind: Literal["per_class"]
    value: list[Number] = Field(description="In the order of the classes; null where it is not defined.")
    error_bound: list[Number] = Field(description=ERROR_BOUND)


class MatrixFigure(FigureFields):
    """A metric that is a matrix."""

    kind: Literal["matrix"]
    value: list[list[Number]] = Field(description="Row by row.")
    error_bound: Number = Field(description=ERROR_BOUND)


class CurveFigure(FigureFields):
    """A metric that is one curve, or several."""

    kind: Literal["curve"]
    value: list[dict[str, list[Number]]] = Field(description="For each curve its columns, by name.")
    error_bound: Number = Field(description=ERROR_BOUND)


MetricFigure = TypeAliasType(
    "MetricFigure",
    Annotated[ScalarFigure | PerClassFigure | MatrixFigure | CurveFigure, Field(discriminator="kind")],
)


class SliceFigures(BaseModel):
    """The figures of the samples that have one value in one column."""

    column: str
    value: str | int | bool
    samples: int
    losses: list[LossFigure]
    objective: ObjectiveFigure
    metrics: list[MetricFigure]


class HardSample(BaseModel):
    """One of the samples with the highest loss."""

    sample_id: str | int | None = Field(description="Its id; null if it has none.")
    batch_id: str | None = Field(description="Of a sample without an id, the batch that it came in.")
    position: int | None = Field(description="Of a sample without an id, its place in that batch, from 0.")
    loss: float | None = Field(description="What it adds to the objective, as if it were the only sample.")


class Place(BaseModel):
    """A slice."""

    column: str
    value: str | int | bool


class FailedSlice(Place):
    """A slice in which a gate does not hold."""

    observed: float | None


class Verdict(BaseModel):
    """A gate, and whether it holds."""

    gate: dict[str, Any] = Field(description="The gate, as it was written.")
    passed: bool = Field(description="Whether it holds everywhere; what is not defined does not pass.")
    observed: float | None = Field(description="The figure where it came nearest to failing, or failed most.")
    threshold: float = Field(description="What it was compared with.")
    where: Place | None = Field(description="The slice in which that was observed; null for all samples.")
    failed_slices: list[FailedSlice]


class Report(BaseModel):
    """Everything that follows from the samples so far."""

    samples: int = Field(description="How many samples count.")
    class_names: list[str] | None = Field(
        description="The names of the classes, in the order of their indices; null where they have none."
    )
    losses: list[LossFigure]
    objective: ObjectiveFigure
    metrics: list[MetricFigure]
    slices: list[SliceFigures]
    hardest: list[HardSample]
    gates: list[Verdict]
    passed: bool = Field(description="Whether all gates passed.")
    warnings: list[ResultWarning] = Field(description="Figures that are not finite, which are null in JSON.")


class EvaluateAnswer(Report):
    """The report on one batch."""

    objective: ObjectiveAnswer


EXAMPLES: dict[str, dict[str, Any]] = {
    "multiclass": {
        "task": "multiclass",
        "predictions_are": "logits",
        "predictions": [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]],
        "labels": [0, 1, 2, 1],
        "losses": [{"loss": "cross_entropy"}, {"loss": "focal", "gamma": 2.0, "weight_in_objective": 0.5}],
        "metrics": [{"metric": "accuracy"}, {"metric": "f1", "average": "macro"}],
        "gradients": ["predictions"],
        "slices": {"country": ["de", "fr", "de", "fr"]},
        "sample_ids": ["a", "b", "c", "d"],
        "hardest": 2,
        "gates": [
            {"metric": "accuracy", "minimum": 0.7},
            {"loss": "cross_entropy", "maximum": 0.4, "slice": "country"},
        ],
    },
    "regression": {
        "task": "regression",
        "predictions_are": "values",
        "predictions": [2.5, 0.0, 2.0, 8.0],
        "labels": [3.0, -0.5, 2.0, 7.0],
    },
    "binary": {
        "task": "binary",
        "predictions_are": "probabilities",
        "predictions": [0.9, 0.2, 0.6, 0.3],
        "labels": [1, 0, 0, 1],
        "sample_weight": [1.0, 1.0, 0.5, 2.0],
        "gates": [{"metric": "recall", "minimum": 0.3, "at": "value"}],
    },
}
