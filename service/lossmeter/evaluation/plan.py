"""A plan: the losses, metrics and gates that a client wants, checked once and then the same for every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossmeter.errors import Invalid, MalformedBody, pointer
from lossmeter.evaluation import criteria, metrics
from lossmeter.evaluation.criteria import Criterion, criterion
from lossmeter.evaluation.fields import PlanFields, SlicedFields, given
from lossmeter.evaluation.gates import Gate, gate
from lossmeter.evaluation.metrics import MetricSet
from lossmeter.metrics import Curves
from lossmeter.metrics.tasks import TASKS, Task
from lossmeter.validation import validate

FORMAT = "lossmeter.plan"
VERSION = 2


@dataclass(frozen=True, eq=False)
class Plan:
    """The losses, metrics and gates of an evaluation, and how they are measured. Made by `of` or `from_json`.

    Attributes:
        task, predictions_are: of the data.
        classes: number of classes or labels; None to read it off the predictions.
        criteria: the losses.
        metrics: the metrics.
        slices: columns by whose values everything is repeated.
        gates: what must hold.
        hardest: how many of the samples with the highest loss to name.
        ignore_index: a label that does not count.
        precision: arithmetic of the losses.
    """

    task: Task
    predictions_are: str
    classes: int | None
    criteria: tuple[Criterion, ...]
    metrics: MetricSet
    slices: tuple[str, ...]
    gates: tuple[Gate, ...]
    hardest: int
    ignore_index: int | None
    precision: Literal["float32", "float64"]

    @classmethod
    def of(cls, fields: PlanFields, slices: Sequence[str] = ()) -> Plan:
        """Makes the plan that a client described.

        Raises:
            NotFound: it names a loss or metric that does not exist.
            Invalid: what it names does not fit together.
        """
        task, are = TASKS[fields.task], fields.predictions_are
        measured_as = task.measured_as(are)
        columns = tuple(fields.slices) if isinstance(fields, SlicedFields) else tuple(slices)
        wanted_losses = criteria.usual(task, are) if fields.losses is None else list(map(given, fields.losses))
        losses = [criterion(task, are, one, ("losses", place)) for place, one in enumerate(wanted_losses)]
        wanted = metrics.usual(task.name, measured_as) if fields.metrics is None else list(map(given, fields.metrics))
        curves = Curves(**fields.curves.model_dump())
        if curves.bins and not curves.low < curves.high:
            message = f"curves has low {curves.low} and high {curves.high}; expected low < high"
            raise Invalid.at(task.name, "/curves", message)

        def measuring(chosen: Sequence[Mapping[str, Any]]) -> MetricSet:
            return MetricSet.of(task, measured_as, chosen, curves, fields.replicates, fields.confidence)

        measured = measuring(wanted)
        gates = []
        for place, one in enumerate(map(given, fields.gates)):
            at = ("gates", place)
            chosen = gate(one, at, columns, losses, measured.choices)
            if isinstance(chosen, dict):  # it names what is not measured yet
                if "loss" in chosen:
                    losses.append(criterion(task, are, {**chosen, "weight_in_objective": 0.0}, at))
                else:
                    wanted = [*wanted, chosen]
                    measured = measuring(wanted)
                chosen = gate(one, at, columns, losses, measured.choices)
            assert isinstance(chosen, Gate)
            gates.append(chosen)
        _check_unique(task, losses)
        return cls(
            task,
            are,
            fields.classes,
            tuple(losses),
            measured,
            columns,
            tuple(gates),
            fields.hardest,
            fields.ignore_index,
            fields.precision,
        )

    @property
    def measured_as(self) -> str:
        """The kind of predictions that the metrics take these for."""
        return self.task.measured_as(self.predictions_are)

    def to_json(self) -> dict[str, Any]:
        """Returns all fields with their values, so that what is usual today stays what is measured."""
        curves = self.metrics.curves
        optional = {"classes": self.classes, "ignore_index": self.ignore_index}
        return {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task.name,
            "predictions_are": self.predictions_are,
            **{name: value for name, value in optional.items() if value is not None},
            "losses": [one.to_json() for one in self.criteria],
            "metrics": [{"metric": one.metric.name, **one.arguments} for one in self.metrics.choices],
            "slices": list(self.slices),
            "gates": [one.to_json() for one in self.gates],
            "confidence": self.metrics.level,
            "replicates": self.metrics.replicates,
            "hardest": self.hardest,
            "curves": {"bins": curves.bins, "low": curves.low, "high": curves.high},
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Plan:
        """Reads what `to_json` wrote.

        Raises:
            MalformedBody: it is not that, or of a version that is not known here.
        """
        if record.get("format") != FORMAT or record.get("version") not in range(1, VERSION + 1):
            raise MalformedBody("plan: the format or its version is not known")
        rest = {name: value for name, value in record.items() if name not in ("format", "version")}
        if record["version"] == 1 and rest.get("task") == "binary":
            rest |= {part: [_of_version_1(one) for one in rest.get(part, ())] for part in ("metrics", "gates")}
        try:
            return cls.of(validate(SlicedFields, "plan", rest))
        except Invalid as error:
            raise MalformedBody(error.detail) from error


def _of_version_1(chosen: Any) -> Any:
    """Reads a metric or gate of two classes as it was meant: any average was the positive class alone."""
    if isinstance(chosen, Mapping) and chosen.get("average") in ("macro", "weighted", "micro"):
        return {**chosen, "average": "binary"}
    return chosen


def _check_unique(task: Task, losses: Sequence[Criterion]) -> None:
    seen: set[str] = set()
    for place, one in enumerate(losses):
        if one.key in seen:
            message = f"{one.loss.name} stands twice, with the same parameters"
            raise Invalid.at(task.name, pointer("losses", place), message)
        seen.add(one.key)
