"""Values that no kernel may see: indices out of range, integers that cannot be divided, what is no probability.

On a GPU an index out of range ends the process for everybody, so it is looked at first.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lossmeter.engine.graphs.kinds import WrongArgument


def in_range(index: Tensor, size: int, *, low: int = 0, name: str = "index") -> None:
    """Refuses indices outside of [low, size)."""
    if index.is_meta or not index.numel():
        return
    least, most = int(index.min()), int(index.max())
    if least < low or most >= size:
        wrong = least if least < low else most
        raise WrongArgument(f"{name} has {wrong}; expected integers in [{low}, {size - 1}]")


def integers(index: Tensor, name: str = "index") -> None:
    """Refuses indices that are no integers, and says how they come to be some."""
    if index.dtype != torch.int64:
        raise WrongArgument(
            f"{name} is {str(index.dtype).removeprefix('torch.')}; expected int64: give that tensor with the datatype INT64, "
            "or apply long()"
        )


def along(values: Tensor, dim: int, index: Tensor) -> None:
    """Checks the index of gather and index_select."""
    integers(index)
    in_range(index, values.shape[dim] if values.dim() else 1)


def take_along(values: Tensor, indices: Tensor, dim: int | None) -> None:
    """Checks the indices of take_along_dim."""
    integers(indices, "indices")
    in_range(indices, values.numel() if dim is None else values.shape[dim], name="indices")


def item(values: Any, index: Any) -> None:
    """Checks an index between brackets."""
    if not isinstance(values, Tensor):
        return
    places = index if isinstance(index, tuple | list) else (index,)
    dims = [place for place in places if place is not None]
    dim, skipped = 0, values.dim() - sum(place is not Ellipsis for place in dims)
    for place in dims:
        if isinstance(place, Tensor):
            if dim >= values.dim():
                raise WrongArgument(f"there are more indices than the {values.dim()} dimensions of the tensor")
            in_range(place, values.shape[dim], low=-values.shape[dim])
        elif isinstance(place, tuple) and dim < values.dim():
            size = values.shape[dim]
            if not all(-size <= one < size for one in place):
                raise WrongArgument(f"index has {max(place, key=abs)}; expected integers in [{-size}, {size - 1}]")
        dim += skipped if place is Ellipsis else 1


def floating(*operands: Any) -> None:
    """Refuses operands that are all integers: dividing those by 0, or the least by -1, stops a processor."""
    if not any(isinstance(x, float) or (isinstance(x, Tensor) and x.is_floating_point()) for x in operands):
        raise WrongArgument("all operands are integers; expected a floating one (apply float() or double())")


def division(first: Any, second: Any, rounding_mode: str | None = None) -> None:
    """Checks the operands of a division that rounds."""
    if rounding_mode is not None:
        floating(first, second)


def same_shape(first: Tensor, second: Tensor, *_: Any) -> None:
    """Refuses tensors of different shapes, which torch would broadcast with a warning."""
    if first.shape != second.shape:
        raise WrongArgument(
            f"the shapes {list(first.shape)} and {list(second.shape)} differ; nothing is broadcast here"
        )


def classes(values: Tensor, target: Tensor, _: Any, ignore_index: int = -100, *__: Any) -> None:
    """Checks labels that are indices of classes."""
    if target.is_floating_point():
        return
    integers(target, "target")
    kept = target if target.is_meta else target[target != ignore_index]
    in_range(kept, values.shape[0 if values.dim() == 1 else 1] if values.dim() else 0, name="target")


def probabilities(values: Tensor, target: Tensor, *_: Any) -> None:
    """Refuses what is outside of [0, 1]."""
    same_shape(values, target)
    for name, tensor in (("input", values), ("target", target)):
        if not tensor.is_floating_point():
            raise WrongArgument(f"{name} holds no floating numbers")
        if tensor.is_meta or not tensor.numel():
            continue
        least, most = float(tensor.detach().min()), float(tensor.detach().max())
        if not (least >= 0 and most <= 1) and not math.isnan(least):
            raise WrongArgument(f"{name} is in [{least:g}, {most:g}]; expected probabilities")
        if math.isnan(least):
            raise WrongArgument(f"{name} has NaN; expected probabilities")


def one_hot(values: Tensor, num_classes: int) -> None:
    """Checks indices that become rows."""
    integers(values, "input")
    if num_classes < 1:
        raise WrongArgument(f"num_classes is {num_classes}; expected a number of at least 1")
    in_range(values, num_classes, name="input")
