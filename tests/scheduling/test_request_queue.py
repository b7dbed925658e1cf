"""Requests are begun in order, a share in each turn, and refused once others wait too long."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from lossmeter.scheduling.request_queue import BEGUN_PER_TURN, CALM_SECONDS, RequestQueue
from tests.support.clocks import Clock


class Clocks:
    """A queue with clocks of its own."""

    def __init__(self) -> None:
        self.wall, self.processor = Clock(), Clock(5.0)
        self.queue = RequestQueue(self.wall, self.processor)

    def work(self, seconds: float) -> None:
        self.wall.advance(seconds)
        self.processor.advance(seconds)

    def fill(self) -> None:
        """Lets so many join that one has to wait; in a loop."""
        for _ in range(BEGUN_PER_TURN + 1):
            self.queue.join(lambda: None)


def test_a_queue_is_gone_through_in_order_a_share_in_each_turn() -> None:
    async def scenario() -> list[list[int]]:
        queue, begun = RequestQueue(), []
        for number in range(2 * BEGUN_PER_TURN + 5):
            queue.join(partial(begun.append, number))
        turns = [list(begun)]
        while queue.waiting:
            begun.clear()
            await asyncio.sleep(0)
            turns.append(list(begun))
        return turns

    turns = asyncio.run(scenario())
    assert [len(turn) for turn in turns] == [BEGUN_PER_TURN, BEGUN_PER_TURN, 5]
    assert [number for turn in turns for number in turn] == list(range(2 * BEGUN_PER_TURN + 5))


def test_whoever_comes_later_does_not_overtake_the_queue() -> None:
    async def scenario() -> list[str]:
        queue, begun = RequestQueue(), []
        for _ in range(BEGUN_PER_TURN + 1):
            queue.join(partial(begun.append, "early"))
        asyncio.get_running_loop().call_soon(queue.join, partial(begun.append, "late"))
        for _ in range(5):
            await asyncio.sleep(0)
        return begun

    begun = asyncio.run(scenario())
    assert begun == ["early"] * (BEGUN_PER_TURN + 1) + ["late"]


def test_a_queue_that_became_too_long_is_too_long_until_it_is_short() -> None:
    async def scenario() -> None:
        ours = Clocks()
        ours.fill()
        ours.work(0.25)
        assert ours.queue.lateness() == 0, "a burst is taken up"
        ours.work(0.1)
        assert ours.queue.lateness() == pytest.approx(0.35)
        await asyncio.sleep(0)
        assert (ours.queue.waiting, ours.queue.lateness()) == (0, 0)
        await asyncio.sleep(0)
        ours.fill()
        assert ours.queue.lateness() == 0
        ours.work(0.1)
        assert ours.queue.lateness() == pytest.approx(0.1), "no burst, but what goes on"

    asyncio.run(scenario())


def test_a_queue_may_grow_again_after_a_while_without_a_refusal() -> None:
    async def scenario() -> None:
        ours = Clocks()
        ours.fill()
        ours.work(0.4)
        assert ours.queue.lateness() > 0
        await asyncio.sleep(0)
        ours.work(CALM_SECONDS + 0.1)
        await asyncio.sleep(0)
        ours.fill()
        ours.work(0.1)
        assert ours.queue.lateness() == 0

    asyncio.run(scenario())


def test_as_many_are_begun_in_a_turn_as_are_refused() -> None:
    """Refusing takes time, too: with a fixed share of each turn, nobody is answered while enough others come."""

    async def scenario() -> list[int]:
        ours = Clocks()
        for _ in range(6 * BEGUN_PER_TURN):
            ours.queue.join(lambda: None)
        left = [ours.queue.waiting]
        ours.work(0.4)
        for _ in range(3 * BEGUN_PER_TURN):
            assert ours.queue.lateness() > 0
            ours.queue.note_refusal()
        for _ in range(2):
            await asyncio.sleep(0)
            left.append(ours.queue.waiting)
        return left

    assert asyncio.run(scenario()) == [5 * BEGUN_PER_TURN, 2 * BEGUN_PER_TURN, BEGUN_PER_TURN]


def test_a_pause_in_which_nothing_was_done_makes_nobody_late() -> None:
    async def scenario() -> None:
        ours = Clocks()
        ours.fill()
        ours.wall.advance(10)
        assert ours.queue.lateness() == 0

    asyncio.run(scenario())
