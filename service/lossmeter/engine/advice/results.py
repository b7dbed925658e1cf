"""Looks at what came out: gradients that are all 0, and numbers that half precision has no room for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lossmeter.engine.advice.codes import advice
from lossmeter.engine.calls import Call, Warned
from lossmeter.tensors import Datatype, Tensor

LARGEST_HALF = 65504.0


def of_results(call: Call, value: float | None, gradients: Mapping[str, Tensor]) -> list[Warned]:
    """Returns the advice on the results of a call."""
    found = []
    for name, given in call.tensors.items():
        if given.datatype is Datatype.FP16:
            seen = _overflow(name, value, gradients.get(name))
            if seen is not None:
                found.append(seen)
                break
    if gradients and value and call.upstream is None and math.isfinite(value):
        name, gradient = next(iter(gradients.items()))
        data = gradient.data
        size = len(data)
        if size and not data.item(0) and not data.item(size // 2) and not data.item(size - 1) and not data.any():
            message = f"the gradient of {name} is 0 everywhere, though the loss is {value:g}"
            found.append(advice("vanished_gradients", name, message, value=value))
    return found


def _overflow(name: str, value: float | None, gradient: Tensor | None) -> Warned | None:
    if value is not None and math.isfinite(value) and abs(value) > LARGEST_HALF:
        message = f"{name} is FP16, and the loss is {value:g}: FP16 ends at {LARGEST_HALF:g}"
        return advice("half_precision_overflow", name, message, value=value)
    if gradient is not None and len(gradient.data):
        largest = float(np.maximum(gradient.data.max(), -gradient.data.min()))
        if math.isfinite(largest) and largest > LARGEST_HALF:
            message = f"{name} is FP16, and its gradient goes up to {largest:g}: FP16 ends at {LARGEST_HALF:g}"
            return advice("half_precision_overflow", name, message, largest_gradient=largest)
    return None
