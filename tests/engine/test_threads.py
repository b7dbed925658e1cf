"""Short work has one thread of torch, long work those that were set, and other threads keep theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lossmeter.engine import Call, Engine
from lossmeter.engine.threads import Threads
from lossmeter.losses import find
from tests.engine.test_together import mse

counts: list[int] = []


def counting(predictions: Tensor, labels: Tensor) -> Tensor:
    counts.append(torch.get_num_threads())
    return find("mse").function(predictions=predictions, labels=labels)


def call(rows: int) -> Call:
    return replace(mse(rows, columns=64), loss=replace(find("mse"), function=counting))


@pytest.fixture
def engine() -> Iterator[Engine]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    counts.clear()
    yield Engine("cpu")
    torch.set_num_threads(before)


def test_short_work_has_one_thread_and_long_work_all_of_them(engine: Engine) -> None:
    engine.compute(call(2))
    engine.compute(call(1 << 10))
    assert counts == [1, 3]
    assert torch.get_num_threads() == 3


def test_calls_that_are_put_together_have_one_thread(engine: Engine) -> None:
    engine.run_together([engine.check(call(100)) for _ in range(4)])
    assert counts == [1]
    assert torch.get_num_threads() == 3


def test_long_work_has_its_threads_wherever_it_is_computed(engine: Engine) -> None:
    def elsewhere() -> None:
        torch.set_num_threads(1)
        engine.compute(call(1 << 10))
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert counts == [3, 1]


def test_the_threads_of_others_stay(engine: Engine) -> None:
    ready, inside, done = threading.Event(), threading.Event(), threading.Event()
    others = [torch.get_num_threads()]

    def other() -> None:
        others.append(torch.get_num_threads())
        ready.set()
        assert inside.wait(10)
        others.append(torch.get_num_threads())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert ready.wait(10)
    with Threads(1):
        inside.set()
        assert done.wait(10)
    thread.join()
    assert others == [3, 3, 3]


def test_an_error_gives_the_threads_back(engine: Engine) -> None:
    with pytest.raises(RuntimeError), Threads(1):
        raise RuntimeError
    assert torch.get_num_threads() == 3
