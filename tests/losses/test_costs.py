"""Losses take what they declare: memory and operations, as they are counted while torch computes."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest

from lossmeter.cost import TEXT_BYTES
from lossmeter.engine import Engine
from lossmeter.losses import LOSSES, Loss
from tests.support.costs import call_of, least, operations, peak_bytes, sizes_of

LEAST_BYTES = 150_000
"""Peaks below these are fixed overhead, which does not grow with the shape."""
ENGINE = Engine("cpu", chunk_elements=1 << 40)
every_loss = pytest.mark.parametrize("loss", [pytest.param(loss, id=name) for name, loss in LOSSES.items()])


@every_loss
def test_memory_and_operations_are_those_that_the_loss_declares(loss: Loss) -> None:
    for sizes in sizes_of(loss):
        call = call_of(loss, sizes)
        cost = ENGINE.check(call).plan.cost
        text = TEXT_BYTES * sum(len(call.tensors[name].data) for name in call.gradients)
        declared = cost.memory - text
        measured = least(lambda call=call: peak_bytes(lambda: ENGINE.compute(call)), enough=2 * declared)  # type: ignore[misc]
        assert measured < LEAST_BYTES or declared / 2 <= measured <= 2 * declared, (sizes, measured, declared)
        counted = operations(lambda call=call: ENGINE.compute(call))  # type: ignore[misc]
        assert cost.operations / 2 <= counted <= 2 * cost.operations, (sizes, counted, cost.operations)


def test_a_wrong_declaration_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = LOSSES["barron"]
    for name, value in (("copies", 2), ("sweeps", 1), ("copies", 40), ("sweeps", 900)):
        with monkeypatch.context() as changed:
            _declare(changed, loss, name, value)
            with pytest.raises(AssertionError):
                test_memory_and_operations_are_those_that_the_loss_declares(loss)


def test_what_another_thread_takes_meanwhile_is_measured_again() -> None:
    others = [Thread(target=lambda: bytearray(1 << 20))]

    def compute() -> None:
        for thread in others:
            thread.start()
            thread.join()
        others.clear()

    assert least(lambda: peak_bytes(compute), enough=1 << 19) < 1 << 19
    assert not others


def _declare(changed: pytest.MonkeyPatch, loss: Loss, name: str, value: Any) -> None:
    ENGINE.plans._plans.clear()
    changed.setitem(vars(loss), name, value)


@pytest.fixture(autouse=True)
def forget_plans() -> Any:
    yield
    ENGINE.plans._plans.clear()
