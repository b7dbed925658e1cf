"""The results of calls."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossmeter.client.arrays import array_of, is_torch
from lossmeter.tensors import Tensor

USUAL_TIMING = re.compile(", ".join([rf"{stage};dur=([0-9]+\.[0-9]+)" for stage in ("decode", "compute", "encode")]))


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds that the service spent on each stage of one call."""

    decode_milliseconds: float = 0.0
    compute_milliseconds: float = 0.0
    encode_milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to know of a result.

    Attributes:
        code: `non_finite`, or that of a piece of advice.
        pointer: a JSON Pointer into the answer; that of advice into the request.
        index, value: where a tensor is not finite, and what it is there.
        evidence, remedy: of advice: the figures that it rests on, and what to do.
    """

    code: str
    message: str
    pointer: str
    index: tuple[int, ...] | None
    value: str | None
    evidence: Mapping[str, float] | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LossResult:
    """A loss, and what it was made of. Arrays are of the kind that was given, in the precision of the arithmetic.

    Attributes:
        loss: the proper name of the loss.
        reduction: how the unreduced values became one number.
        value: the reduced loss; none under `none`.
        values: the unreduced loss, under `none` only; shape as the loss declares.
        sum: the weighted sum over what counts, accumulated in float64.
        normalizer: the denominator that `mean` used or would use.
        count: how many elements count.
        gradients: by role, in the shape of the role.
        precision: of the arithmetic, `float32` or `float64`.
        device: where it was computed.
        metrics: numbers that a loss as data gives beside its value; none of the others.
        warnings: where something is not finite, and advice on what most likely was not meant.
        request_id: under which the log of the service knows the call.
        timing: what the service spent on it.
    """

    loss: str
    reduction: str
    value: float | None
    values: Any
    sum: float
    normalizer: float
    count: int
    gradients: dict[str, Any]
    precision: str
    device: str
    warnings: tuple[Warned, ...]
    request_id: str
    timing: Timing
    metrics: Mapping[str, float] = field(default_factory=dict)


def loss_result(fields: Mapping[str, Any], headers: Mapping[str, str], like: Mapping[str, Any]) -> LossResult:
    """Makes the result of an answer.

    Args:
        fields: of the answer, tensors among them.
        headers: of the answer, names in lower case.
        like: arrays of the request by role; gradients are arrays of the same kind.
    """
    warnings = tuple(warned(entry) for entry in fields["warnings"])
    reduction = fields["reduction"]
    values: Tensor | None = fields.get("values")
    value = fields.get("value")
    if value is None and reduction != "none":
        value = next((number(w.value) for w in warnings if w.pointer == "/value"), math.nan)
    return LossResult(
        fields["loss"],
        reduction,
        value,
        None if values is None else array_of(values, next(filter(is_torch, like.values()), None)),
        fields["sum"] if fields["sum"] is not None else _sum(value, values),
        fields["normalizer"],
        fields["count"],
        {name: array_of(tensor, like.get(name)) for name, tensor in fields["gradients"].items()},
        fields["precision"],
        fields["device"],
        warnings,
        headers.get("x-request-id", ""),
        timing(headers.get("server-timing", "")),
        {name: math.nan if value is None else value for name, value in fields.get("metrics", {}).items()},
    )


def warned(entry: Mapping[str, Any]) -> Warned:
    """Makes a warning of its fields."""
    index = entry.get("index")
    place = None if index is None else tuple(index)
    told = entry.get("value"), entry.get("evidence"), entry.get("remedy")
    return Warned(entry["code"], entry["message"], entry["pointer"], place, *told)


def number(word: str | None) -> float:
    """Makes the number that is not finite of the name that an answer has for it."""
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(word or "", math.nan)


def _sum(value: float | None, values: Tensor | None) -> float:
    """Restores a sum that is not finite, which JSON has no number for: it is the mean, or the sum of the values."""
    if values is None:
        return math.nan if value is None or math.isfinite(value) else value
    with np.errstate(invalid="ignore"):
        return float(np.sum(values.data, dtype=np.float64))


def timing(header: str) -> Timing:
    """Reads the header `Server-Timing`."""
    usual = USUAL_TIMING.fullmatch(header)
    if usual is not None:
        return Timing(*map(float, usual.groups()))
    spent = {}
    for stage in header.split(","):
        name, _, duration = stage.strip().partition(";dur=")
        try:
            spent[name] = float(duration)
        except ValueError:
            continue
    return Timing(spent.get("decode", 0.0), spent.get("compute", 0.0), spent.get("encode", 0.0))
