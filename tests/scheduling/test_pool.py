"""The pool runs the cheap before the dear, but not for ever, and says when it is late."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lossmeter.errors import Busy
from lossmeter.scheduling.pool import Pool
from tests.support.clocks import Clock


async def order_of(*jobs: tuple[str, int, float]) -> list[str]:
    """The order in which jobs run, each with a name, a cost and the seconds after which it comes, once the thread is free."""
    clock = Clock()
    pool = Pool(1, clock=clock)
    order: list[str] = []
    began, gate = threading.Event(), threading.Event()
    running = [asyncio.create_task(pool.run(0, lambda: began.set() or gate.wait()))]
    await asyncio.to_thread(began.wait)
    for name, cost, seconds in jobs:
        clock.advance(seconds)
        running.append(asyncio.create_task(pool.run(cost, order.append, name)))
        await asyncio.sleep(0)
    assert pool.waiting == len(jobs)
    gate.set()
    await asyncio.gather(*running)
    pool.close()
    return order


def test_the_cheap_overtake_the_dear() -> None:
    jobs = ("dear", 10**8, 0), ("middling", 10**6, 0), ("cheap", 10**3, 0)
    assert asyncio.run(order_of(*jobs)) == ["cheap", "middling", "dear"]


def test_the_dear_are_not_overtaken_for_ever() -> None:
    jobs = ("dear", 10**6, 0), ("cheap but late", 0, 0.15)
    assert asyncio.run(order_of(*jobs)) == ["dear", "cheap but late"]


def test_an_error_reaches_whoever_waits_and_the_pool_goes_on() -> None:
    async def scenario() -> None:
        pool = Pool(1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(0, lambda: 1 / 0)
        assert await pool.run(0, lambda: 7) == 7
        pool.close()
        with pytest.raises(RuntimeError):
            await pool.run(0, lambda: 7)

    asyncio.run(scenario())


def test_the_pool_refuses_when_it_is_late_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        clock, began, gate = Clock(), threading.Event(), threading.Event()
        pool = Pool(1, 0.2, clock)
        pool.admit()
        running = [asyncio.create_task(pool.run(0, lambda: began.set() or gate.wait())) for _ in range(2)]
        await asyncio.to_thread(began.wait)
        clock.advance(0.1)
        pool.admit()
        clock.advance(0.2)
        with pytest.raises(Busy, match="longer than they should") as busy:
            pool.admit()
        assert busy.value.retry_after_seconds is not None
        assert busy.value.retry_after_seconds >= 1
        gate.set()
        await asyncio.gather(*running)
        pool.admit()
        pool.close()

    asyncio.run(scenario())
