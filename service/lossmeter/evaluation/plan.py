"""What is measured, and how: checked once, then the same for every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from lossmeter.errors import Invalid, MalformedBody, pointer
from lossmeter.evaluation import criteria
from lossmeter.evaluation.criteria import Criterion, criterion
from lossmeter.evaluation.fields import PlanFields, SlicedFields, given
from lossmeter.evaluation.gates import Gate, gate
from lossmeter.metrics import PREDICTIONS_ARE, Curves, Evaluation, usual

FORMAT = "lossmeter.plan"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured, and how. Make one with `of` or `from_json`.

    Attributes:
        task, predictions_are: of the data.
        classes: number of classes or labels; None to read it off the predictions.
        criteria: the losses.
        evaluation: the metrics.
        slices: columns by whose values everything is repeated.
        gates: what must hold.
        hardest: how many of the samples with the highest loss to name.
        ignore_index: a label that does not count.
        precision: arithmetic of the losses.
    """

    task: str
    predictions_are: str
    classes: int | None
    criteria: tuple[Criterion, ...]
    evaluation: Evaluation
    slices: tuple[str, ...]
    gates: tuple[Gate, ...]
    hardest: int
    ignore_index: int | None
    precision: Literal["float32", "float64"]

    @classmethod
    def of(cls, fields: PlanFields, slices: Sequence[str] = ()) -> Plan:
        """The plan that a client described.

        Raises:
            NotFound: it names a loss or metric that does not exist.
            Invalid: what it names does not fit together.
        """
        task, are = str(fields.task), fields.predictions_are
        measured_as = _measured_as(task, are)
        names = tuple(fields.slices) if isinstance(fields, SlicedFields) else tuple(slices)
        wanted_losses = criteria.usual(task, are) if fields.losses is None else list(map(given, fields.losses))
        losses = [criterion(task, are, one, ("losses", place)) for place, one in enumerate(wanted_losses)]
        wanted = usual(task, measured_as) if fields.metrics is None else list(map(given, fields.metrics))
        curves = Curves(**fields.curves.model_dump())
        if curves.bins and not curves.low < curves.high:
            raise Invalid.at(
                task, "/curves", f"curves has low {curves.low} and high {curves.high}; expected low < high"
            )

        def evaluation(metrics: Sequence[Mapping[str, Any]]) -> Evaluation:
            return Evaluation(task, measured_as, metrics, curves, fields.replicates, fields.confidence)

        chosen = evaluation(wanted)
        gates = []
        for place, one in enumerate(fields.gates):
            found = gate(given(one), ("gates", place), names, losses, chosen.choices)
            if isinstance(found, dict):  # it names what is not measured yet
                if "loss" in found:
                    added = {**found, "weight_in_objective": 0.0}
                    losses.append(criterion(task, are, added, ("gates", place)))
                else:
                    wanted = [*wanted, found]
                    chosen = evaluation(wanted)
                found = gate(given(one), ("gates", place), names, losses, chosen.choices)
            assert isinstance(found, Gate)
            gates.append(found)
        _unique(task, losses)
        return cls(
            task,
            are,
            fields.classes,
            tuple(losses),
            chosen,
            names,
            tuple(gates),
            fields.hardest,
            fields.ignore_index,
            fields.precision,
        )

    @property
    def measured_as(self) -> str:
        """What the metrics take the predictions for."""
        return _measured_as(self.task, self.predictions_are)

    def to_json(self) -> dict[str, Any]:
        """All fields with their values, so that what is usual today stays what is measured."""
        curves = self.evaluation.curves
        optional = {"classes": self.classes, "ignore_index": self.ignore_index}
        return {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task,
            "predictions_are": self.predictions_are,
            **{name: value for name, value in optional.items() if value is not None},
            "losses": [one.to_json() for one in self.criteria],
            "metrics": [{"metric": one.metric.name, **one.arguments} for one in self.evaluation.choices],
            "slices": list(self.slices),
            "gates": [one.to_json() for one in self.gates],
            "confidence": self.evaluation.level,
            "replicates": self.evaluation.replicates,
            "hardest": self.hardest,
            "curves": {"bins": curves.bins, "low": curves.low, "high": curves.high},
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Plan:
        """What `to_json` wrote.

        Raises:
            MalformedBody: it is not that, or of a version that is not known here.
        """
        if record.get("format") != FORMAT or record.get("version") != VERSION:
            raise MalformedBody("plan: the format or its version is not known")
        rest = {name: value for name, value in record.items() if name not in ("format", "version")}
        try:
            return cls.of(SlicedFields.model_validate(rest))
        except ValidationError as error:
            raise MalformedBody(f"plan: {error}") from error


def _measured_as(task: str, predictions_are: str) -> str:
    """Log-probabilities are measured as the probabilities that they are logarithms of."""
    known = PREDICTIONS_ARE[task]
    exclusive = task in ("multiclass", "segmentation")
    if predictions_are == "log_probabilities" and exclusive:
        return "probabilities"
    if predictions_are not in known:
        expected = ", ".join((*known, *(["log_probabilities"] if exclusive else [])))
        message = f"predictions_are is {predictions_are!r}; expected one of {expected}"
        raise Invalid.at(task, pointer("predictions_are"), message)
    return predictions_are


def _unique(task: str, losses: Sequence[Criterion]) -> None:
    seen: set[str] = set()
    for place, one in enumerate(losses):
        if one.key in seen:
            raise Invalid.at(task, pointer("losses", place), f"{one.loss.name} stands twice, with the same parameters")
        seen.add(one.key)
