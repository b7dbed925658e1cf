"""A network trained through a remote loss ends with the weights of one trained in process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossmeter.client import Client, RemoteLoss

STEPS, BATCH = 20, 30
"""The batch is no power of two, so that dividing by it rounds."""

Criterion = Callable[..., Tensor]
Labels = Callable[[], Tensor]

CLASSES: Labels = lambda: torch.randint(4, (BATCH,))  # noqa: E731
VALUES: Labels = lambda: torch.randn(BATCH, 4)  # noqa: E731
SIGNS: Labels = lambda: torch.randint(2, (BATCH, 4)) * 2.0 - 1  # noqa: E731

LESSONS: dict[str, tuple[Criterion, Labels, dict[str, Any]]] = {
    "cross_entropy": (F.cross_entropy, CLASSES, {"label_smoothing": 0.1}),
    "multi_margin": (F.multi_margin_loss, CLASSES, {"p": 2}),
    "mse": (F.mse_loss, VALUES, {}),
    "huber": (F.huber_loss, VALUES, {"delta": 0.5}),
    "soft_margin": (F.soft_margin_loss, SIGNS, {}),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, lambda: VALUES().sigmoid(), {}),
}


def train(criterion: Criterion, labels: Labels, reduction: str) -> tuple[list[float], list[Tensor]]:
    """The loss of every step, and the weights in the end."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    curve = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = criterion(network(torch.randn(BATCH, 8)), labels(), reduction=reduction).mean()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve, [parameter.detach() for parameter in network.parameters()]


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("loss", LESSONS)
def test_the_weights_are_the_same(client: Client, loss: str, reduction: str) -> None:
    local, labels, parameters = LESSONS[loss]
    curve, weights = train(RemoteLoss(loss, client=client, **parameters), labels, reduction)
    expected_curve, expected_weights = train(
        lambda predictions, labels, reduction: local(predictions, labels, reduction=reduction, **parameters),
        labels,
        reduction,
    )
    if reduction == "none":
        assert curve == expected_curve
    if reduction == "mean":  # its gradients agree to the last digit or two
        torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-6)
    else:
        assert all(map(torch.equal, weights, expected_weights))
    torch.testing.assert_close(curve, expected_curve, rtol=1e-6, atol=0)


def test_the_comparison_can_fail(client: Client) -> None:
    _, weights = train(RemoteLoss("huber", client=client, delta=0.5), VALUES, "mean")
    _, others = train(RemoteLoss("huber", client=client, delta=0.6), VALUES, "mean")
    with pytest.raises(AssertionError):
        torch.testing.assert_close(weights, others, rtol=0, atol=1e-6)
