"""Requests are let in by what they cost."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from lossmeter.errors import Busy
from lossmeter.scheduling import arrivals
from lossmeter.scheduling.admission import Admission, Reservation
from lossmeter.scheduling.arrivals import GRACE_SECONDS, Arrival
from tests.support.clocks import Clock
from tests.support.processes import wait_until
from tests.support.service import answer_of, connected, serving

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
        slow.sendall(head + b" " * 48_900)
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


def test_slow_bodies_give_way_the_slowest_first_and_fast_ones_do_not() -> None:
    clock, admission, gone = Clock(), Admission(1000, 10), []
    holders = {}
    for name, size in (("fast", 500), ("slow", 300), ("silent", 200)):
        holders[name] = Reservation(admission)
        holders[name].grow(size)
        arrival = Arrival(lambda name=name: gone.append(name), clock)  # type: ignore[misc]
        admission.expect(arrival, holders[name])
        clock.advance(0.01)
        arrival.add({"fast": 10**9, "slow": 100, "silent": 0}[name])
    asking = Reservation(admission)
    with pytest.raises(Busy):
        asking.grow(100)  # none of them is slow yet
    clock.advance(2 * GRACE_SECONDS)
    admission.foresee(asking, 500)
    with pytest.raises(Busy):
        admission.foresee(asking, 501)
    assert not gone
    asking.grow(100)
    assert gone == ["silent"]
    asking.grow(300)
    assert gone == ["silent", "slow"]
    with pytest.raises(Busy):
        asking.grow(101)
    with pytest.raises(Busy):
        holders["slow"].grow(1)
    for one in (*holders.values(), asking):
        one.close()
    assert admission.bytes == 0


def test_bodies_that_are_announced_hold_no_room() -> None:
    with serving(max_bytes_in_flight=100_000) as url, httpx.Client(base_url=url) as http, ExitStack() as stack:
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000\r\n\r\n "
        for path in (b"/v1/losses/mse", b"/v1/evaluate", b"/v1/runs", b"/v2/models/mse/infer"):
            stack.enter_context(connected(url)).sendall(head % path)
        answers = {http.post(CE, json={"predictions": [[0.0] * 5000], "labels": [0]}).status_code for _ in range(20)}
        assert answers == {200}


def test_a_body_that_stays_away_gives_its_room_to_whoever_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "GRACE_SECONDS", 0.1)
    with serving(max_bytes_in_flight=100_000) as url, httpx.Client(base_url=url) as http, connected(url) as slow:
        head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99001\r\n\r\n"
        slow.sendall(head + b" " * 99_000)
        _wait_for(http, "bytes_in_flight", 99_000)
        time.sleep(0.3)
        answer = http.post(CE, json={"predictions": [[0.0] * 5000], "labels": [0]})
        assert answer.status_code == 200, answer.text
        told = answer_of(slow)
        assert told.startswith(b"HTTP/1.1 503")
        assert b"others needed the room" in told
        assert b"retry-after: " in told
        _wait_for(http, "bytes_in_flight", 0)


def test_a_small_body_that_is_not_there_yet_counts() -> None:
    with serving() as url, httpx.Client(base_url=url) as http, connected(url) as slow:
        slow.sendall(b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n" + b" " * 5000)
        _wait_for(http, "requests_in_flight", 2)  # with the one that asks
        _wait_for(http, "bytes_in_flight", 5000)
        slow.sendall(b" " * 3961 + b'{"predictions": [1.0], "labels": [0.0]}')
        assert answer_of(slow).startswith(b"HTTP/1.1 200")
        _wait_for(http, "bytes_in_flight", 0)
        _wait_for(http, "requests_in_flight", 1)


def _wait_for(http: httpx.Client, figure: str, value: int) -> None:
    """Waits until the service shows that figure; it shows a body that is held for a second at least."""
    wait_until(lambda: f"\nlossmeter_{figure} {value}\n" in http.get("/metrics").text.replace(".0\n", "\n"), figure, 10)
