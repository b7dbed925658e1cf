"""A plan: the losses, metrics and gates that a client wants, checked once and then the same for every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossmeter.errors import Invalid, MalformedBody, pointer
from lossmeter.evaluation import criteria, metrics
from lossmeter.evaluation.criteria import Criterion, criterion
from lossmeter.evaluation.fields import PlanFields, SlicedFields, given, outside_texts
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
        class_names: what the classes are called, in the order of their indices; None where they have no names.
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
    class_names: tuple[str, ...] | None
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
            Invalid: what it names does not exist, or does not fit together.
        """
        try:
            return cls._of(fields, slices)
        except Invalid as error:
            named = {part: getattr(fields, part) for part in ("losses", "metrics", "gates")}
            raise outside_texts(error, named) from None

    @classmethod
    def _of(cls, fields: PlanFields, slices: Sequence[str]) -> Plan:
        task, are = TASKS[fields.task], fields.predictions_are
        measured_as = task.measured_as(are)
        columns = tuple(fields.slices) if isinstance(fields, SlicedFields) else tuple(slices)
        wanted_losses = criteria.usual(task, are) if fields.losses is None else list(map(given, fields.losses))
        losses = [criterion(task, are, one, ("losses", place)) for place, one in enumerate(wanted_losses)]
        wanted = metrics.usual(task.name, measured_as) if fields.metrics is None else list(map(given, fields.metrics))
        classes, names = _classes(task, fields)
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
            classes,
            names,
            tuple(losses),
            measured,
            columns,
            tuple(gates),
            fields.hardest,
            fields.ignore_index,
            "float64" if fields.precision == "auto" else fields.precision,
        )

    @property
    def measured_as(self) -> str:
        """The kind of predictions that the metrics take these for."""
        return self.task.measured_as(self.predictions_are)

    def to_json(self) -> dict[str, Any]:
        """Returns all fields with their values, so that what is usual today stays what is measured."""
        curves = self.metrics.curves
        optional = {"classes": self.classes, "class_names": self.class_names, "ignore_index": self.ignore_index}
        return {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task.name,
            "predictions_are": self.predictions_are,
            **{name: value for name, value in optional.items() if value is not None},
            "losses": [one.to_json() for one in self.criteria],
            "metrics": [{"metric": one.requested, **one.arguments} for one in self.metrics.choices],
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


def _classes(task: Task, fields: PlanFields) -> tuple[int | None, tuple[str, ...] | None]:
    """Returns the number of classes and their names, as far as they are given."""
    if fields.class_names is None:
        return fields.classes, None
    names, at = tuple(fields.class_names), pointer("class_names")
    if not task.named:
        raise Invalid.at(task.name, at, f"the task {task.name} has no classes that could have names")
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise Invalid.at(task.name, at, f"class_names has {twice!r} twice")
    wanted = 2 if task.name == "binary" else fields.classes
    if wanted is not None and len(names) != wanted:
        raise Invalid.at(task.name, at, f"class_names has {len(names)} names; expected {wanted}, the number of classes")
    return fields.classes if task.name == "binary" else len(names), names


def _of_version_1(chosen: Any) -> Any:
    """Reads a metric or gate of two classes as it was meant: any average was the positive class alone."""
    if isinstance(chosen, Mapping) and chosen.get("average") in ("macro", "weighted", "micro"):
        return {**chosen, "average": "binary"}
    return chosen


def _check_unique(task: Task, losses: Sequence[Criterion]) -> None:
    seen: set[str] = set()
    for place, one in enumerate(losses):
        if one.key in seen:
            named = one.requested if one.requested == one.loss.name else f"{one.requested}, which is {one.loss.name},"
            message = f"{named} stands twice, with the same parameters"
            raise Invalid.at(task.name, pointer("losses", place), message)
        seen.add(one.key)
