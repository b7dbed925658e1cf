"""Kinds of arguments: what may stand in each place of an operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MAX_DIMENSIONS = 16
MAX_ITEMS = 64
"""Items of one argument: tensors to join, say."""
MAX_NUMBER = 1 << 53
"""Integers beyond are none that a float64 tells apart."""

DTYPES = {
    "float32": torch.float32,
    "float": torch.float32,
    "float64": torch.float64,
    "double": torch.float64,
    "int64": torch.int64,
    "long": torch.int64,
    "bool": torch.bool,
}


class WrongArgument(Exception):
    """Says what is wrong with an argument, or with a node as a whole."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of argument.

    Attributes:
        name: as a message has it.
        fits: tells whether a value is of it.
        words: the texts that are values of their own, and no names of nodes.
    """

    name: str
    fits: Callable[[Any], bool]
    words: tuple[str, ...] = ()


def is_number(value: Any) -> bool:
    """Tells whether a value is a number of Python, not too large to be told from others."""
    return isinstance(value, bool | float) or is_integer(value)


def is_integer(value: Any) -> bool:
    """Tells whether a value is an integer of Python, and no boolean."""
    return type(value) is int and abs(value) <= MAX_NUMBER


def is_tensor(value: Any) -> bool:
    """Tells whether a value is a tensor."""
    return isinstance(value, torch.Tensor)


def _integers(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MAX_DIMENSIONS and all(map(is_integer, value))


def _dimension(value: Any) -> bool:
    return is_integer(value) and abs(value) <= MAX_DIMENSIONS


def _dimensions(value: Any) -> bool:
    return _dimension(value) or (_integers(value) and all(map(_dimension, value)))


def _tensors(value: Any) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= MAX_ITEMS and all(map(is_tensor, value))


def _place(value: Any) -> bool:
    """Tells whether a value is one item of an index."""
    if isinstance(value, slice):
        return all(part is None or is_integer(part) for part in (value.start, value.stop, value.step))
    whole = is_tensor(value) and value.dtype == torch.int64
    return value is None or value is Ellipsis or is_integer(value) or whole or _integers(value)


def _index(value: Any) -> bool:
    return _place(value) or (
        isinstance(value, list | tuple) and len(value) <= MAX_DIMENSIONS and all(map(_place, value))
    )


KINDS = {
    kind.name: kind
    for kind in (
        Kind("tensor", is_tensor),
        Kind("value", lambda value: is_tensor(value) or is_number(value)),
        Kind("number", is_number),
        Kind("integer", is_integer),
        Kind("boolean", lambda value: isinstance(value, bool)),
        Kind("dimension", _dimension),
        Kind("dimensions", _dimensions),
        Kind("sizes", _integers),
        Kind("parts", lambda value: is_integer(value) or _integers(value)),
        Kind("tensors", _tensors),
        Kind("index", _index),
        Kind("dtype", lambda value: isinstance(value, torch.dtype), tuple(DTYPES)),
        Kind("several", lambda value: isinstance(value, tuple | list | torch.Tensor) and not isinstance(value, str)),
        Kind("any", lambda _: True),
    )
}


def kind(text: str) -> Kind:
    """Returns a kind by its name; texts between bars are one that has these words: `mean|sum|none`."""
    if "|" in text:
        words = tuple(text.split("|"))
        return Kind(" or ".join(words), lambda value: value in words if isinstance(value, str) else False, words)
    return KINDS[text]
