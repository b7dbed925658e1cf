"""Training over HTTP is training: the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import pytest
import torch


@pytest.fixture(scope="module")
def remote_training(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("remote_training")


@pytest.fixture(scope="module")
def found(remote_training: ModuleType, http: httpx.Client) -> Any:
    return remote_training.investigate(http)


def test_the_curves_are_equal_number_for_number(remote_training: ModuleType, found: Any) -> None:
    assert set(found) == {lesson.loss for lesson in remote_training.LESSONS}
    for curves in found.values():
        assert len(curves.remote) == remote_training.STEPS
        assert curves.remote == curves.local
        assert all(map(torch.equal, curves.remote_weights, curves.local_weights))


def test_something_is_learned(found: Any) -> None:
    for curves in found.values():
        assert curves.remote[-1] < curves.remote[0] / 2


def test_another_loss_gives_another_curve(remote_training: ModuleType, http: httpx.Client) -> None:
    first, *_ = remote_training.LESSONS
    plain = remote_training.Lesson("digits", first.data, first.outputs, first.loss, first.torch_loss)
    smoothed, _ = remote_training.train(first, remote_training.local_loss(first))
    remote, _ = remote_training.train(plain, remote_training.remote_loss(http, plain))
    assert remote != smoothed


def test_the_findings_are_told(remote_training: ModuleType, found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    remote_training.tell(found)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    remote = [line[2:] for line in lines if line[:2] == ["over", "HTTP"]]
    local = [line[2:] for line in lines if line[:2] == ["in", "process"]]
    assert len(remote) == len(found)
    assert remote == local
