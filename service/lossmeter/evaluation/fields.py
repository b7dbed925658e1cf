"""Declares the fields of a plan as a client writes them, once, with their bounds and descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation.grammar import parse_criterion, parse_gate
from lossmeter.metrics.tasks import KINDS, TASKS
from lossmeter.validation import IgnoredIndex, Real

MAX_REPLICATES = 2000
MAX_HARDEST = 1000
MAX_CHOICES = 100
MIN_CONFIDENCE, MAX_CONFIDENCE = 0.000001, 0.999999
"""Beyond them no data say anything, and soon after no number says how much."""
MAX_NAME_LENGTH = 256
"""Characters of the name of a sample, a group, a column or a slice."""
MAX_CLASSES = 10_000_000
MAX_NAMES = 10_000
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


def _check_confidence(value: float) -> float:
    """Makes sure that intervals can be computed."""
    if value < MIN_CONFIDENCE:
        raise PydanticKnownError("greater_than_equal", {"ge": MIN_CONFIDENCE})
    if value > MAX_CONFIDENCE:
        raise PydanticKnownError("less_than_equal", {"le": MAX_CONFIDENCE})
    return value


def _check_name(value: str) -> str:
    if len(value) > MAX_NAME_LENGTH:
        raise PydanticKnownError("string_too_long", {"max_length": MAX_NAME_LENGTH})
    return value


Confidence = Annotated[float, Field(gt=0, lt=1), AfterValidator(_check_confidence)]
ColumnName = Annotated[str, AfterValidator(_check_name)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Choice(BaseModel):
    """What may be written as an object or as text."""

    model_config = ConfigDict(extra="allow", strict=True)

    _text: bool = PrivateAttr(False)

    @property
    def is_text(self) -> bool:
        """Tells whether it was written as text, so that no place inside of it can be named."""
        return self._text


class Written:
    """Tells pydantic to read a text as the fields that it stands for.

    Args:
        parse: reads the text; raises Invalid.
        example: a text.
    """

    def __init__(self, parse: Callable[[str], dict[str, Any]], example: str) -> None:
        self.parse = parse
        self.example = example

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "description": "An object, or text that says the same.",
            "oneOf": [handler(schema), {"type": "string", "examples": [self.example]}],
        }

    def _read(self, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, str):
            if not isinstance(value, Mapping | Choice):
                raise PydanticCustomError("expected", "an object, or text such as {example}", {"example": self.example})
            return handler(value)
        try:
            fields = self.parse(value)
        except Invalid as error:
            raise PydanticCustomError("written", "{problem}", {"problem": error.flaws[0].message}) from None
        choice = handler(fields)
        choice._text = True
        return choice


class LossChoice(Choice):
    """A loss with its parameters, under the names that `GET /v1/losses` gives them; weights of classes as arrays."""

    loss: str = Field(description="The name of the loss, or an alias.")
    weight_in_objective: Weight = Field(1.0, description="The factor of its mean in the objective.")


class MetricChoice(Choice):
    """A metric with its parameters, under the names that `GET /v1/metrics` gives them."""

    metric: str = Field(description="The name of the metric, or an alias.")


class GateFields(Choice):
    """A condition that must hold: a metric or a loss, with parameters if several have the name, and a threshold."""

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


WrittenLoss = Annotated[LossChoice, Written(partial(parse_criterion, "loss"), "focal(gamma=2)")]
WrittenMetric = Annotated[MetricChoice, Written(partial(parse_criterion, "metric"), "f1(average=macro)")]
WrittenGate = Annotated[GateFields, Written(parse_gate, "accuracy>=0.9")]


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
    class_names: list[str] = Field(
        LEFT_OUT,
        min_length=1,
        max_length=MAX_NAMES,
        description="What the classes are called, in the order of their indices, where labels are texts; left out, the sorted "
        "texts of the batch. Of two classes the second is the positive one. A run with such labels needs them.",
    )
    losses: list[WrittenLoss] = Field(
        LEFT_OUT,
        max_length=MAX_CHOICES,
        description="What is averaged; left out, the usual losses of the task.",
    )
    metrics: list[WrittenMetric] = Field(
        LEFT_OUT,
        max_length=MAX_CHOICES,
        description="What is measured besides; left out, the usual metrics of the task.",
    )
    gates: list[WrittenGate] = Field([], max_length=MAX_CHOICES, description="What must hold for the data to pass.")
    confidence: Confidence = Field(0.95, description="How probably an interval holds the true value.")
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
    precision: Literal["auto", "float32", "float64"] = Field(
        "auto", description="Arithmetic of the losses; `auto` is float64, that of the metrics."
    )


class SlicedFields(PlanFields):
    """A whole plan: with the names of the columns by which samples are sliced."""

    slices: list[ColumnName] = Field(
        [], max_length=MAX_CHOICES, description="Columns by whose values everything is repeated."
    )


def given(model: BaseModel) -> dict[str, Any]:
    """The fields that a client gave, and no others."""
    return model.model_dump(exclude_unset=True)


def outside_texts(error: Invalid, choices: Mapping[str, Sequence[Choice] | None]) -> Invalid:
    """Lets flaws point at a text as a whole, in which there are no places; `choices` by the name of their field."""
    texts = [
        pointer(field, place)
        for field, written in choices.items()
        for place, one in enumerate(written or ())
        if one.is_text
    ]

    def place(at: str) -> str:
        return next((text for text in texts if at.startswith(text + "/")), at)

    return Invalid(error.detail, [Flaw(place(one.pointer), one.message, one.index) for one in error.flaws])
