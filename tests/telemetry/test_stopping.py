"""A server that is told to stop says so, finishes what it has begun, and ends in time."""

from __future__ import annotations

import os
import signal
import time

import httpx
import pytest

from lossmeter.telemetry.readiness import Readiness, drained
from tests.support.processes import Service, ready, started, wait_until
from tests.support.service import answer_of, connected

BODY = b'{"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}'
HEAD = (
    b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
)


def post(service: Service) -> httpx.Response:
    return httpx.post(service.url + "/v1/losses/mse", content=BODY, headers={"content-type": "application/json"})


@pytest.mark.parametrize("workers", [1, 2])
def test_readiness_ends_before_the_listener_closes(workers: int) -> None:
    with started("--workers", str(workers), LOSSMETER_DRAIN_SECONDS="3") as service:
        begin = time.monotonic()
        service.process.terminate()
        wait_until(lambda: not ready(service.url), "unready", 2)
        while time.monotonic() < begin + 2.5:
            answer = httpx.get(service.url + "/readyz")
            if answer.status_code == 503:
                assert (answer.json()["code"], answer.headers["retry-after"]) == ("not_ready", "1")
            answer = post(service)
            assert answer.json()["value"] == 2.5
            time.sleep(0.05)
        assert answer.headers["connection"] == "close"
        assert httpx.get(service.url + "/v2/health/ready").json() == {"error": "The server is about to stop."}
        assert service.process.wait(10) == 0
        assert 3 <= time.monotonic() - begin < 8
        with pytest.raises(httpx.ConnectError):
            post(service)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_flight_is_answered_after_the_listener_closed(workers: int) -> None:
    with started("--workers", str(workers)) as service, connected(service.url) as connection:
        connection.sendall(HEAD + BODY[:10])
        time.sleep(0.3)
        service.process.terminate()
        time.sleep(1.0)
        connection.sendall(BODY[10:])
        assert b" 200 OK" in answer_of(connection).partition(b"\r\n")[0]
        assert service.process.wait(10) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_that_takes_too_long_is_cut_off(workers: int) -> None:
    environment = {"LOSSMETER_GRACE_SECONDS": "1"}
    with started("--workers", str(workers), **environment) as service, connected(service.url) as connection:
        connection.sendall(HEAD + BODY[:10])
        time.sleep(0.3)
        begin = time.monotonic()
        assert service.stop(20) == 0
        assert 1 <= time.monotonic() - begin < 6


def test_told_twice_it_stops_at_once() -> None:
    with started(LOSSMETER_DRAIN_SECONDS="60") as service:
        service.process.terminate()
        wait_until(lambda: not ready(service.url), "unready")
        begin = time.monotonic()
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert time.monotonic() - begin < 5


def test_a_worker_that_was_stopped_does_not_keep_the_server_from_ending() -> None:
    with started("--workers", "2", LOSSMETER_GRACE_SECONDS="1") as service:
        os.kill(service.workers()[0], signal.SIGSTOP)
        assert service.stop(20) == 0


def test_without_a_handler_of_its_own_the_signal_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with drained(Readiness(), 1.0):
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before
