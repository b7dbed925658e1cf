"""More than a worker can do is refused early, and what it can do is done meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import torch

from lossmeter.api.pool import Pool
from lossmeter.api.watching.pulse import BEAT_SECONDS, Pulse
from lossmeter.errors import Busy
from lossmeter.losses import find
from tests.support.service import answer_of, connected, serving

SMALL = {"input1": [0.5], "input2": [1.5], "labels": [1]}
RANKING = "/v1/losses/margin_ranking"


@contextmanager
def slow(seconds: float) -> Iterator[None]:
    """`margin_ranking` takes that long."""
    loss = find("margin_ranking")
    genuine = loss.function

    def function(**tensors: Any) -> torch.Tensor:
        time.sleep(seconds)
        return genuine(**tensors)

    object.__setattr__(loss, "function", function)
    try:
        yield
    finally:
        object.__setattr__(loss, "function", genuine)


async def posted(url: str, bodies: list[dict[str, Any]], gap: float = 0.0) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=len(bodies))
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        running = []
        for body in bodies:
            running.append(asyncio.create_task(http.post(RANKING, json=body)))
            await asyncio.sleep(gap)
        return await asyncio.gather(*running)


def test_the_pool_refuses_when_it_is_late_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        pool = Pool(1, 0.2)
        gate = threading.Event()
        pool.admit()
        running = [asyncio.create_task(pool.run(0, gate.wait)) for _ in range(2)]
        await asyncio.sleep(0.1)
        pool.admit()
        await asyncio.sleep(0.2)
        with pytest.raises(Busy, match="longer than they should") as busy:
            pool.admit()
        assert busy.value.retry_after_seconds >= 1
        gate.set()
        await asyncio.gather(*running)
        pool.admit()
        pool.close()

    asyncio.run(scenario())


def test_large_requests_are_refused_once_others_wait_too_long_and_small_ones_are_not() -> None:
    large = {name: value * 200_000 for name, value in SMALL.items()}
    with serving(max_wait_seconds=0.3, pool_threads=1) as url, slow(0.2), httpx.Client(base_url=url) as http:
        answers = asyncio.run(posted(url, [large] * 20, 0.1))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {200, 503}
        assert statuses[200] >= 5
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
        assert all(answer.json()["value"] == 1.0 for answer in answers if answer.status_code == 200)
        assert http.post(RANKING, json=large).status_code == 200
        with http.stream("GET", "/metrics") as metrics:
            text = metrics.read().decode()
    assert f'lossmeter_errors_total{{code="busy"}} {float(statuses[503])}' in text


def test_small_requests_that_come_all_at_once_are_refused_after_half_a_second() -> None:
    request = httpx.Request("POST", RANKING, json=SMALL)
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.content)}\r\n\r\n".encode()
    with serving() as url, slow(0.05), ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(80)]
        time.sleep(0.5)
        for connection in connections:
            connection.sendall(head + request.content)
        statuses = Counter(answer_of(connection)[9:12] for connection in connections)
    assert statuses.keys() == {b"200", b"503"}
    assert statuses[b"200"] >= 8


def test_a_loop_that_nobody_crowds_is_not_late() -> None:
    async def scenario() -> tuple[float, float, float]:
        pulse = Pulse([], 0)
        pulse.start()
        await asyncio.sleep(2 * BEAT_SECONDS)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is to stand still
        alone = pulse.late()
        await asyncio.sleep(2 * BEAT_SECONDS)
        crowd = [asyncio.create_task(asyncio.sleep(1)) for _ in range(20)]
        time.sleep(0.3)  # noqa: ASYNC251
        crowded = pulse.late()
        await asyncio.sleep(2 * BEAT_SECONDS)
        lag = pulse.lag
        pulse.stop()
        for task in crowd:
            task.cancel()
        return alone, crowded, lag

    alone, crowded, lag = asyncio.run(scenario())
    assert alone == 0
    assert 0.2 < crowded < 1
    assert 0.1 < lag < 1
