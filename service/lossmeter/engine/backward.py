"""The backward pass: `torch.autograd.grad` without what it does in Python around the engine.

For a small batch those checks of shapes and subclasses take as long as the derivative itself, and here the engine has made all
tensors itself. A version of torch whose engine is called otherwise falls back to the public function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Gradients = tuple[torch.Tensor | None, ...]


def public(values: torch.Tensor, inputs: Sequence[torch.Tensor], inflow: torch.Tensor) -> Gradients:
    """Gradients of the inputs, given that of the values; none for an input that the values do not depend on."""
    return tuple(torch.autograd.grad(values, inputs, inflow, allow_unused=True))


def direct(values: torch.Tensor, inputs: Sequence[torch.Tensor], inflow: torch.Tensor) -> Gradients:
    """The same, straight from the engine of autograd."""
    run: Any = torch.autograd.Variable._execution_engine.run_backward
    found: Gradients = run(
        (values,), (inflow,), False, False, tuple(inputs), allow_unreachable=True, accumulate_grad=False
    )
    return found


def _works() -> bool:
    leaf = torch.tensor([3.0], requires_grad=True)
    try:
        (gradient,) = direct(leaf * leaf, [leaf], torch.ones(1))
    except (AttributeError, TypeError, RuntimeError):
        return False
    return gradient is not None and leaf.grad is None and gradient.item() == 6.0


gradients = direct if _works() else public
