"""A worker that cannot go on is replaced, and the others go on meanwhile."""

from __future__ import annotations

import os
import signal
import time

import httpx
import pytest
import torch

from lossmeter.engine import devices
from lossmeter.serving.server import PING_SECONDS
from lossmeter.telemetry.readiness import GAVE_UP
from tests.support.failing import PROGRAM
from tests.support.processes import Service, alive, ready, started, wait_until

MSE = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}
RANKING = {"input1": [0.5], "input2": [1.5], "labels": [1]}


def works(service: Service) -> bool:
    return bool(httpx.post(service.url + "/v1/losses/mse", json=MSE, timeout=5).json()["value"] == 2.5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_dies_or_hangs_is_replaced(number: signal.Signals) -> None:
    with started("--workers", "2") as service:
        first, second = service.workers()
        os.kill(first, number)
        wait_until(lambda: first not in service.workers() and len(service.workers()) == 2, "replaced", 60)
        assert second in service.workers()
        wait_until(lambda: ready(service.url) and works(service), "working")


def test_a_worker_that_dies_while_it_starts_is_replaced_at_once() -> None:
    with started("--workers", "2") as service:
        first, second = service.workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(set(service.workers()) - {first, second}) == 1, "replaced", 60)
        (third,) = set(service.workers()) - {first, second}
        time.sleep(0.7)  # its parent asks whether it lives, which it cannot answer while it imports torch
        os.kill(third, signal.SIGKILL)
        wait_until(lambda: len(set(service.workers()) - {third}) == 2, "replaced again", PING_SECONDS / 2)
        wait_until(lambda: ready(service.url) and works(service), "working")


def test_workers_end_with_their_parent() -> None:
    with started("--workers", "2") as service:
        workers = service.workers()
        service.process.kill()
        wait_until(lambda: not any(map(alive, workers)), "ended", 20)


def test_a_worker_whose_device_failed_says_so_and_ends() -> None:
    with started(program=PROGRAM) as service:
        answer = httpx.post(service.url + "/v1/losses/margin_ranking", json=RANKING)
        assert (answer.status_code, answer.json()["code"]) == (503, "device_lost")
        assert int(answer.headers["retry-after"]) > 0
        assert "assert" not in answer.text
        assert not ready(service.url)
        assert service.process.wait(10) == GAVE_UP


def test_a_worker_whose_device_failed_is_replaced() -> None:
    with started("--workers", "2", program=PROGRAM) as service:
        before = set(service.workers())
        assert httpx.post(service.url + "/v1/losses/margin_ranking", json=RANKING).status_code == 503
        wait_until(lambda: len(set(service.workers()) - before) == 1, "replaced", 30)
        wait_until(lambda: works(service), "working")
        assert len(before & set(service.workers())) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_an_event_loop_that_stands_still_ends_its_worker(workers: int) -> None:
    with started("--workers", str(workers), program=PROGRAM, LOSSMETER_HANG_SECONDS="2") as service:
        before = set(service.workers()) if workers > 1 else set()
        begin = time.monotonic()
        with pytest.raises(httpx.HTTPError):
            httpx.post(
                service.url + "/v1/losses/hinge_embedding", json={"predictions": [0.5], "labels": [1]}, timeout=30
            )
        assert time.monotonic() - begin < 10
        assert "stood still for 2 seconds" in service.output
        assert "in stuck" in service.output
        if workers == 1:
            assert service.process.wait(10) == GAVE_UP
        else:
            wait_until(lambda: len(set(service.workers()) - before) == 1, "replaced", 30)
            wait_until(lambda: works(service), "working")


def test_a_process_that_was_stopped_for_a_while_goes_on() -> None:
    with started(LOSSMETER_HANG_SECONDS="1") as service:
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        service.process.send_signal(signal.SIGCONT)
        time.sleep(2)
        assert works(service)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_which_errors_lose_the_device(error: Exception, lost: bool) -> None:
    assert devices.is_lost(error) is lost
