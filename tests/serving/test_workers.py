"""A worker that cannot go on is replaced, and the others go on meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
import torch

from lossmeter.engine import devices
from lossmeter.serving.server import PING_SECONDS
from lossmeter.telemetry.readiness import EXIT_STATUS
from tests.support.failing import PROGRAM
from tests.support.processes import Service, alive, count_workers, ready, started, wait_until

MSE = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}
RANKING = {"input1": [0.5], "input2": [1.5], "labels": [1]}
STUCK = {"predictions": [0.5], "labels": [1]}
CUT_OFF = (httpx.NetworkError, httpx.RemoteProtocolError)
PATIENCE_SECONDS = 120.0
"""What a busy machine may take; nothing waits for as long where it is not."""


def works(service: Service) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return bool(httpx.post(service.url + "/v1/losses/mse", json=MSE, timeout=5).json().get("value") == 2.5)
    return False


def wait_until_replaced(service: Service, before: list[int]) -> None:
    """Waits until one worker is another and both work."""
    wait_until(lambda: len(workers := service.workers()) == 2 and workers != before, "replaced", PATIENCE_SECONDS)
    wait_until(lambda: count_workers(service.url) == 2 and works(service), "working", PATIENCE_SECONDS)
    assert len(set(before) & set(service.workers())) == 1


@pytest.fixture(scope="module")
def pair() -> Iterator[Service]:
    """Two workers that can be made to fail."""
    with started("--workers", "2", program=PROGRAM, LOSSMETER_HANG_SECONDS="2") as service:
        wait_until(lambda: count_workers(service.url) == 2, "both there", PATIENCE_SECONDS)
        yield service


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_dies_or_hangs_is_replaced(pair: Service, number: signal.Signals) -> None:
    before = pair.workers()
    os.kill(before[0], number)
    wait_until_replaced(pair, before)
    assert before[0] not in pair.workers()


def test_a_worker_whose_device_failed_is_replaced(pair: Service) -> None:
    before = pair.workers()
    answer = httpx.post(pair.url + "/v1/losses/margin_ranking", json=RANKING, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 503
    wait_until_replaced(pair, before)


def test_a_worker_whose_event_loop_stands_still_is_replaced(pair: Service) -> None:
    before = pair.workers()
    with pytest.raises(CUT_OFF):
        httpx.post(pair.url + "/v1/losses/hinge_embedding", json=STUCK, timeout=PATIENCE_SECONDS)
    assert "stood still for 2 seconds" in pair.output
    assert "in stuck" in pair.output
    wait_until_replaced(pair, before)


def test_a_worker_that_dies_while_it_starts_is_replaced_at_once(pair: Service) -> None:
    first, second = pair.workers()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(set(pair.workers()) - {first, second}) == 1, "replaced", PATIENCE_SECONDS)
    (third,) = set(pair.workers()) - {first, second}
    time.sleep(0.7)  # its parent asks whether it lives, which it cannot answer while it imports torch
    os.kill(third, signal.SIGKILL)
    wait_until(lambda: len(set(pair.workers()) - {third}) == 2, "replaced again", PING_SECONDS / 2)
    wait_until(lambda: ready(pair.url) and works(pair), "working", PATIENCE_SECONDS)


def test_workers_end_with_their_parent(pair: Service) -> None:
    workers = pair.workers()
    pair.process.kill()
    wait_until(lambda: not any(map(alive, workers)), "ended", PATIENCE_SECONDS)


def test_a_single_worker_whose_device_failed_says_so_and_ends() -> None:
    with started(program=PROGRAM, forked=True) as service:
        answer = httpx.post(service.url + "/v1/losses/margin_ranking", json=RANKING, timeout=PATIENCE_SECONDS)
        assert (answer.status_code, answer.json()["code"]) == (503, "device_lost")
        assert int(answer.headers["retry-after"]) > 0
        assert "assert" not in answer.text
        assert not ready(service.url)
        assert service.process.wait(PATIENCE_SECONDS) == EXIT_STATUS


def test_a_single_worker_goes_on_after_a_pause_and_ends_when_its_event_loop_stands_still() -> None:
    with started(program=PROGRAM, forked=True, LOSSMETER_HANG_SECONDS="1") as service:
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        service.process.send_signal(signal.SIGCONT)
        time.sleep(1.2)
        assert works(service)
        with pytest.raises(CUT_OFF):
            httpx.post(service.url + "/v1/losses/hinge_embedding", json=STUCK, timeout=PATIENCE_SECONDS)
        assert service.process.wait(PATIENCE_SECONDS) == EXIT_STATUS
        assert "stood still for 1 seconds" in service.output
        assert "in stuck" in service.output


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_which_errors_lose_the_device(error: Exception, lost: bool) -> None:
    assert devices.is_lost(error) is lost


def test_a_worker_can_answer_its_parent_before_it_loads_torch() -> None:
    # In a process of its own: this one has loaded it.
    program = """
import pickle
import sys
from lossmeter.serving.server import protocol_options
from lossmeter.settings import Settings

pickle.loads(pickle.dumps(protocol_options(Settings())))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
