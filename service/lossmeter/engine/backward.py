"""Forward and backward pass by way of autograd: `torch.autograd.grad` without what it does in Python around the engine.

For a small batch those checks of shapes and subclasses take as long as the derivative itself, and here the engine has made all
tensors itself. A version of torch whose engine is called otherwise falls back to the public function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Gradients = tuple[torch.Tensor | None, ...]


def differentiate(
    function: Callable[..., torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    parameters: Mapping[str, Any],
    wanted: Sequence[str],
    inflow: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, Gradients]:
    """Returns the values of a function, and the gradients of the tensors that are wanted.

    Args:
        function, tensors, parameters: the function, and what it is called with.
        wanted: names of tensors; one that the values do not depend on has no gradient.
        inflow: the gradient of the values, given the values.
    """
    arguments = dict(tensors)
    for name in wanted:
        arguments[name] = arguments[name].detach().requires_grad_()
    values = function(**arguments, **parameters)
    plain = values.detach()
    if not wanted or not values.requires_grad:
        return plain, (None,) * len(wanted)
    return plain, gradients(values, [arguments[name] for name in wanted], inflow(plain))


def public(values: torch.Tensor, inputs: Sequence[torch.Tensor], inflow: torch.Tensor) -> Gradients:
    """Returns gradients of the inputs, given that of the values; None for an input that the values do not depend on."""
    return tuple(torch.autograd.grad(values, inputs, inflow, allow_unused=True))


def direct(values: torch.Tensor, inputs: Sequence[torch.Tensor], inflow: torch.Tensor) -> Gradients:
    """Returns the same, straight from the engine of autograd."""
    run: Any = torch.autograd.Variable._execution_engine.run_backward
    result: Gradients = run(
        (values,), (inflow,), False, False, tuple(inputs), allow_unreachable=True, accumulate_grad=False
    )
    return result


def _works() -> bool:
    leaf = torch.tensor([3.0], requires_grad=True)
    try:
        (gradient,) = direct(leaf * leaf, [leaf], torch.ones(1))
    except (AttributeError, TypeError, RuntimeError):
        return False
    return gradient is not None and leaf.grad is None and gradient.item() == 6.0


gradients = direct if _works() else public
