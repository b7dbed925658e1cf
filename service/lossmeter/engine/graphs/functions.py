"""Operations that are no single function of torch: overloads, what Python does, and what torch would do otherwise."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossmeter.engine.graphs.kinds import WrongArgument, is_integer, is_number

MAX_DIFFERENCES = 8


def bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an operator whose result, if it is a number of Python, is kept within bounds."""

    def apply(*operands: Any) -> Any:
        result = function(*operands)
        if not isinstance(result, Tensor) and not is_number(result):
            raise WrongArgument("the result is no number that is kept exactly")
        return result

    return apply


def power(base: Any, exponent: Any) -> Any:
    """Raises to a power; numbers of Python as floats, whose size has an end."""
    if isinstance(base, Tensor) or isinstance(exponent, Tensor):
        return torch.pow(base, exponent)
    result = float(base) ** float(exponent)
    if isinstance(result, complex):
        raise WrongArgument("a negative number has no such power")
    return result


def subtract_reversed(first: Any, second: Any) -> Any:
    """Subtracts the first from the second."""
    return second - first


def most(values: Tensor, dim: Any, keepdim: bool) -> Any:
    """Returns the largest element; along a dimension, or of two tensors, as torch overloads it."""
    return _extreme(torch.max, torch.maximum, values, dim, keepdim)


def least(values: Tensor, dim: Any, keepdim: bool) -> Any:
    """Returns the smallest element, likewise."""
    return _extreme(torch.min, torch.minimum, values, dim, keepdim)


def _extreme(reduce: Any, compare: Any, values: Tensor, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Tensor):
        return compare(values, dim)
    if dim is None:
        return reduce(values)
    return tuple(reduce(values, dim, keepdim))


def get(values: Any, index: Any) -> Any:
    """Returns an element of several values, or a part of a tensor."""
    if isinstance(values, Tensor):
        if isinstance(index, tuple):  # in brackets, a list is an index of its own, and a tuple is all of them
            index = tuple(list(place) if isinstance(place, tuple) else place for place in index)
        return values[index]
    if not is_integer(index) and not isinstance(index, slice):
        raise WrongArgument("several values have a number or a slice as index")
    return values[index]


def attribute(values: Tensor, word: str) -> Any:
    """Returns what the table knows of a tensor by a word: its shape, its number of dimensions, itself transposed."""
    if word == "shape":
        return tuple(values.shape)
    if word == "ndim":
        return values.dim()
    if word == "dtype":
        return values.dtype
    return values.mT if word == "mT" or values.dim() == 2 else values.t()


def size(values: Tensor, dim: int | None) -> Any:
    """Returns the shape, or the size of one dimension."""
    return tuple(values.shape) if dim is None else values.size(dim)


def cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns a tensor in another dtype."""
    return values.to(dtype)


def squeeze(values: Tensor, dim: int | None) -> Tensor:
    """Removes dimensions of size 1."""
    return values.squeeze() if dim is None else values.squeeze(dim)


def spread(values: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: int | None) -> Tensor:
    """Returns a variance."""
    chosen = int(unbiased) if correction is None else correction
    return torch.var(values, dim, correction=chosen, keepdim=keepdim)


def deviation(values: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: int | None) -> Tensor:
    """Returns a standard deviation."""
    chosen = int(unbiased) if correction is None else correction
    return torch.std(values, dim, correction=chosen, keepdim=keepdim)


def reduced(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns a reduction that takes no dimension for all of them."""

    def apply(values: Tensor, dim: Any, keepdim: bool) -> Tensor:
        return function(values) if dim is None else function(values, dim, keepdim)

    return apply


def parted(values: Tensor, size_or_sizes: Any, dim: int) -> tuple[Tensor, ...]:
    """Splits a tensor; into at most 64 parts, which are counted before there are any."""
    if is_integer(size_or_sizes) and values.dim() and size_or_sizes > 0:
        parts = -(-values.size(dim) // size_or_sizes)
        if parts > 64:
            raise WrongArgument(f"there are {parts} parts; expected at most 64")
    return tuple(torch.split(values, size_or_sizes, dim))


def chunk(values: Tensor, chunks: int, dim: int) -> tuple[Tensor, ...]:
    """Splits a tensor into so many parts."""
    if not 0 < chunks <= 64:
        raise WrongArgument(f"chunks is {chunks}; expected a number from 1 to 64")
    return tuple(torch.chunk(values, chunks, dim))


def unbind(values: Tensor, dim: int) -> tuple[Tensor, ...]:
    """Takes a dimension apart."""
    if values.dim() and values.size(dim) > 64:
        raise WrongArgument(f"there are {values.size(dim)} parts; expected at most 64")
    return torch.unbind(values, dim)


def shaped(function: str) -> Callable[..., Tensor]:
    """Returns a method that takes sizes one by one, or as a list."""
    method = getattr(Tensor, function)

    def apply(values: Tensor, sizes: tuple[Any, ...]) -> Tensor:
        listed = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes
        if not all(map(is_integer, listed)) or len(listed) > 16:
            raise WrongArgument("the sizes are no integers, or more than 16")
        result: Tensor = method(values, *listed) if function != "permute" else values.permute(*listed)
        return result

    return apply


def pairs(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns a named tuple of torch as a plain one."""
    return tuple(values)


def topk(values: Tensor, k: int, dim: int, largest: bool, ordered: bool) -> tuple[Tensor, ...]:
    """Returns the largest elements and where they are."""
    return tuple(torch.topk(values, k, dim, largest, ordered))


def sort(values: Tensor, dim: int, descending: bool) -> tuple[Tensor, ...]:
    """Returns the elements in order, equal ones in theirs, and where they were."""
    return tuple(torch.sort(values, dim=dim, descending=descending, stable=True))


def differences(values: Tensor, n: int, dim: int) -> Tensor:
    """Returns what lies between neighbours, again and again; torch would go through the tensor as often as it is long."""
    if n > MAX_DIFFERENCES:
        raise WrongArgument(f"n is {n}; expected at most {MAX_DIFFERENCES}")
    return torch.diff(values, n, dim)


def made(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns what makes a tensor of a shape, in the precision of the call."""

    def apply(sizes: Any, *, device: Any, dtype: torch.dtype) -> Tensor:
        return function(sizes, device=device, dtype=dtype)

    return apply


def arange(first: int, stop: int | None, step: int, *, device: Any, dtype: torch.dtype) -> Tensor:  # noqa: ARG001
    """Counts."""
    start, end = (0, first) if stop is None else (first, stop)
    if not step or (end - start) / step > 1 << 31:
        raise WrongArgument("the range has no end, or more than 2147483648 numbers")
    return torch.arange(start, end, step, device=device)


def full(sizes: Any, fill_value: float, *, device: Any, dtype: torch.dtype) -> Tensor:
    """Fills a tensor with a number."""
    return torch.full(sizes, fill_value, device=device, dtype=dtype)


def same(values: Any) -> Any:
    """Returns the value itself, where torch would copy."""
    return values


def detached(values: Tensor) -> Tensor:
    """Returns a tensor through which no gradient flows."""
    return values.detach()


def inverted(values: Any) -> Any:
    """Inverts a boolean tensor."""
    if not isinstance(values, Tensor) or values.dtype != torch.bool:
        raise WrongArgument("~ takes a boolean tensor")
    return torch.logical_not(values)


def logical(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Returns an operator on boolean tensors."""

    def apply(first: Any, second: Any) -> Any:
        for one in (first, second):
            if not (isinstance(one, bool) or (isinstance(one, Tensor) and one.dtype == torch.bool)):
                raise WrongArgument("& and | take boolean tensors")
        return function(first, second)

    return apply


OPERATORS: dict[str, Callable[..., Any]] = {
    name: bounded(getattr(operator, name))
    for name in ("add", "sub", "mul", "truediv", "eq", "ne", "lt", "le", "gt", "ge")
}
