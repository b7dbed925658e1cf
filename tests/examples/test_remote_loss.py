"""A plain loop with a remote loss learns, and is evaluated correctly."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from lossmeter.client import Client, RemoteLoss


def test_the_digits_are_learned(
    example: Callable[[str], ModuleType], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    remote_loss = example("remote_loss")
    with Client(url) as client:
        found = remote_loss.investigate(client)
        network, _ = remote_loss.train(RemoteLoss("focal", client=client, gamma=2.0), remote_loss.digits()[0])
    inputs, labels = remote_loss.digits()[1]
    with torch.no_grad():
        logits = network(inputs)
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert found.f1 == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))
    assert found.accuracy > 0.9
    assert found.loss == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-6)
    assert found.of_means != pytest.approx(found.loss, rel=1e-6)
    remote_loss.tell(found)
    assert f"{found.loss:.6f}" in " ".join(capsys.readouterr().out.split())
