"""The logistic function and powers of it, so that a batch in pieces gives the bits of the whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-x)). torch's own rounds the last few elements of a tensor in another way than those before them."""
    return F.logsigmoid(logits).exp()


POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    0: torch.ones_like,
    1: lambda probabilities: probabilities,
    2: torch.square,
    3: lambda probabilities: probabilities.square() * probabilities,
    4: lambda probabilities: probabilities.square().square(),
}
"""Powers as products, a quarter of the time that exponential and logarithm take."""


def power(probabilities: Tensor, exponent: float) -> Tensor:
    """Probabilities to a power of at least 0, whose derivative at 0 is finite where the exponent is below 1."""
    if exponent in POWERS:
        return POWERS[exponent](probabilities)
    # The logarithm ends at the smallest normal number; what lies below belongs to a loss as small.
    return torch.exp(exponent * probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log())
