"""A server that is told to stop says so, finishes what it has begun, and ends in time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress

import httpx
import pytest
import torch
from safetensors.torch import save

from lossmeter.telemetry.readiness import Readiness, delay_sigterm
from tests.support.processes import PROGRAM, Service, count_workers, ready, started, wait_until
from tests.support.service import answer_of, connected

BODY = b'{"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}'
HEAD = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)
GRACE_SECONDS = 8


def post(service: Service) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.post(service.url + "/v1/losses/mse", content=BODY, headers=headers, timeout=60)


def begin_request(connection: socket.socket) -> None:
    """Sends a request without its body, and waits until the application asks for that."""
    connection.sendall(HEAD)
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")


def hears_nobody(service: Service) -> bool:
    """Whether a new client is turned away at once, and does not wait in a queue from which nobody takes."""
    try:
        with connected(service.url):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_stops_in_order(workers: int) -> None:
    """First readiness ends, then the listener closes, then what is in flight is answered or cut off."""
    given = {"LOSSMETER_DRAIN_SECONDS": "600", "LOSSMETER_GRACE_SECONDS": str(GRACE_SECONDS)}
    given["LOSSMETER_BODY_SECONDS"] = "600"  # what is in flight waits for this test, which a busy machine holds up
    with started("--workers", str(workers), forked=workers == 1, **given) as service, ExitStack() as stack:
        wait_until(lambda: count_workers(service.url) == workers, "all there")
        timely, late = (stack.enter_context(connected(service.url)) for _ in range(2))
        processes = service.workers() if workers > 1 else [service.process.pid]
        begin_request(timely)
        begin_request(late)
        service.process.terminate()
        wait_until(lambda: all(not ready(service.url) for _ in range(4 * workers)), "unready")
        for _ in range(10):
            answer = httpx.get(service.url + "/readyz")
            assert answer.status_code == 503
            assert (answer.json()["code"], answer.headers["retry-after"]) == ("not_ready", "1")
            answer = post(service)
            assert answer.json()["value"] == 2.5
            assert answer.headers["connection"] == "close"
        assert httpx.get(service.url + "/v2/health/ready").json() == {"error": "The server is about to stop."}

        begin = time.monotonic()
        for process in processes:  # told twice, each stops at once
            os.kill(process, signal.SIGTERM)
        timely.sendall(BODY[:10])
        wait_until(lambda: hears_nobody(service), "the listener closed")
        timely.sendall(BODY[10:])
        assert b" 200 OK" in answer_of(timely).partition(b"\r\n")[0]
        assert service.process.wait(30) == 0
        assert GRACE_SECONDS <= time.monotonic() - begin < 30, "the other one was waited for, and cut off"
        assert b" 200 " not in answer_of(late)


def test_a_worker_that_was_stopped_does_not_keep_the_server_from_ending() -> None:
    program = f"import lossmeter.serving.supervisor as supervisor; supervisor.MARGIN_SECONDS = 0.5; {PROGRAM}"
    with started("--workers", "2", program=program, LOSSMETER_GRACE_SECONDS="1") as service:
        os.kill(service.workers()[0], signal.SIGSTOP)
        assert service.stop(30) == 0


def test_sigterm_takes_effect_some_time_after_readiness_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    readiness = Readiness()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        with delay_sigterm(readiness, 0.3):
            begin = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)
            assert not readiness.ready
            assert not stopped.is_set()
            assert stopped.wait(60)
            assert time.monotonic() - begin >= 0.3
        stopped.clear()
        with delay_sigterm(readiness, 600):
            os.kill(os.getpid(), signal.SIGTERM)
            assert not stopped.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopped.wait(60), "a second one takes effect at once"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_handler_of_its_own_the_signal_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with delay_sigterm(Readiness(), 1.0):
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("times", [1, 2])
def test_a_single_worker_ends_whatever_its_threads_do(times: int) -> None:
    """One kernel that takes minutes, which no thread can be stopped in; a second signal is not needed, and cuts it short."""
    tensors = {"predictions": torch.zeros(1, 250_000), "labels": torch.arange(250_000)[None]}
    body = save(tensors)
    headers = {"content-type": "application/vnd.safetensors"}
    given = {"LOSSMETER_GRACE_SECONDS": "0" if times == 1 else "600"}
    with started("--workers", "1", forked=True, **given) as service:
        wait_until(lambda: ready(service.url), "ready")

        def send() -> None:
            with suppress(httpx.HTTPError):
                httpx.post(service.url + "/v1/losses/multilabel_margin", content=body, headers=headers, timeout=60)

        sender = threading.Thread(target=send)
        sender.start()
        wait_until(lambda: _computing(service), "computing")
        service.process.terminate()
        if times == 2:
            wait_until(lambda: hears_nobody(service), "the listener closed")
            service.process.terminate()
        service.process.wait(60)
        sender.join()


def _computing(service: Service) -> bool:
    metrics = httpx.get(service.url + "/metrics").text
    return "lossmeter_bytes_in_flight 0" not in metrics and "lossmeter_elements_in_flight 500000" in metrics
