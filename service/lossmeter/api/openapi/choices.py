"""Losses and metrics as parts of an evaluation: a schema for each, told apart by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lossmeter.api.openapi.components import REF, SHARED, Schema, ref
from lossmeter.losses import LOSSES, Loss
from lossmeter.metrics import METRICS, Metric


def loss_choices() -> dict[str, Schema]:
    """Returns a schema for each loss of predictions and labels, and their union, `LossChoice`."""
    fitting = [loss for loss in LOSSES.values() if {one.name for one in loss.tensors if one.required} == PAIR]
    return _told_apart(
        "LossChoice",
        "A loss with its parameters, as its own operation explains them.",
        "loss",
        map(_loss_choice, fitting),
    )


def metric_choices() -> dict[str, Schema]:
    """Returns a schema for each metric, and their union, `MetricChoice`."""
    return _told_apart("MetricChoice", "A metric with its parameters.", "metric", map(_metric_choice, METRICS.values()))


PAIR = {"predictions", "labels"}


def _loss_choice(loss: Loss) -> tuple[str, tuple[str, ...], Schema]:
    weight = {**ref(SHARED["weight_in_objective"]), "default": 1.0}
    properties = {one.name: ref("PlainTensor") for one in loss.tensors if one.keyword}
    # The operation of the loss says what it is, and its request what they mean.
    properties |= {one.name: {**one.schema, "default": one.default} for one in loss.parameters}
    schema = {"properties": {"weight_in_objective": weight, **properties}}
    return class_name(loss.name) + "Loss", (loss.name, *loss.aliases), schema


def _metric_choice(metric: Metric) -> tuple[str, tuple[str, ...], Schema]:
    properties = {one.name: one.json_schema() for one in metric.parameters}
    described = {"description": metric.summary, "properties": properties}
    return class_name(metric.name) + "Metric", (metric.name, *metric.aliases), described


def class_name(name: str) -> str:
    """Returns `SmoothL1` for `smooth_l1`."""
    return "".join(word.capitalize() for word in name.split("_"))


def _told_apart(
    union: str, description: str, key: str, members: Iterable[tuple[str, tuple[str, ...], Mapping[str, Any]]]
) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    mapping: dict[str, str] = {}
    for model, names, schema in members:
        word = {"type": "string", "enum": list(names)}
        schemas[model] = {
            **schema,
            "type": "object",
            "required": [key],
            "additionalProperties": False,
            "properties": {key: word, **schema["properties"]},
        }
        mapping |= dict.fromkeys(names, REF.format(model=model))
    options = [ref(model) for model in schemas]
    discriminator = {"propertyName": key, "mapping": mapping}
    return {**schemas, union: {"description": description, "oneOf": options, "discriminator": discriminator}}
