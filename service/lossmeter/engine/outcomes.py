"""Outcomes: sums are rounded once, and whatever is not finite gets a warning."""

from __future__ import annotations

import math
from ctypes import c_float

import numpy as np
import torch

from lossmeter.engine.calls import Call, Outcome, Warned
from lossmeter.engine.elements import is_finite
from lossmeter.engine.work import PassResult, Work
from lossmeter.errors import Invalid, pointer
from lossmeter.losses import SEQUENCE_REDUCTIONS
from lossmeter.tensors import Datatype, Tensor, coordinates

LISTED = 8
"""Non-finite results that are listed one by one."""


def outcome(work: Work, result: PassResult) -> Outcome:
    """Returns the outcome of a call.

    Raises:
        Invalid: if nothing counts and the call says that this is an error.
    """
    call, weights = work.call, work.weights
    normalizer = weights.normalizer if call.normalizer is None else call.normalizer
    # Sums over sequences, so that they too can be added up over many calls and divided once.
    total = result.numerator if call.reduction in SEQUENCE_REDUCTIONS else result.total
    warnings: list[Warned] = [*work.warned]
    value: float | None = None
    if call.reduction == "sum":
        value = _rounded(total, call.precision)
    elif call.reduction != "none":
        value = _mean(call, result.numerator, normalizer)
    for name, number in (("value", value), ("sum", total)):
        if number is not None and not math.isfinite(number):
            empty = " because nothing counts: the normalizer is 0" if name == "value" and not normalizer else ""
            word = _word(number)
            warnings.append(Warned("non_finite", f"{name} is {word}{empty}", pointer(name), None, word))
    values = None
    with np.errstate(over="ignore", invalid="ignore"):
        if result.values is not None:
            values = _tensor(("values",), result.values, work.plan.shapes.output, warnings)
        gradients = {
            name: _tensor(("gradients", name), gradient, call.tensors[name].shape, warnings)
            for name, gradient in result.gradients.items()
        }
    return Outcome(value, values, total, normalizer, weights.count, gradients, str(work.plan.device), warnings)


def _mean(call: Call, numerator: float, normalizer: float) -> float:
    if normalizer:
        return _rounded(numerator / normalizer, call.precision)
    if call.empty == "error":
        raise Invalid.at(call.loss.name, "", "nothing counts: the normalizer of the mean is 0, and empty is 'error'")
    return 0.0 if call.empty == "zero" else math.nan


def _rounded(number: float, precision: str) -> float:
    return c_float(number).value if precision == "float32" else number


def _tensor(path: tuple[str, ...], tensor: torch.Tensor, shape: tuple[int, ...], warnings: list[Warned]) -> Tensor:
    flat = np.ascontiguousarray(tensor.numpy()).reshape(-1)  # a loss may repeat one value for a whole row
    if not is_finite(flat):
        positions = np.flatnonzero(~np.isfinite(flat))
        for position in positions[:LISTED].tolist():
            index = coordinates(position, shape)
            word = _word(float(flat[position]))
            name = ".".join(path)
            message = f"{name}{list(index)} is {word}; {len(positions)} of {len(flat)} elements are not finite"
            warnings.append(Warned("non_finite", message, pointer(*path), index, word))
    return Tensor(Datatype.FP64 if flat.dtype == np.float64 else Datatype.FP32, shape, flat)


def _word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
