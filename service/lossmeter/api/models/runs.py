"""The requests and answers of runs and of their comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from lossmeter.api.models.evaluation import (
    REQUESTED,
    DataFields,
    IntervalModel,
    Place,
    Report,
    batch_data,
    validate_given,
)
from lossmeter.api.models.schemas import ResultWarning
from lossmeter.errors import Flaw, Invalid, NotFound, pointer
from lossmeter.evaluation import SlicedFields
from lossmeter.evaluation.fields import LEFT_OUT, Choice, Confidence, Values, Written
from lossmeter.evaluation.grammar import parse_margin
from lossmeter.losses.vocabulary import Real
from lossmeter.runs import MAX_TAGS, RunEdit, StoredRun, tag_of
from lossmeter.validation import shown, validate

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HISTOGRAM_BINS = 1000
"""Of the scores of a run, where they are probabilities and nothing else is said: its states then stay of one size."""

Text = Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]
TAG: TypeAdapter[str] = TypeAdapter(Tag)


class RunRequest(SlicedFields):
    """The plan of a run, and how it is found again."""

    name: Text = Field("", description="For people.")
    tags: list[Tag] = Field([], max_length=MAX_TAGS, description="By which runs are found.")


class RunPatch(BaseModel):
    """What changes of a run (RFC 7396)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = Field(None, description="The new one; null for none.")
    tags: dict[str, str | None] | None = None


class RetaggedRun(RunPatch):
    """What changes of a run, with all its tags."""

    tags: list[Tag] | None = Field(None, max_length=MAX_TAGS)  # type: ignore[assignment]


class BatchRequest(DataFields):
    """A batch of a run."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    slices: dict[str, Values] = Field({}, description="By column of the run, one value for each sample.")


class MarginFields(Choice):
    """Not worse than the baseline by more than a margin. Further fields are parameters, if there are several of that name."""

    metric: str = Field(LEFT_OUT, description="A scalar metric that both runs measure.")
    loss: str = Field(LEFT_OUT, description="A loss that both runs measure.")
    margin: Annotated[Real, Field(ge=0)] = Field(description="In the unit of the figure; 0 for not worse at all.")
    slice: str = Field(LEFT_OUT, description="A column, in every slice of which it must hold; left out, all samples.")


WrittenMargin = Annotated[MarginFields, Written(parse_margin, "accuracy>=-0.005")]


class ComparisonRequest(BaseModel):
    """Two runs over the same samples."""

    model_config = ConfigDict(extra="forbid", strict=True)

    baseline: str = Field(description="Id of the run to compare with.")
    candidate: str = Field(description="Id of the run in question.")
    gates: list[WrittenMargin] = Field([], max_length=100, description="What must hold for the candidate to pass.")
    confidence: Confidence = Field(0.95, description="How probably an interval holds the true difference.")


def check_run_id(run_id: str) -> str:
    """Returns the id, if it can be one.

    Raises:
        NotFound: it cannot.
    """
    if not RUN_ID.fullmatch(run_id):
        raise NotFound(f"{run_id!r} is not a run.")
    return run_id


def parse_plan(given: dict[str, Any]) -> RunRequest:
    """Returns what a client wants of a run."""
    scored = given.get("predictions_are") in ("logits", "probabilities", "log_probabilities")
    if scored and given.get("curves") is None:
        given = {**given, "curves": {"bins": HISTOGRAM_BINS}}
    return validate_given(RunRequest, "runs", given)


def parse_edit(run_id: str, given: dict[str, Any]) -> RunEdit:
    """Returns what a client wants to change of a run.

    Raises:
        Invalid: with all that is wrong with the fields.
    """
    subject = f"run {run_id}"
    patch = validate(RetaggedRun if type(given.get("tags")) is list else RunPatch, subject, given)
    if isinstance(patch.tags, dict) and (flaws := [*_bad_tags(patch.tags)]):
        raise Invalid.of(subject, flaws)
    # What is null is removed; what is left out stays.
    name = patch.name or "" if "name" in given else None
    tags = () if patch.tags is None and "tags" in given else patch.tags
    return RunEdit(name, tags)


def _bad_tags(tags: Mapping[str, str | None]) -> Iterator[Flaw]:
    """Yields what is wrong with tags by their keys."""
    for key, value in tags.items():
        if value is None:
            continue
        try:
            TAG.validate_python(tag_of(key, value))
        except ValidationError:
            tag = shown(tag_of(key, value))
            message = f"the tag {tag} does not suit; expected 1 to 200 characters, none of them a control character"
            yield Flaw(pointer("tags", key), message)


def parse_batch(run_id: str, given: dict[str, Any], max_elements: int) -> tuple[dict[str, Any], int]:
    """Returns the data of a batch, and how many elements its tensors have.

    Raises:
        Invalid: with all that is wrong with the fields.
        TooLarge: if the tensors have too many elements.
    """
    subject = f"run {run_id}"
    return batch_data(subject, validate_given(BatchRequest, subject, given), max_elements)


class RunModel(BaseModel):
    """A run."""

    id: str
    name: str
    tags: list[str]
    plan: dict[str, Any] = Field(description="What is measured: all fields with their values.")
    classes: int | None = Field(description="Number of classes or labels; null where there are none, or no batch yet.")
    created: AwareDatetime
    closed: AwareDatetime | None = Field(description="Null while it takes batches.")
    batches: int = Field(description="How many were acknowledged.")
    samples: int = Field(description="How many samples count.")


class RunList(BaseModel):
    """Runs, newest first."""

    runs: list[RunModel]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class BatchAnswer(BaseModel):
    """A batch that will not be lost."""

    run: str
    batch: str
    added: bool = Field(description="False if the run had it already.")


class RunReport(Report):
    """Everything that follows from the batches acknowledged so far."""

    run: RunModel


class RunState(BaseModel):
    """All that is known of a run, in numbers that add up: see docs/statistics.md."""

    format: Literal["lossmeter.run"]
    version: Literal[1]
    run: RunModel
    record: dict[str, Any] | None = Field(description="Null before the first batch.")


class SampleCounts(BaseModel):
    """Numbers of samples that count."""

    baseline: int
    candidate: int


class DifferenceFigures(BaseModel):
    """One figure of two runs."""

    requested: str = Field(description=REQUESTED)
    parameters: dict[str, Any]
    better: Literal["higher", "lower", "neither"]
    baseline: float | None
    candidate: float | None
    difference: float | None = Field(description="Candidate minus baseline.")
    interval: IntervalModel | None = Field(description="Of the difference, in pairs.")
    p_value: float | None = Field(description="Of so large a difference, either way, if there is none in truth.")


class LossDifference(DifferenceFigures):
    """A loss of two runs."""

    loss: str


class McNemarModel(BaseModel):
    """McNemar's exact mid-p test of which samples are decided rightly."""

    only_baseline_right: int
    only_candidate_right: int
    p_value: float


class MetricDifference(DifferenceFigures):
    """A scalar metric of two runs."""

    metric: str
    mcnemar: McNemarModel | None = Field(description="For accuracy, where both runs keep their samples.")
    mcnemar_unavailable: str | None = Field(description="For accuracy, why there is no such test.")


class DifferencePart(BaseModel):
    """The differences in some samples."""

    samples: SampleCounts
    losses: list[LossDifference]
    metrics: list[MetricDifference]


class SliceDifferences(DifferencePart):
    """The differences in the samples that have one value in one column."""

    column: str
    value: str | int | bool


class LeftOut(BaseModel):
    """Figures that only one of the runs measures, or each in its own way."""

    loss: str | None
    metric: str | None
    parameters: dict[str, Any]


class WorseSlice(Place):
    """A slice in which a gate does not hold."""

    worse_by_at_most: float | None


class MarginVerdict(BaseModel):
    """A margin, and whether the candidate is worse than the baseline by no more."""

    gate: dict[str, Any] = Field(description="The gate, as it was written.")
    passed: bool = Field(description="Whether it holds everywhere; what is not known does not pass.")
    worse_by_at_most: float | None = Field(description="The worse end of the interval, where it is worst.")
    margin: float
    where: Place | None = Field(description="The slice in which that was observed; null for all samples.")
    failed_slices: list[WorseSlice]


class Comparison(DifferencePart):
    """Candidate minus baseline."""

    baseline: RunModel
    candidate: RunModel
    slices: list[SliceDifferences] = Field(description="Those that both runs have.")
    left_out: list[LeftOut]
    gates: list[MarginVerdict]
    passed: bool = Field(description="Whether all gates passed.")
    warnings: list[ResultWarning] = Field(description="Figures that are not finite, which are null in JSON.")


def run_model(run: StoredRun, *, brief: bool = False) -> RunModel:
    """Returns a run as it is answered; if that shall be brief, without the arrays in its plan."""
    plan = orjson.loads(run.plan)
    if brief:
        for part in ("losses", "metrics"):
            plan[part] = [{name: value for name, value in one.items() if type(value) is not list} for one in plan[part]]
    return RunModel(
        id=run.id,
        name=run.name,
        tags=list(run.tags),
        plan=plan,
        classes=run.classes,
        created=_time(run.created),
        closed=None if run.closed is None else _time(run.closed),
        batches=run.batches,
        samples=run.samples,
    )


def run_fields(run: StoredRun, *, brief: bool = False) -> dict[str, Any]:
    """Returns a run as plain JSON."""
    return run_model(run, brief=brief).model_dump(mode="json")


def _time(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
