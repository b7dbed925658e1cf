"""The watchdog knows how late the event loop runs, and ends a worker whose loop stands still."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lossmeter.telemetry import watchdog
from lossmeter.telemetry.readiness import EXIT_STATUS
from lossmeter.telemetry.watchdog import TICK_SECONDS, Watchdog
from tests.support.clocks import Clock


def test_the_watchdog_knows_how_late_the_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[float, float]:
        clock = Clock()
        monkeypatch.setattr(watchdog, "monotonic", clock)
        ours = Watchdog([], 0)
        ours.start()
        await asyncio.sleep(2 * TICK_SECONDS)
        calm = ours.lag_seconds
        clock.advance(TICK_SECONDS + 0.5)  # as if something held the loop
        await asyncio.sleep(2 * TICK_SECONDS)
        ours.stop()
        return calm, ours.lag_seconds

    calm, held = asyncio.run(scenario())
    assert calm < held
    assert 0.3 < held < 5


def test_a_loop_that_stands_still_ends_the_worker(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> list[int]:
        ended, statuses = threading.Event(), []
        ours = Watchdog([], 0.2, lambda status: statuses.append(status) or ended.set())
        ours.start()
        ended.wait(10)
        ours.stop()
        return statuses

    assert asyncio.run(scenario()) == [EXIT_STATUS]
    assert "stood still for 0.2 seconds" in (said := capfd.readouterr().err)
    assert "in scenario" in said


def test_a_loop_that_goes_on_is_left_alone() -> None:
    async def scenario() -> list[int]:
        statuses: list[int] = []
        ours = Watchdog([], 1.0, statuses.append)
        ours.start()
        await asyncio.sleep(1.3)
        ours.stop()
        return statuses

    assert asyncio.run(scenario()) == []


def test_what_is_due_each_second_is_done_and_may_fail() -> None:
    async def scenario() -> None:
        twice = asyncio.Event()

        def work() -> None:
            if done:
                twice.set()
            done.append(1)
            raise OSError("no room left")

        done: list[int] = []
        ours = Watchdog([work], 0)
        ours.start()
        await asyncio.wait_for(twice.wait(), 60)
        ours.stop()

    asyncio.run(scenario())
