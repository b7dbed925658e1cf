"""The losses of a plan: checks that they suit the task and its predictions, and makes calls of them.

Losses come with torch, which takes seconds to import: a plan of metrics alone does without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model

from lossmeter.errors import Invalid, pointer
from lossmeter.evaluation.loss_inputs import LossInputs
from lossmeter.evaluation.names import choose_loss
from lossmeter.metrics.tasks import KINDS, Task
from lossmeter.tensors import Datatype, Tensor
from lossmeter.validation import validate

if TYPE_CHECKING:
    from lossmeter.engine.calls import Call
    from lossmeter.losses import Loss


@dataclass(frozen=True, eq=False)
class Criterion:
    """A loss of a plan with its parameters.

    Attributes:
        requested: the name under which it was asked for.
        parameters: scalar ones, all of them, with their values.
        tensors: tensor parameters, such as weights of classes.
        weight: its factor in the objective.
        given: the parameters that were given, as JSON.
        logarithm: whether it takes the logarithm of the predictions, which are probabilities.
        signed: whether its labels are ±1, those of the task being 0 and 1.
    """

    loss: Loss
    requested: str
    parameters: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    weight: float
    given: Mapping[str, Any]
    logarithm: bool
    signed: bool

    @property
    def key(self) -> str:
        """The name under which its state is kept: `loss cross_entropy[label_smoothing=0.1]`."""
        inner = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(self.given.items()))
        return f"loss {self.loss.name}[{inner}]" if inner else f"loss {self.loss.name}"

    def to_json(self) -> dict[str, Any]:
        return {"loss": self.requested, **self.given, "weight_in_objective": self.weight}

    @property
    def figure(self) -> dict[str, Any]:
        """All parameters with their values, tensors as lists."""
        return {**self.parameters, **self.given}

    def call(self, inputs: LossInputs, *, gradient: bool) -> Call:
        """Makes the call of the loss on a batch; what counts of it is finite."""
        from lossmeter.engine.calls import Call

        return Call(
            self.loss,
            {
                "predictions": inputs.predicted(logarithm=self.logarithm),
                "labels": inputs.labelled(signed=self.signed, floating=self._floating),
                **self.tensors,
            },
            self.parameters,
            gradients=("predictions",) if gradient and self.weight else (),
            sample_weight=inputs.sample_weight,
            mask=inputs.mask,
            precision=inputs.precision,
            non_finite="allow",
        )

    @property
    def _floating(self) -> bool:
        return self.loss.tensor["labels"].options[0].meaning.kind == "floating"


def criterion(task: Task, predictions_are: str, given: Mapping[str, Any], at: tuple[str | int, ...]) -> Criterion:
    """Makes the loss that a client chose.

    Raises:
        Invalid: there is no such loss, or it does not suit the task, or its parameters are wrong.
    """
    rest = dict(given)
    requested = str(rest.pop("loss"))
    loss = choose_loss(requested, pointer(*at, "loss"))
    weight = float(rest.pop("weight_in_objective", 1.0))
    meaning = _suited(loss, task, predictions_are, pointer(*at, "loss"))
    named = {name: rest.pop(name) for name in list(rest) if name in loss.tensor and loss.tensor[name].keyword}
    model = validate(_model(loss), loss.name, rest, at, "parameter")
    parameters = {parameter.name: getattr(model, parameter.name) for parameter in loss.parameters}
    for name, value in loss.plain_if.items():
        if parameters[name] != value:
            message = f"takes predictions that are {meaning[0]} only where {name} is {json.dumps(value)}"
            raise Invalid.at(loss.name, pointer(*at, name), message)
    default = {parameter.name: parameter.default for parameter in loss.parameters}
    kept = {name: value for name, value in parameters.items() if value != default[name]}
    tensors = {name: _constant(loss, name, value, (*at, name)) for name, value in named.items()}
    return Criterion(
        loss,
        requested,
        parameters,
        tensors,
        weight,
        {**kept, **{name: item.data.reshape(item.shape).tolist() for name, item in tensors.items()}},
        meaning[0] == "log-probabilities" and predictions_are == "probabilities",
        meaning[1] == "±1",
    )


def usual(task: Task, predictions_are: str) -> list[dict[str, Any]]:
    """Lists the losses of a task that are computed if none are asked for; none where predictions are ranks or decisions."""
    return [{"loss": name} for name in task.losses.usual.get(predictions_are, ())]


def _suited(loss: Loss, task: Task, predictions_are: str, at: str) -> tuple[str, str]:
    """Returns what the loss takes its predictions and its labels for."""
    needed = [argument.name for argument in loss.tensors if argument.required]
    if needed != ["predictions", "labels"]:
        raise Invalid.at(loss.name, at, f"takes {', '.join(needed)}; an evaluation has predictions and labels")
    if not loss.separable or loss.mean_note:
        raise Invalid.at(loss.name, at, "is no mean over samples, so that no evaluation can add it up")
    predictions, labels = (
        [role.meaning.name for role in loss.tensor[name].options] for name in ("predictions", "labels")
    )
    if labels[0] not in task.losses.labels:
        raise Invalid.at(loss.name, at, f"takes labels that are {' or '.join(labels)}: not for the task {task.name}")
    elementwise = loss.output.strip().startswith("*shape")
    if predictions[0] not in KINDS[predictions_are].meanings or (task.losses.elementwise and not elementwise):
        text = " or ".join(predictions)
        raise Invalid.at(loss.name, at, f"takes predictions that are {text}; predictions_are is {predictions_are!r}")
    return predictions[0], labels[0]


def _constant(loss: Loss, name: str, value: Any, at: tuple[str | int, ...]) -> Tensor:
    try:
        if any(type(number) not in (int, float) for number in np.asarray(value, object).reshape(-1)):
            raise ValueError
        array = np.asarray(value, np.float64)
    except (OverflowError, ValueError):
        raise Invalid.at(loss.name, pointer(*at), f"{name} is no number or rectangular array of numbers") from None
    return Tensor(Datatype.FP64, array.shape, array.reshape(-1))


@cache
def _model(loss: Loss) -> type[BaseModel]:
    declared: dict[str, Any] = {item.name: (item.annotation, item.default) for item in loss.parameters}
    return create_model(loss.name, __config__=ConfigDict(extra="forbid", strict=True), **declared)
