"""Objectives through the client: results that are torch's, one request for a step of training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossmeter.client import AsyncClient, Client, InvalidRequest, RemoteObjective

LABELS = torch.tensor([0, 2, 1, 1, 0, 2])
WEIGHTS = torch.tensor([1.0, 2.0, 0.5])
TERMS: list[Any] = [
    {"loss": "cross_entropy", "weight": 0.7, "parameters": {"weight": WEIGHTS}},
    {"loss": "z_loss", "weight": 1e-2},
]


def logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()


def local(given: torch.Tensor) -> torch.Tensor:
    return 0.7 * F.cross_entropy(given, LABELS, WEIGHTS) + 1e-2 * given.logsumexp(1).square().mean()


@pytest.mark.parametrize("wire", ["safetensors", "json"])
def test_values_and_gradients_are_those_of_torch_in_every_format(url: str, wire: Any) -> None:
    given = logits()
    with Client(url, wire=wire) as client:
        result = client.objective(TERMS, predictions=given.detach(), labels=LABELS, gradients="predictions")
    (expected,) = torch.autograd.grad(local(given), given)
    assert result.value == pytest.approx(local(given).item(), rel=1e-6)
    torch.testing.assert_close(result.gradients["predictions"], expected)
    assert [(term.loss, term.weight) for term in result.losses] == [("cross_entropy", 0.7), ("z_loss", 1e-2)]
    assert all(term.gradient_norm["predictions"] > 0 for term in result.losses)


async def asked(url: str) -> float:
    async with AsyncClient(url) as client:
        result = await client.objective(["mse", "mae"], predictions=np.array([1.0, 2.0]), labels=np.zeros(2))
    return result.value


def test_the_client_for_asyncio_asks_alike(url: str) -> None:
    import asyncio

    assert asyncio.run(asked(url)) == 4.0


def test_a_remote_objective_trains_by_one_request(client: Client) -> None:
    given = logits()
    criterion = RemoteObjective(TERMS, client=client)
    loss = criterion(predictions=given, labels=LABELS)
    torch.testing.assert_close(loss, local(given))
    (found,) = torch.autograd.grad(3 * loss, given)
    (expected,) = torch.autograd.grad(3 * local(given), given)
    torch.testing.assert_close(found, expected)
    assert criterion.result is not None
    assert criterion.result.gradients == {}
    assert [term.loss for term in criterion.result.losses] == ["cross_entropy", "z_loss"]
    with pytest.raises(TypeError, match="no tensor was given"):
        criterion()
    with pytest.raises(TypeError, match="2 tensors have no name; expected predictions="):
        criterion(given, LABELS)
    with pytest.raises(TypeError, match="expected a list of terms"):
        RemoteObjective(TERMS[0], client=client)


def test_what_is_not_finite_is_not_finite_here_too(client: Client) -> None:
    nothing = client.objective(["mse"], predictions=np.ones(1), labels=np.zeros(1), mask=np.array([False]))
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.losses[0].value)


def test_a_refusal_points_into_the_objective(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.objective([{"loss": "focal", "gamma": -1.0}], predictions=np.ones((1, 2)), labels=np.array([0]))
    assert caught.value.errors[0].pointer == "/losses/0/gamma"
