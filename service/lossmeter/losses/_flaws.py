"""What the checks of several losses have in common: finding the first element that is wrong, and saying so."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lossmeter.errors import Flaw, pointer


def element(name: str, tensor: Tensor, offending: Tensor, expected: str) -> Iterator[Flaw]:
    """The flaw of the first element of `tensor` that is offending, if there is one."""
    if bool(offending.any()):
        place = torch.unravel_index(offending.flatten().to(torch.uint8).argmax(), offending.shape)
        index = tuple(int(position) for position in place)
        subject = f"{name}{list(index)}" if index else name
        yield Flaw(pointer(name), f"{subject} is {tensor[index].numpy()[()]!s}; expected {expected}.", index)


def classes(name: str, tensor: Tensor) -> Iterator[Flaw]:
    """The flaw of logits or log-probabilities (N, C, …) or (C) that have no classes at all."""
    if tensor.shape[min(1, tensor.ndim - 1)] == 0:
        yield Flaw(pointer(name), f"{name} has shape {list(tensor.shape)}; expected at least one class.")
