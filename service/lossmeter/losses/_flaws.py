"""Checks that several losses share: they find the first element that is wrong, and say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmeter.errors import Flaw, pointer


def element(name: str, tensor: Tensor, offending: Tensor, expected: str) -> Iterator[Flaw]:
    """The flaw of the first element of `tensor` that is offending, if there is one."""
    if bool(offending.any()):
        # torch's own unravel_index imports sympy when it is first called, which takes half a second.
        first = int(offending.flatten().to(torch.uint8).argmax())
        index = tuple(int(position) for position in np.unravel_index(first, tuple(offending.shape)))
        subject = f"{name}{list(index)}" if index else name
        yield Flaw(pointer(name), f"{subject} is {tensor[index].numpy()[()]!s}; expected {expected}.", index)


def classes(name: str, tensor: Tensor) -> Iterator[Flaw]:
    """The flaw of logits or log-probabilities (N, C, …) or (C) that have no classes at all."""
    if tensor.shape[min(1, tensor.ndim - 1)] == 0:
        yield Flaw(pointer(name), f"{name} has shape {list(tensor.shape)}; expected at least one class.")


def positive(arguments: Mapping[str, Any], *names: str) -> Iterator[Flaw]:
    """The flaws of tensors that hold a number which is not above 0."""
    for name in names:
        yield from element(name, arguments[name], ~(arguments[name] > 0), "a number above 0")


def variances(arguments: Mapping[str, Any]) -> Iterator[Flaw]:
    """The flaw of variances whose shape is none of those that torch takes for `gaussian_nll`."""
    shape, variance = arguments["predictions"].shape, arguments["variance"].shape
    if variance in (shape, shape[:-1]):
        return
    # Shapes that broadcast in other ways would pair variances with the wrong elements, and torch refuses them.
    different = [size for size, expected in zip(variance, shape, strict=False) if size != expected]
    if len(variance) != len(shape) or different != [1]:
        expected = f"{list(shape)}, the same with one size 1, or {list(shape[:-1])}"
        yield Flaw("/variance", f"variance has shape {list(variance)}; expected {expected}.")
