"""Outcomes: sums are rounded once, and whatever is not finite gets a warning."""

from __future__ import annotations

import math
from ctypes import c_float

import numpy as np

from lossmeter.engine import advice
from lossmeter.engine.calls import Call, Outcome, Warned
from lossmeter.engine.elements import is_finite
from lossmeter.engine.work import PassResult, Work
from lossmeter.errors import Invalid, pointer
from lossmeter.losses import SEQUENCE_REDUCTIONS
from lossmeter.tensors import Array, Datatype, Tensor, coordinates

LISTED = 8
"""Non-finite results that are listed one by one."""
NON_FINITE = "non_finite"
"""The code of their warnings."""


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
            warnings.append(Warned(NON_FINITE, f"{name} is {word}{empty}", pointer(name), None, word))
    values = None
    with np.errstate(over="ignore", invalid="ignore"):
        if result.values is not None:
            values = answer_tensor(("values",), result.values.numpy(), work.plan.shapes.output, warnings)
        gradients = {
            name: answer_tensor(("gradients", name), gradient.numpy(), call.tensors[name].shape, warnings)
            for name, gradient in result.gradients.items()
        }
    if call.advice:
        warnings += advice.of_inputs(work) if work.advised is None else work.advised
        warnings += advice.of_results(call, value, gradients)
    return Outcome(value, values, total, normalizer, weights.count, gradients, str(work.plan.device), warnings)


def _mean(call: Call, numerator: float, normalizer: float) -> float:
    if normalizer:
        return _rounded(numerator / normalizer, call.precision)
    if call.empty == "error":
        raise Invalid.at(call.loss.name, "", "nothing counts: the normalizer of the mean is 0, and empty is 'error'")
    return 0.0 if call.empty == "zero" else math.nan


def _rounded(number: float, precision: str) -> float:
    return c_float(number).value if precision == "float32" else number


def not_finite(path: tuple[str | int, ...], number: float, warnings: list[Warned]) -> None:
    """Adds a warning to the list if a number of the answer is not finite."""
    if not math.isfinite(number):
        word = _word(number)
        warnings.append(Warned(NON_FINITE, f"{'.'.join(map(str, path))} is {word}", pointer(*path), None, word))


def answer_tensor(path: tuple[str, ...], array: Array, shape: tuple[int, ...], warnings: list[Warned]) -> Tensor:
    """Makes a tensor of an answer, and adds warnings to the list for what is not finite in it."""
    flat = np.ascontiguousarray(array).reshape(-1)  # a loss may repeat one value for a whole row
    if not is_finite(flat):
        positions = np.flatnonzero(~np.isfinite(flat))
        for position in positions[:LISTED].tolist():
            index = coordinates(position, shape)
            word = _word(float(flat[position]))
            name = ".".join(path)
            message = f"{name}{list(index)} is {word}; {len(positions)} of {len(flat)} elements are not finite"
            warnings.append(Warned(NON_FINITE, message, pointer(*path), index, word))
    return Tensor(Datatype.FP64 if flat.dtype == np.float64 else Datatype.FP32, shape, flat)


def _word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
