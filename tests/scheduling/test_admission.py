"""Requests are let in by what they cost."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

from lossmeter.errors import Busy
from lossmeter.scheduling.admission import Admission, Reservation
from tests.support.service import connected, serving

CE = "/v1/losses/cross_entropy"


def test_room_is_counted_in_bytes_and_elements() -> None:
    admission = Admission(100, 10)
    first, second = Reservation(admission), Reservation(admission)
    first.grow(60, 5)
    with pytest.raises(Busy) as busy:
        second.grow(41)
    assert busy.value.retry_after_seconds >= 1
    second.grow(40)
    with pytest.raises(Busy):
        second.grow(elements=6)
    first.close()
    second.grow(elements=6)
    second.close()
    assert (admission.bytes, admission.elements) == (0, 0)


def test_a_request_that_is_alone_is_let_in_whatever_it_costs() -> None:
    reservation = Reservation(Admission(10, 10))
    reservation.grow(1000)
    reservation.grow(1000)
    reservation.grow(elements=1000)
    reservation.grow(elements=1000)
    reservation.close()
    reservation.close()
    assert reservation.admission.bytes == 0


def test_beyond_the_limit_requests_get_503_with_retry_after_and_health_does_not() -> None:
    with serving(max_bytes_in_flight=50_000) as url, httpx.Client(base_url=url) as http, connected(url) as slow:
        head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 49000\r\n\r\n"
        slow.sendall(head + b" ")
        body = {"predictions": [[0.0] * 1000], "labels": [0]}
        for _ in range(100):
            answer = http.post(CE, json=body)
            if answer.status_code == 503:
                break
            time.sleep(0.01)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "busy"
        assert http.get("/healthz").status_code == 200
        slow.close()
        for _ in range(100):
            answer = http.post(CE, json=body)
            if answer.status_code == 200:
                break
            time.sleep(0.01)
        assert answer.status_code == 200


def test_answers_that_nobody_reads_count_until_they_are_sent_or_given_up() -> None:
    predictions, labels = (b"[" + number * 10**6 + b"0]" for number in (b"0.7,", b"0.3,"))
    body = b'{"predictions":%s,"labels":%s,"reduction":"none"}' % (predictions, labels)
    head = f"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    small = {"predictions": [0.5] * 10**5, "labels": [0.5] * 10**5}
    with (
        serving(max_bytes_in_flight=3_000_000, body_seconds=60.0) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        with connected(url) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(head + body)
            assert deaf.recv(12) == b"HTTP/1.1 200"
            busy = http.post("/v1/losses/mse", json=small)
            assert busy.status_code == 503
            assert int(busy.headers["retry-after"]) >= 1
        deadline = time.monotonic() + 30
        while http.post("/v1/losses/mse", json=small).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
