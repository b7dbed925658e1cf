"""Defines a tensor as it stands on the wire: datatype, shape and numbers. Needs nothing but numpy: clients import it too.

The datatypes are those of the Open Inference Protocol v2.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Datatype(enum.Enum):
    """Pairs a datatype with its numpy counterpart; BF16, which numpy lacks, is carried as its bit patterns."""

    BOOL = ("boolean", "<?")
    UINT8 = ("index", "<u1")
    INT8 = ("index", "<i1")
    INT16 = ("index", "<i2")
    INT32 = ("index", "<i4")
    INT64 = ("index", "<i8")
    FP16 = ("floating", "<f2")
    BF16 = ("floating", "<u2")
    FP32 = ("floating", "<f4")
    FP64 = ("floating", "<f8")

    def __init__(self, kind: str, code: str) -> None:
        self.kind = kind
        self.dtype: np.dtype[Any] = np.dtype(code)
        self.size = self.dtype.itemsize

    @property
    def binary_only(self) -> bool:
        """Tells whether only the binary forms carry it."""
        return self in (Datatype.FP16, Datatype.BF16)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Holds a tensor of a request or of an answer.

    Attributes:
        datatype: of `data`.
        shape: sizes of the dimensions; their product is the length of `data`.
        data: the elements, flat and row-major.
        declared: false for nested JSON arrays, whose numbers take the datatype of their role.
    """

    datatype: Datatype
    shape: tuple[int, ...]
    data: Array
    declared: bool = True

    @property
    def bits(self) -> Array:
        """Views the elements as little-endian bytes."""
        return np.ascontiguousarray(self.data).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Texts:
    """Holds texts in the place of class indices.

    Attributes:
        shape: sizes of the dimensions; their product is the length of `data`.
        data: the texts, flat and row-major.
    """

    shape: tuple[int, ...]
    data: Sequence[str]


def as_mask(tensor: Tensor) -> Tensor | None:
    """Returns a mask as booleans, if it has no other numbers than 0 and 1; None if it has."""
    if tensor.datatype.kind != "index":
        return tensor
    whole = not len(tensor.data) or (tensor.data.min() >= 0 and tensor.data.max() <= 1)
    return Tensor(Datatype.BOOL, tensor.shape, tensor.data.astype(np.bool_), tensor.declared) if whole else None


def load(tensor: Tensor, dtype: np.dtype[Any]) -> Array:
    """Returns the elements, flat, in another datatype; without a copy where it is that one already."""
    array = tensor.data
    if tensor.datatype is Datatype.BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)  # the upper half of float32
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):  # what overflows float32 becomes infinite, and is reported as such
        return array.astype(dtype)


def elements(shape: tuple[int, ...]) -> int:
    """Counts the elements of a tensor of that shape."""
    return math.prod(shape)


def coordinates(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Computes the index, dimension by dimension, of the element at a row-major position."""
    index = []
    for size in reversed(shape):
        position, remainder = divmod(position, size)
        index.append(remainder)
    return tuple(reversed(index))


def brackets(index: tuple[int, ...]) -> str:
    """Writes an index as it stands after a name: `[17, 3]`, or nothing for a scalar."""
    return f"[{', '.join(map(str, index))}]" if index else ""
