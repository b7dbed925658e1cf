"""The losses of a plan: which of them suit a task and what its predictions are, and the call that each becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from lossmeter.engine.calls import Call
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.losses import Loss, find
from lossmeter.tensors import Array, Datatype, Tensor

# For what the predictions are, the meanings that a loss may declare for them.
MEANINGS: Mapping[str, tuple[str, ...]] = {
    "values": ("values",),
    "logits": ("logits", "scores"),
    "probabilities": ("probabilities", "log-probabilities"),
    "log_probabilities": ("log-probabilities",),
    "scores": ("scores",),
    "classes": (),
}
# For each task, the meanings that a loss may declare for its labels: the first that it declares counts.
LABELS: Mapping[str, tuple[str, ...]] = {
    "regression": ("values",),
    "binary": ("probabilities", "±1"),
    "multilabel": ("probabilities", "±1"),
    "multiclass": ("class indices",),
    "segmentation": ("class indices",),
    "ranking": (),
    "clustering": (),
}
USUAL: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("regression", "values"): ("mse", "mae", "huber"),
    ("binary", "logits"): ("binary_cross_entropy_with_logits",),
    ("binary", "probabilities"): ("binary_cross_entropy",),
    ("multilabel", "logits"): ("binary_cross_entropy_with_logits",),
    ("multilabel", "probabilities"): ("binary_cross_entropy",),
    ("multiclass", "logits"): ("cross_entropy",),
    ("multiclass", "probabilities"): ("nll",),
    ("multiclass", "log_probabilities"): ("nll",),
    ("segmentation", "logits"): ("cross_entropy",),
    ("segmentation", "probabilities"): ("nll",),
    ("segmentation", "log_probabilities"): ("nll",),
}


@dataclass(frozen=True, eq=False)
class Criterion:
    """A loss of a plan with its parameters.

    Attributes:
        parameters: scalar ones, all of them, with their values.
        tensors: tensor parameters, such as weights of classes.
        weight: its factor in the objective.
        given: the parameters that were given, as JSON.
        logarithm: whether it takes the logarithm of the predictions, which are probabilities.
        signed: whether its labels are ±1, those of the task being 0 and 1.
    """

    loss: Loss
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
        return {"loss": self.loss.name, **self.given, "weight_in_objective": self.weight}

    def call(
        self,
        predictions: Array,
        labels: Array,
        sample_weight: Array | None,
        mask: Array | None,
        precision: Literal["float32", "float64"],
    ) -> Call:
        """The call of the loss on a batch; the caller has checked that what counts is finite."""
        if self.logarithm:
            with np.errstate(divide="ignore"):
                predictions = np.log(predictions)
        tensors = {"predictions": tensor(predictions), "labels": tensor(2 * labels - 1 if self.signed else labels)}
        return Call(
            self.loss,
            {**tensors, **self.tensors},
            self.parameters,
            sample_weight=None if sample_weight is None else tensor(sample_weight),
            mask=None if mask is None else tensor(mask),
            precision=precision,
            non_finite="allow",
        )


def tensor(array: Array) -> Tensor:
    """An array of float64, int64 or bool as a tensor."""
    datatype = {"f": Datatype.FP64, "i": Datatype.INT64, "b": Datatype.BOOL}[array.dtype.kind]
    return Tensor(datatype, array.shape, np.ascontiguousarray(array).reshape(-1).astype(datatype.dtype, copy=False))


def criterion(task: str, predictions_are: str, given: Mapping[str, Any], at: tuple[str | int, ...]) -> Criterion:
    """The loss that a client chose.

    Raises:
        NotFound: there is no such loss.
        Invalid: it does not suit the task, or its parameters are wrong.
    """
    rest = dict(given)
    loss = find(str(rest.pop("loss")))
    weight = float(rest.pop("weight_in_objective", 1.0))
    meaning = _suited(loss, task, predictions_are, pointer(*at, "loss"))
    named = {name: rest.pop(name) for name in list(rest) if name in loss.tensor and loss.tensor[name].keyword}
    try:
        model = _model(loss).model_validate(rest)
    except ValidationError as error:
        raise Invalid.of(
            loss.name,
            [
                Flaw(pointer(*at, *item["loc"]), f"{'.'.join(map(str, item['loc']))}: {item['msg']}")
                for item in error.errors()
            ],
        ) from error
    parameters = {parameter.name: getattr(model, parameter.name) for parameter in loss.parameters}
    if loss.name == "poisson_nll" and parameters["log_input"]:
        message = "takes the logarithm of the rate unless log_input is false; predictions_are is 'values'"
        raise Invalid.at(loss.name, pointer(*at, "log_input"), message)
    default = {parameter.name: parameter.default for parameter in loss.parameters}
    kept = {name: value for name, value in parameters.items() if value != default[name]}
    tensors = {name: _constant(loss, name, value, (*at, name)) for name, value in named.items()}
    return Criterion(
        loss,
        parameters,
        tensors,
        weight,
        {**kept, **{name: item.data.reshape(item.shape).tolist() for name, item in tensors.items()}},
        meaning[0] == "log-probabilities" and predictions_are == "probabilities",
        meaning[1] == "±1",
    )


def usual(task: str, predictions_are: str) -> list[dict[str, Any]]:
    """The losses of a task that are computed if none are asked for; none where predictions are only ranks or decisions."""
    return [{"loss": name} for name in USUAL.get((task, predictions_are), ())]


def _suited(loss: Loss, task: str, predictions_are: str, at: str) -> tuple[str, str]:
    """What the loss takes its predictions and its labels for."""
    needed = [argument.name for argument in loss.tensors if argument.required]
    if needed != ["predictions", "labels"]:
        raise Invalid.at(loss.name, at, f"takes {', '.join(needed)}; an evaluation has predictions and labels")
    if not loss.separable or loss.mean_note:
        raise Invalid.at(loss.name, at, "is no mean over samples, so that no evaluation can add it up")
    predictions, labels = (
        [role.meaning.name for role in loss.tensor[name].options] for name in ("predictions", "labels")
    )
    if labels[0] not in LABELS[task]:
        raise Invalid.at(loss.name, at, f"takes labels that are {' or '.join(labels)}: not for the task {task}")
    elementwise = loss.output.strip().startswith("*shape")
    if predictions[0] not in MEANINGS[predictions_are] or (task == "binary" and not elementwise):
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
    return tensor(array)


@cache
def _model(loss: Loss) -> type[BaseModel]:
    declared: dict[str, Any] = {item.name: (item.annotation, item.default) for item in loss.parameters}
    return create_model(loss.name, __config__=ConfigDict(extra="forbid", strict=True), **declared)
