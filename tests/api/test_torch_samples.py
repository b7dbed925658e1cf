"""PyTorch's own samples for its loss modules give the same value and gradients over HTTP, as far as HTTP can express them."""

from __future__ import annotations

import base64
import sys
import types
import unittest
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from lossmeter.losses import LOSSES, Loss, find
from tests.support.loops import for_each

DATATYPES = {torch.float64: "FP64", torch.int64: "INT64", torch.int32: "INT32"}


@cache
def modules() -> dict[str, Any]:
    """Torch's loss modules, with the samples of each; half of torch is imported for them, which no other test needs."""
    if "expecttest" not in sys.modules:  # a base class of test cases, which torch's samples name and do not use
        sys.modules["expecttest"] = types.ModuleType("expecttest")
        sys.modules["expecttest"].TestCase = unittest.TestCase  # type: ignore[attr-defined]
    from torch.testing._internal.common_modules import module_db

    named = {info.module_cls.__name__: info for info in module_db}
    return {name: info for name, info in named.items() if name.endswith("Loss")}


def wired(tensor: torch.Tensor) -> dict[str, Any]:
    bits = tensor.detach().contiguous().numpy().tobytes()
    return {
        "datatype": DATATYPES[tensor.dtype],
        "shape": list(tensor.shape),
        "base64": base64.b64encode(bits).decode("ascii"),
    }


def plain(answer: dict[str, Any]) -> np.ndarray:
    return np.array([np.nan if x is None else x for x in answer["data"]]).reshape(answer["shape"])


def request_of(loss: Loss, sample: Any, tensors: Iterable[torch.Tensor]) -> dict[str, Any]:
    """The body that says what the module and its inputs do."""
    body: dict[str, Any] = {"out_of_domain": "allow", "non_finite": "allow"}
    body |= {role.name: wired(tensor) for role, tensor in zip(loss.roles, tensors, strict=False)}
    for name, value in sample.constructor_input.kwargs.items():
        if name not in NOT_OF_LOSSES:
            body[name] = wired(value) if isinstance(value, torch.Tensor) else value
    return body


NOT_OF_LOSSES = ("device", "dtype", "options", "out_features", "bias")
"""Arguments of modules that say where and how torch computes, and which linear layer a module has."""


def expressible(sample: Any) -> bool:
    """Whether a loss can say it; nothing differs where `options` cut the work into pieces, and a loss has one linear layer."""
    given = sample.constructor_input.kwargs
    return given.get("options") is None and not given.get("out_features")


def inputs_of(sample: Any) -> list[Any]:
    """The inputs of the module; those that torch derives from each other, as a target from its input, by themselves."""
    return [
        one.detach().clone().requires_grad_(one.requires_grad) if isinstance(one, torch.Tensor) else one
        for one in sample.forward_input.args
    ]


@pytest.mark.filterwarnings("ignore:reduction. .mean. divides")  # torch says so of every KLDivLoss
@for_each("info", modules)
def test_value_and_gradients_of_the_samples_are_those_of_the_module(http: httpx.Client, info: Any) -> None:
    name = info.module_cls.__name__
    loss = find(name)
    torch.manual_seed(7)
    made = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=True)
    compared = 0
    for sample in filter(expressible, made):
        inputs = inputs_of(sample)
        module = info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs)
        # Its linear layer, which is a tensor of the loss, lies in the module.
        kept = [module.linear.weight] if name == "LinearCrossEntropyLoss" else []
        tensors = [
            one if isinstance(one, torch.Tensor) else torch.tensor(one) for one in (inputs[0], *kept, *inputs[1:])
        ]
        body = request_of(loss, sample, tensors)
        if kept and module.linear.bias is not None:
            body["bias"] = wired(module.linear.bias)
        wanted = [role.name for role, one in zip(loss.roles, tensors, strict=False) if one.requires_grad]
        body["gradients"] = [one for one in wanted if one in loss.differentiable]
        result = module(*inputs)
        named = dict(zip((role.name for role in loss.roles), tensors, strict=False))
        gradients = torch.autograd.grad(result.sum(), [named[one] for one in body["gradients"]], allow_unused=True)
        response = http.post(f"/v1/losses/{name}", json=body)
        assert response.status_code == 200, (sample.desc, response.json()["detail"])
        answer = response.json()
        assert answer["precision"] == "float64"
        pairs = [(plain(answer["gradients"][one]), g) for one, g in zip(body["gradients"], gradients, strict=True)]
        if body.get("reduction") == "none":
            pairs.append((plain(answer["values"]), result))
            for found, expected in pairs:
                np.testing.assert_array_equal(found, expected.detach().numpy(), err_msg=sample.desc)
        else:
            pairs.append((np.array(np.nan if answer["value"] is None else answer["value"]), result))
            for found, expected in pairs:
                np.testing.assert_allclose(
                    found, expected.detach().numpy(), rtol=1e-13, atol=1e-15, err_msg=sample.desc
                )
        compared += 1
    assert compared >= 4


def test_the_samples_are_those_of_the_losses_of_the_catalogue() -> None:
    assert len(modules()) >= 19
    assert all(LOSSES.knows(name) for name in modules())
