"""Requests are begun in order, a share in each turn, and refused once others wait too long."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from lossmeter.scheduling.request_queue import BEGUN_PER_TURN, REST_SECONDS, RequestQueue
from tests.support.clocks import Clock


class Clocks:
    """A queue with clocks of its own, in which nobody may wait for longer than a second."""

    def __init__(self) -> None:
        self.wall, self.processor = Clock(), Clock(5.0)
        self.queue = RequestQueue(1.0, self.wall, self.processor)

    async def work(self, seconds: float) -> None:
        """Takes a turn of the event loop in which the process works for so long."""
        self.wall.advance(seconds)
        self.processor.advance(seconds)
        await asyncio.sleep(0)

    def fill(self, turns: int) -> None:
        """Lets so many join that the last are begun after so many turns."""
        for _ in range(turns * BEGUN_PER_TURN + 1):
            self.queue.join(lambda: None)


def test_a_queue_is_gone_through_in_order_a_share_in_each_turn() -> None:
    async def scenario() -> list[list[int]]:
        queue, begun = RequestQueue(1.0), []
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
        queue, begun = RequestQueue(1.0), []
        for _ in range(BEGUN_PER_TURN + 1):
            queue.join(partial(begun.append, "early"))
        asyncio.get_running_loop().call_soon(queue.join, partial(begun.append, "late"))
        for _ in range(5):
            await asyncio.sleep(0)
        return begun

    begun = asyncio.run(scenario())
    assert begun == ["early"] * (BEGUN_PER_TURN + 1) + ["late"]


def test_a_queue_is_too_long_while_the_next_has_waited_for_too_long_and_no_longer() -> None:
    """To keep it shorter than that afterwards would refuse what can be answered in time."""

    async def scenario() -> None:
        ours = Clocks()
        ours.fill(4)
        await ours.work(0.9)
        assert ours.queue.lateness() == 0
        ours.fill(4)
        await ours.work(0.2)
        assert ours.queue.lateness() == pytest.approx(1.1)
        for _ in range(2):
            await ours.work(0)
        assert ours.queue.waiting
        assert ours.queue.overdue_seconds == pytest.approx(0.2)
        assert ours.queue.lateness() == 0

    asyncio.run(scenario())


def test_a_pause_in_which_nothing_was_done_makes_nobody_late() -> None:
    async def scenario() -> None:
        ours = Clocks()
        ours.fill(3)
        ours.wall.advance(10)
        await ours.work(0.5)
        assert ours.queue.overdue_seconds == pytest.approx(0.5)

    asyncio.run(scenario())


def test_what_other_threads_did_before_makes_nobody_late() -> None:
    async def scenario() -> None:
        ours = Clocks()
        ours.fill(1)
        for seconds in (0, 0, 10):
            await ours.work(seconds)
        ours.fill(3)
        await ours.work(0.5)
        assert ours.queue.overdue_seconds == pytest.approx(0.5)

    asyncio.run(scenario())


def test_whoever_was_refused_is_listened_to_again_after_a_second_while_others_wait() -> None:
    async def scenario() -> None:
        ours, woken = Clocks(), []
        ours.fill(100)
        await ours.work(1.5)
        ours.queue.rest(partial(woken.append, "first"))
        await ours.work(REST_SECONDS / 2)
        ours.queue.rest(partial(woken.append, "second"))
        await ours.work(REST_SECONDS / 2 - 0.1)
        assert woken == []
        await ours.work(0.2)
        assert woken == ["first"]
        await ours.work(REST_SECONDS / 2)
        assert woken == ["first", "second"]

    asyncio.run(scenario())


def test_whoever_was_refused_is_listened_to_at_once_when_nobody_waits_a_share_in_each_turn() -> None:
    async def scenario() -> list[int]:
        ours, woken, counts = Clocks(), [], []
        ours.fill(1)
        for _ in range(2 * BEGUN_PER_TURN + 5):
            ours.queue.rest(partial(woken.append, 1))
        for _ in range(4):
            await ours.work(0)
            counts.append(len(woken))
        return counts

    assert asyncio.run(scenario()) == [BEGUN_PER_TURN, 2 * BEGUN_PER_TURN] + [2 * BEGUN_PER_TURN + 5] * 2


def test_one_that_fails_keeps_nobody_from_their_turn() -> None:
    def fail() -> None:
        raise RuntimeError("this one fails")

    async def scenario() -> tuple[list[str], list[str]]:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        ours, done = Clocks(), []
        ours.fill(1)
        for act in (fail, partial(done.append, "begun")):
            ours.queue.join(act)
        for act in (fail, partial(done.append, "woken")):
            ours.queue.rest(act)
        for _ in range(6):
            await ours.work(0)
        return done, reported

    done, reported = asyncio.run(scenario())
    assert done == ["begun", "woken"]
    assert reported == ["this one fails"] * 2
