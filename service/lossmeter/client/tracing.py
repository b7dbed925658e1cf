"""Traces a function of torch into a loss that the service computes: a graph of operations, as data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import _get_qualified_name

from lossmeter.client.traced import TracedLoss

FORMAT = 1
ALIASES = {
    "_operator.": "operator.",
    "torch._C._nn.": "torch.nn.functional.",
    "torch._C._special.special_": "torch.special.",
    "torch.functional.": "torch.",
}
"""Where torch and Python keep functions that have another name in public."""


def trace(function: Callable[..., Tensor]) -> TracedLoss:
    """Traces a function, and returns it as a loss for `Client.loss` and `RemoteLoss`.

        def loss(predictions, labels):
            error = predictions - labels
            return torch.where(error < 0, 3 * error.square(), error.square())

        criterion = RemoteLoss(trace(loss))

    The function is called once, with stand-ins for tensors: it may not branch on numbers, nor on shapes. What torch's
    operations make of its arguments becomes the graph; tensors that it captures travel along with each request.

    Args:
        function: of tensors, named as the request names them, to the unreduced loss. An argument whose default is a number
            may be left out.

    Raises:
        ValueError: if torch.fx cannot trace it, or it uses what the service cannot be sent.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        traced = fx.symbolic_trace(function)
    except Exception as error:
        raise ValueError(f"{name} cannot be traced by torch.fx: {error}") from error
    constants: dict[str, Tensor] = {}
    nodes = [_node(name, node, traced, constants) for node in traced.graph.nodes]
    roles = tuple(node["target"] for node in nodes if node["op"] == "placeholder" and node["target"] not in constants)
    return TracedLoss(name, {"format": FORMAT, "nodes": nodes}, roles, constants)


def _node(name: str, node: fx.Node, traced: fx.GraphModule, constants: dict[str, Tensor]) -> dict[str, Any]:
    if node.op == "get_attr":
        captured = getattr(traced, str(node.target), None)
        if not isinstance(captured, Tensor):
            raise ValueError(f"{name} captures {node.target}, which is no tensor")
        constants[node.name] = captured.detach()
        return {"op": "placeholder", "name": node.name, "target": node.name}
    if node.op == "call_module":
        raise ValueError(f"{name} calls the module {node.target}; take its function in torch.nn.functional")
    target = str(node.target)
    if callable(node.target):
        target = _get_qualified_name(node.target)
        target = "builtins.getattr" if target == "getattr" else target
        for alias, proper in ALIASES.items():
            if target.startswith(alias):
                target = proper + target.removeprefix(alias)
    args = [_argument(name, value) for value in node.args]
    kwargs = {key: _argument(name, value) for key, value in node.kwargs.items()}
    return {"op": node.op, "name": node.name, "target": target, "args": args, "kwargs": kwargs}


def _argument(name: str, value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"ref": value.name}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_argument(name, one) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [_argument(name, one) for one in value]}
    if isinstance(value, dict):
        return {"dict": {key: _argument(name, one) for key, one in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_argument(name, one) for one in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise ValueError(f"{name} passes a {type(value).__name__}, which cannot be sent to the service")
