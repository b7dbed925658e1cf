"""What a client may send, and how long it may take, against a real server over bare sockets."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import socket
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.serving import connections, crowding
from lossmeter.serving.bounds import Bounds
from lossmeter.serving.monitor import ConnectionMonitor
from lossmeter.settings import Settings
from tests.support.doors import WHOLE, Door
from tests.support.service import answer_of, connected, serving

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
MSE = b'{"predictions": [1.0], "labels": [0.0]}'
POST = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\n"
SMALL = POST + b"Content-Length: %d\r\n\r\n" % len(MSE) + MSE
LIMITS = {
    "header_seconds": 0.4,
    "body_seconds": 0.4,
    "min_bytes_per_second": 1000,
    "max_header_bytes": 4096,
    "max_headers": 20,
}


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    """The URL of a server that has little timeouts."""
    with serving(**LIMITS) as url:
        yield url


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody will read any more is not taken for long."""
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.5)


def drip(connection: socket.socket, pieces: Iterator[bytes], pause: float, seconds: float) -> None:
    """Sends piece by piece until the time is over, or nobody listens any more."""
    deadline = time.monotonic() + seconds
    for piece in pieces:
        if time.monotonic() > deadline:
            return
        try:
            connection.sendall(piece)
        except OSError:
            return
        time.sleep(pause)


def told(connection: socket.socket, seconds: float = 10) -> bytes:
    """All that the server says until it hangs up.

    Raises:
        TimeoutError: if it does not.
    """
    connection.settimeout(seconds)
    pieces = []
    while True:
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def is_closed(connection: socket.socket, data: bytes) -> bool:
    """Whether the other side takes nothing any more, and never will."""
    try:
        connection.sendall(data)
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def refused(answer: bytes, status: int, code: str) -> bool:
    """Whether it is a problem of that kind, and nothing else."""
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in answer
    assert b"x-request-id: " in answer
    assert answer.count(b"HTTP/1.1") == 1
    return b'"code":"%s"' % code.encode() in answer


def test_nothing_at_all_is_not_waited_for(strict: str) -> None:
    with connected(strict) as connection:
        begin = time.monotonic()
        assert refused(told(connection), 408, "too_slow")
        assert time.monotonic() - begin < 3


def test_a_slow_head_is_not_waited_for(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        sender = threading.Thread(
            target=drip, args=(connection, (b"X-%d: y\r\n" % n for n in itertools.count()), 0.05, 8)
        )
        sender.start()
        begin = time.monotonic()
        assert refused(told(connection), 408, "too_slow")
        assert time.monotonic() - begin < 6
        sender.join()


def test_empty_lines_are_no_request_that_is_waited_for(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(HEALTH)
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        begin = time.monotonic()
        assert refused(told(connection), 408, "too_slow")
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize("begun", [b"", b"5\r\n"])
def test_a_body_that_does_not_come_is_answered(strict: str, head: bytes, begun: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + head + begun)
        begin = time.monotonic()
        assert refused(told(connection), 408, "too_slow")
        assert time.monotonic() - begin < 4


def test_a_slow_body_is_answered_and_its_room_given_back(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        sender = threading.Thread(target=drip, args=(connection, itertools.repeat(b" "), 0.05, 6))
        sender.start()
        assert refused(told(connection), 408, "too_slow")
        sender.join()


def test_a_steady_body_is_waited_for_however_long_it_takes(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % (12 * 300 + len(MSE)))
        drip(connection, itertools.repeat(b" " * 300, 12), 0.1, 60)
        connection.sendall(MSE)
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"y" * 5000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(25)),
        b"".join(b"X: %s\r\n" % (b"y" * 500) for _ in range(12)),
    ],
    ids=["one large", "many", "large together"],
)
def test_a_large_head_is_refused(strict: str, head: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
        assert refused(told(connection), 431, "header_too_large")


def test_a_long_address_is_refused(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 5000))
        assert refused(told(connection), 431, "header_too_large")


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"y" * 1000])
def test_a_head_without_end_is_refused_and_no_longer_read(strict: str, piece: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        sender = threading.Thread(target=drip, args=(connection, itertools.repeat(piece * 10), 0.0, 8))
        sender.start()
        assert refused(told(connection), 431, "header_too_large")
        sender.join(9)
        assert not sender.is_alive()


@pytest.mark.parametrize("piece", [b"5;" + b"x" * 5000 + b"\r\nabcde\r\n", b"1;" + b"x" * 900 + b"\r\n \r\n"])
def test_chunks_that_are_nothing_but_framing_are_refused(strict: str, piece: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.1)
        sender = threading.Thread(target=drip, args=(connection, itertools.repeat(piece), 0.001, 8))
        sender.start()
        answer = told(connection)
        sender.join(9)
        assert not sender.is_alive()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))


def test_a_trailer_is_no_header_and_has_an_end(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(MSE), MSE))
        connection.sendall(b"Authorization: Bearer x\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
    with connected(strict) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(MSE), MSE))
        time.sleep(0.1)
        sender = threading.Thread(
            target=drip, args=(connection, itertools.repeat(b"X: %s\r\n" % (b"y" * 500)), 0.001, 8)
        )
        sender.start()
        told(connection)
        sender.join(9)
        assert not sender.is_alive()


def test_chunks_of_one_byte_are_a_body(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.1)
        text = MSE + b" " * 3000
        for start in range(0, len(text), 100):
            connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in text[start : start + 100]))
        connection.sendall(b"0\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_wants_is_not_taken_for_ever(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n")
        sender = threading.Thread(target=drip, args=(connection, itertools.repeat(b" " * 100_000), 0.01, 20))
        sender.start()
        begin = time.monotonic()
        assert told(connection, 20).startswith(b"HTTP/1.1 404")
        assert time.monotonic() - begin < 8
        sender.join(2)
        assert not sender.is_alive()


def test_after_a_refusal_without_100_continue_nothing_is_taken_for_the_body(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(POST.replace(b"mse", b"none") + b"Expect: 100-continue\r\nContent-Length: 60\r\n\r\n")
        assert told(connection).startswith(b"HTTP/1.1 404")


def test_a_client_that_does_not_read_its_answer_is_left() -> None:
    with serving(**LIMITS) as url, connected(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(300):
            try:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            except OSError:
                break
        begin = time.monotonic()
        connection.settimeout(0.2)
        while not is_closed(connection, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
            assert time.monotonic() - begin < 60


def test_an_idle_connection_makes_room_and_a_busy_one_does_not() -> None:
    with serving(max_connections=3) as url, connected(url) as first, connected(url) as second, connected(url) as third:
        for connection in (first, second, third):
            connection.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        time.sleep(0.2)
        with connected(url) as fourth:
            assert refused(told(fourth), 503, "busy")
        first.sendall(b" " * (1000 - len(MSE)) + MSE)
        assert answer_of(first).startswith(b"HTTP/1.1 200")
        assert httpx.get(url + "/healthz").status_code == 200
        assert told(first) == b""


def test_newcomers_make_room_with_those_that_wait_and_never_more_than_there_is() -> None:
    most = 20
    with serving(max_connections=most) as url, ExitStack() as stack:
        for _ in range(most):
            connection = stack.enter_context(connected(url))
            connection.sendall(HEALTH)
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
        newcomers = [stack.enter_context(connected(url)) for _ in range(5 * most)]
        time.sleep(1)
        for newcomer in newcomers:
            with suppress(OSError):
                newcomer.sendall(HEALTH)
        answers = Counter(_first_line(newcomer) for newcomer in newcomers)
        assert 0 < answers[b"HTTP/1.1 200 OK"] <= most
        assert answers[b"HTTP/1.1 503 Service Unavailable"] >= 3 * most


def _first_line(connection: socket.socket) -> bytes:
    with suppress(OSError):
        return answer_of(connection).partition(b"\r\n")[0]
    return b""


def test_an_empty_line_after_a_body_begins_no_request() -> None:
    """Whether it comes before the answer or after it, which is chance for a client that sends it behind its body."""
    with serving(header_seconds=0.4) as url, ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(4)]
        for number, connection in enumerate(connections):  # all but the first take the express way
            connection.sendall(SMALL)
            if number % 2:
                connection.sendall(b"\r\n")
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
            if not number % 2:
                connection.sendall(b"\r\n")
        time.sleep(1.2)
        for connection in connections:
            connection.sendall(HEALTH)
            assert answer_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("pieces", [[WHOLE, b"\r", b"\n"], [WHOLE + b"\r", b"\n"], [WHOLE, b"\r\n"]])
def test_an_empty_line_is_one_however_it_is_read(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        door = Door(RequestQueue)
        for piece in pieces:
            await door.send(piece)
        assert door.connection.idle
        door.connection.data_received(b"\r\nG")
        door.connection.data_received(b"\r")
        assert not door.connection.idle, "that was the end of no line that is empty"

    asyncio.run(scenario())


@pytest.mark.parametrize("begun", [b"\r\nG", b"\r\nGET /healthz HTTP/1.1\r\n"])
def test_a_request_that_begins_after_an_empty_line_has_to_become_complete(strict: str, begun: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(SMALL)
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(begun)
        assert refused(told(connection), 408, "too_slow")


def test_a_monitor_forgets_connections_that_end() -> None:
    async def scenario() -> int:
        class Ended:
            loop = asyncio.get_running_loop()

            def check_timeouts(self, now: float) -> None:
                pass

        monitor = ConnectionMonitor(Bounds.of(Settings(header_seconds=0.4)))
        ended = [weakref.ref(one) for one in some(monitor, Ended)]
        for _ in range(4):
            await asyncio.sleep(0.05)
        gc.collect()
        return sum(one() is not None for one in ended)

    def some(monitor: Any, kind: Any) -> list[Any]:
        found = [kind() for _ in range(50)]
        for one in found:
            monitor.add(one)
        monitor._unchecked = list(found)
        for one in found:
            monitor.remove(one)
        return found

    assert asyncio.run(scenario()) == 0


def test_an_idle_connection_is_closed_after_its_time() -> None:
    with serving(keep_alive_seconds=1) as url, connected(url) as connection:
        connection.sendall(HEALTH)
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        assert told(connection) == b""
        assert 0.5 < time.monotonic() - begin < 3


def test_what_is_not_http_is_a_problem(strict: str) -> None:
    with connected(strict) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100)
        assert refused(told(connection), 400, "malformed_request")


def answers_of(connection: socket.socket, seconds: float = 20) -> list[bytes]:
    """The statuses of all answers until the server hangs up."""
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", told(connection, seconds))


def test_a_client_that_sends_no_more_gets_its_answers(url: str) -> None:
    for requests, expected in (
        (SMALL, [b"200"]),
        (HEALTH * 3, [b"200"] * 3),
        (POST + b"Content-Length: 200000\r\n\r\n" + b" " * (200_000 - len(MSE)) + MSE, [b"200"]),
        (POST + b"Content-Length: 1000\r\n\r\n", []),
        (b"", []),
    ):
        with connected(url) as connection:
            connection.sendall(requests)
            connection.shutdown(socket.SHUT_WR)
            assert answers_of(connection) == expected


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        (HEALTH, b"\x00\x01 no request\r\n\r\n", b"malformed_request"),
        (HEALTH * 3 + SMALL + HEALTH, b"GET /healthz HTTP/1.1\r\n\r\n", b"malformed_request"),
        (SMALL, b"GET / HTTP/9\r\n\r\n", b"malformed_request"),
        (SMALL * 3, b"\x00\x01 no request\r\n\r\n", b"malformed_request"),
        (HEALTH + SMALL, b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"header_too_large"),
        (HEALTH + SMALL, POST + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", b"malformed_body"),
    ],
    ids=["app", "waiting", "direct", "direct-waiting", "head", "body"],
)
@pytest.mark.parametrize("known", [False, True], ids=["", "known"])
def test_what_is_malformed_behind_good_requests_is_refused_after_their_answers(
    url: str, good: bytes, bad: bytes, code: bytes, half_closed: bool, known: bool
) -> None:
    """On every way in: by the application, without it, and for requests of a kind that is known by its head."""
    with connected(url) as connection:
        for _ in range(3 if known else 0):
            connection.sendall(SMALL)
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(good)
        connection.sendall(bad)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        text = told(connection)
    *answers, last = text.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * good.count(b" HTTP/1.1")
    assert last[:3] in (b"400", b"431")
    assert b'"code":"%b"' % code in last
    assert b"connection: close" in last or code == b"malformed_body"  # which the application answers


def test_requests_that_do_not_wait_for_answers_are_answered_up_to_a_number_and_told_of_it(url: str) -> None:
    most = connections.MAX_PIPELINED
    with connected(url) as connection:
        connection.sendall(HEALTH * (most + 1))
        assert [answer[9:12] for answer in _answers(connection, most + 1)] == [b"200"] * (most + 1)
    with connected(url) as connection:
        connection.sendall(HEALTH * 3 * most)
        answers = answers_of(connection)
    assert answers == [b"200"] * (len(answers) - 1) + [b"429"]
    assert most < len(answers) <= most + 2
    with connected(url) as connection:
        connection.sendall(HEALTH * (most + 1) + POST + b"Content-Length: 100000\r\n\r\n ")
        connection.shutdown(socket.SHUT_WR)
        assert answers_of(connection) == [b"200"] * (most + 1) + [b"429"]


def _answers(connection: socket.socket, count: int) -> list[bytes]:
    """The heads of so many answers."""
    connection.settimeout(20)
    text = b""
    while text.count(b'"version"') < count:
        text += connection.recv(1 << 16)
    return [b"HTTP/1.1 " + part[:100] for part in text.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", b"200"),
    ],
)
def test_a_request_names_one_host(url: str, head: bytes, status: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(head)
        answer = answer_of(connection)
        assert answer[9:12] == status
        assert status == b"200" or b"RFC 9112" in answer


def test_silent_and_slow_connections_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "PATIENCE_SECONDS", 0.05)
    with serving(max_connections=3, header_seconds=2.0, body_seconds=2.0) as url, ExitStack() as stack:
        silent, head, body = (stack.enter_context(connected(url)) for _ in range(3))
        body.sendall(POST + b"Content-Length: 100000\r\n\r\n ")
        head.sendall(b"GET /healthz HTTP/1.1\r\n")
        time.sleep(1.1)  # a check of connections, and some silence
        for _ in range(3):
            fresh = stack.enter_context(connected(url))
            fresh.sendall(POST + b"Content-Length: 9000\r\n\r\n")
        answers = [answer_of(connection) for connection in (silent, head, body)]
    assert [answer[9:12] for answer in answers] == [b"408", b"408", b"503"]
    assert all(b"Others needed the connection" in answer or b"others needed the" in answer for answer in answers)
