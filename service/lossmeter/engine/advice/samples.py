"""Samples of tensors: single elements, and rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmeter.tensors import Array, Datatype, Tensor, load

LOOKED = 1 << 14
"""Elements of a tensor that are looked at; of a larger one, those of rows at equal distances."""
FLOAT64 = np.dtype(np.float64)


def ends(tensor: Tensor) -> tuple[Any, Any, Any] | None:
    """Returns the first, the middle and the last element; None if there are none."""
    data = tensor.data
    size = len(data)
    if not size:
        return None
    if tensor.datatype is Datatype.BF16:
        data = load(Tensor(tensor.datatype, (3,), data[[0, size // 2, size - 1]]), FLOAT64)
        size = 3
    return data.item(0), data.item(size // 2), data.item(size - 1)


def sample(tensor: Tensor) -> Array:
    """Returns elements at equal distances, flat, in float64."""
    step = 1 + (len(tensor.data) - 1) // LOOKED
    part = tensor.data[::step]
    return load(Tensor(tensor.datatype, (len(part),), part), FLOAT64)


def rows(tensor: Tensor, axis: int) -> Array:
    """Returns rows at equal distances, (rows, classes) in float64, where the classes lie along an axis of the tensor."""
    # A tensor without dimensions is one row of one element.
    array = np.moveaxis(tensor.data.reshape(tensor.shape or (1,)), axis, -1)
    width = array.shape[-1]
    flat = array if array.ndim == 2 else array.reshape(-1, width)
    step = 1 + (len(flat) * width - 1) // max(width, LOOKED)
    part = np.ascontiguousarray(flat[::step])
    return load(Tensor(tensor.datatype, part.shape, part.reshape(-1)), FLOAT64).reshape(part.shape)
