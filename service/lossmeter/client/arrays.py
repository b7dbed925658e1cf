"""Arrays of numpy and torch ⇄ tensors of the wire. Torch is used if it is loaded, and never loaded from here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossmeter.tensors import Array, Datatype, Tensor

BY_NUMPY: Mapping[str, Datatype] = {
    datatype.dtype.name: datatype for datatype in Datatype if datatype is not Datatype.BF16
}
BY_DTYPE: Mapping[np.dtype[Any], Datatype] = {datatype.dtype: datatype for datatype in BY_NUMPY.values()}
BFLOAT16 = "bfloat16"
"""The name of the dtype that other packages add to numpy."""


def is_torch(value: Any) -> bool:
    """Tells whether something is a tensor of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_of(name: str, value: Any) -> Tensor | None:
    """Makes a tensor of an array, without a copy where its memory is in order; gives none if it is no array.

    Raises:
        TypeError: if it is an array of a dtype that the service does not know.
    """
    if is_torch(value):
        return _of_torch(name, value)
    if isinstance(value, np.generic) or not hasattr(value, "__array__"):
        return None
    return _of_numpy(name, np.asarray(value))


def tensors_of(fields: Mapping[str, Any]) -> dict[str, Tensor]:
    """Makes tensors of those fields that are arrays.

    Raises:
        TypeError: as `tensor_of`.
    """
    return {name: tensor for name, value in fields.items() if (tensor := tensor_of(name, value)) is not None}


def _of_numpy(name: str, array: Array) -> Tensor:
    datatype = Datatype.BF16 if array.dtype.name == BFLOAT16 else BY_NUMPY.get(array.dtype.name)
    if datatype is None:
        raise _unknown(name, array.dtype)
    if datatype is Datatype.BF16:
        array = np.ascontiguousarray(array).view(np.uint16)
    flat = np.ascontiguousarray(array, datatype.dtype).reshape(-1)
    return Tensor(datatype, array.shape, flat)


def _of_torch(name: str, tensor: Any) -> Tensor:
    torch = sys.modules["torch"]
    half = tensor.dtype is torch.bfloat16
    try:
        array = (tensor.contiguous().view(torch.int16) if half else tensor).numpy(force=True)
    except TypeError:
        raise _unknown(name, tensor.dtype) from None
    datatype = Datatype.BF16 if half else BY_DTYPE.get(array.dtype)
    if datatype is None:
        raise _unknown(name, tensor.dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    return Tensor(datatype, array.shape, flat.view(datatype.dtype) if half else flat)


def _unknown(name: str, dtype: object) -> TypeError:
    return TypeError(f"{name} has dtype {dtype}; expected one of {', '.join([*BY_NUMPY, BFLOAT16])}")


def array_of(tensor: Tensor, like: Any = None) -> Any:
    """Makes an array of numpy of a tensor, or one of torch, on the same device, if `like` is one of torch."""
    if is_torch(like):
        torch = sys.modules["torch"]
        if tensor.datatype is Datatype.BF16:
            made = torch.from_numpy(tensor.data.view(np.int16).reshape(tensor.shape)).view(torch.bfloat16)
        else:
            made = torch.from_numpy(tensor.data.reshape(tensor.shape))
        return made if like.is_cpu else made.to(like.device)
    if tensor.datatype is Datatype.BF16:  # numpy has none: the same numbers in float32
        return (tensor.data.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    return tensor.data.reshape(tensor.shape)
