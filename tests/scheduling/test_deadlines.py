"""A request that takes too long is answered; what it holds is given back when its thread ends."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import numpy as np
import pytest

from lossmeter.client.errors import Busy
from lossmeter.client.exchanges import Pause, Reply, Request, Retries, conversation
from lossmeter.errors import TookTooLong
from lossmeter.scheduling.admission import Admission, Reservation
from lossmeter.scheduling.deadlines import run_with_deadline
from lossmeter.scheduling.pool import Pool
from tests.support.service import serving


def test_room_is_kept_until_the_thread_ends() -> None:
    async def scenario() -> None:
        pool, admission, gate = Pool(1), Admission(100, 100), threading.Event()
        reservation = Reservation(admission)
        reservation.grow(10)
        with pytest.raises(TookTooLong):
            await run_with_deadline(0.05, pool, reservation, 0, gate.wait)
        reservation.close()
        assert admission.bytes == 10
        gate.set()
        await pool.run(0, time.sleep, 0)
        assert admission.bytes == 0
        pool.close()

    asyncio.run(scenario())


def test_what_has_not_begun_never_does() -> None:
    async def scenario() -> None:
        pool, admission, gate, ran = Pool(1), Admission(100, 100), threading.Event(), []
        busy = asyncio.create_task(pool.run(0, gate.wait))
        await asyncio.sleep(0.05)
        reservation = Reservation(admission)
        reservation.grow(10)
        with pytest.raises(TookTooLong):
            await run_with_deadline(0.05, pool, reservation, 0, ran.append, 1)
        reservation.close()
        assert admission.bytes == 0
        gate.set()
        await busy
        await pool.run(0, time.sleep, 0)
        assert ran == []
        pool.close()

    asyncio.run(scenario())


def test_errors_of_the_work_are_not_taken_for_a_lack_of_time() -> None:
    async def scenario() -> None:
        pool, reservation = Pool(1), Reservation(Admission(1, 1))

        def late() -> None:
            raise TimeoutError("of its own")

        with pytest.raises(TimeoutError, match="of its own"):
            await run_with_deadline(5, pool, reservation, 0, late)
        assert await run_with_deadline(5, pool, reservation, 0, lambda: 7) == 7
        pool.close()

    asyncio.run(scenario())


def test_a_long_evaluation_is_answered_with_504_and_others_go_on() -> None:
    rng = np.random.default_rng(0)
    long = {
        "task": "regression",
        "predictions_are": "values",
        "predictions": rng.normal(size=4000).tolist(),
        "labels": rng.normal(size=4000).tolist(),
        "metrics": [{"metric": "kendall"}, {"metric": "spearman"}],
        "replicates": 300,
    }
    with serving(compute_seconds=0.05, pool_threads=1) as url, httpx.Client(base_url=url, timeout=60) as http:
        answer = http.post("/v1/evaluate", json=long)
        assert (answer.status_code, answer.json()["code"]) == (504, "took_too_long")
        assert "LOSSMETER_COMPUTE_SECONDS" in answer.json()["detail"]
        assert http.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]}).status_code == 200


@pytest.mark.parametrize(("code", "again"), [("took_too_long", False), ("", True)])
def test_the_client_does_not_ask_again_for_what_took_too_long(code: str, again: bool) -> None:
    steps = conversation(Request("POST", "/v1/losses/mse", lambda _: None), Retries())
    next(steps)
    headers = {"content-type": "application/problem+json"}
    answer = Reply(504, headers, bytearray(f'{{"code": "{code}"}}'.encode()))
    if again:
        assert isinstance(steps.send(answer), Pause)
        return
    with pytest.raises(Busy) as refused:
        steps.send(answer)
    assert refused.value.code == code
