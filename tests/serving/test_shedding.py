"""More than a worker can do is refused early, and what it can do is done meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partialmethod
from typing import Any

import httpx
import pytest
import torch
from starlette.types import Message

from lossmeter.api.exchange import respond
from lossmeter.api.operations.evaluation import Evaluate
from lossmeter.engine import Engine
from lossmeter.errors import Busy
from lossmeter.losses import find
from lossmeter.scheduling import request_queue
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.serving import connections
from lossmeter.serving.shedding import SheddingConnection
from tests.support.clocks import Clock
from tests.support.doors import BODY, HEAD, WHOLE, Door
from tests.support.service import answer_of, connected, serving

SMALL = {"input1": [0.5], "input2": [1.5], "labels": [1]}
RANKING = "/v1/losses/margin_ranking"


@contextmanager
def slow(seconds: float, wait: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """`margin_ranking` takes that long."""
    loss = find("margin_ranking")
    genuine = loss.function

    def function(**tensors: Any) -> torch.Tensor:
        wait(seconds)
        return genuine(**tensors)

    object.__setattr__(loss, "function", function)
    try:
        yield
    finally:
        object.__setattr__(loss, "function", genuine)


def test_what_is_for_the_pool_in_any_case_is_refused_however_small_it_is() -> None:
    async def unread() -> Message:
        raise AssertionError("nothing is read of a request that is refused")

    async def unsent(_: Message) -> None:
        raise AssertionError("the layer outside answers a request that is refused")

    async def scenario() -> None:
        clock, began, gate = Clock(), threading.Event(), threading.Event()
        pool = Pool(1, 0.1, clock)
        running = [asyncio.create_task(pool.run(0, lambda: began.set() or gate.wait())) for _ in range(2)]
        await asyncio.to_thread(began.wait)
        clock.advance(0.3)
        limits = Limits(100, 100, Admission(100, 100), pool, 5.0)
        scope = {"type": "http", "headers": [(b"content-length", b"2")]}
        limits.admit(2)  # which is for requests that the event loop answers if they are small
        with pytest.raises(Busy, match="longer than they should"):
            await respond(Evaluate(Engine("cpu"), 100), limits, scope, unread, unsent)
        assert limits.admission.bytes == 0
        gate.set()
        await asyncio.gather(*running)
        pool.close()

    asyncio.run(scenario())


def test_large_requests_are_refused_once_others_wait_too_long_and_small_ones_are_not() -> None:
    large = json.dumps({name: value * 200_000 for name, value in SMALL.items()}).encode()
    small = {"predictions": [1.0], "labels": [0.0]}
    gate = threading.Event()

    async def scenario(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            running: list[asyncio.Task[httpx.Response]] = []
            while not any(one.done() for one in running):
                running.append(asyncio.create_task(http.post(RANKING, content=large)))
                await asyncio.wait(running, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            assert (await http.post("/v1/losses/mse", json=small)).status_code == 200
            gate.set()
            return await asyncio.gather(*running)

    with serving(max_wait_seconds=0.3, pool_threads=1) as url, slow(60, gate.wait), httpx.Client(base_url=url) as http:
        answers = asyncio.run(scenario(url))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {200, 503}
        assert statuses[200] >= 2
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
        assert all(answer.json()["value"] == 1.0 for answer in answers if answer.status_code == 200)
        assert http.post(RANKING, content=large).status_code == 200
        with http.stream("GET", "/metrics") as metrics:
            text = metrics.read().decode()
    assert f'lossmeter_errors_total{{code="busy"}} {float(statuses[503])}' in text


def test_small_requests_are_refused_once_others_wait_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "BEGUN_PER_TURN", 1)
    by_the_wall = partialmethod(RequestQueue.__init__, processor_clock=time.monotonic)  # as if waiting were work
    monkeypatch.setattr(RequestQueue, "__init__", by_the_wall)
    content = json.dumps(SMALL).encode()
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    plain, unusual = (f"{head}{more}\r\n".encode() + content for more in ("", "Connection: close\r\n"))
    with serving(max_wait_seconds=0.5) as url, slow(0.1), ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(35)]
        time.sleep(0.5)
        for connection in connections[:30]:
            connection.sendall(plain)
        time.sleep(1.3)
        for connection, request in zip(connections[30:34], (plain, unusual, plain, unusual), strict=True):
            connection.sendall(request)
        connections[34].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused = [answer_of(connection) for connection in connections[30:34]]
        assert all(b" 503 " in answer[:20] and b'"busy"' in answer for answer in refused)
        assert all(b"\r\nretry-after: 1\r\n" in answer.lower() for answer in refused)
        assert b" 200 " in answer_of(connections[34])[:20]
        assert select.select(connections[:30], [], [], 0)[0] != connections[:30], (
            "nobody who is refused waits for the others"
        )
        assert Counter(answer_of(connection)[9:12] for connection in connections[:30]) == {b"200": 30}
        connections[34].sendall(plain)
        assert b" 200 " in answer_of(connections[34])[:20]


class Full(Pool):
    """A pool that says it is a second behind."""

    def refusal(self) -> Busy | None:
        return Busy("Requests wait 1.0 s longer than they should; at most 0 s.", 1)


def written(*pieces: bytes, **options: Any) -> bytes:
    """What a new connection writes in answer."""

    async def scenario() -> bytes:
        return await Door(**options).send(*pieces)

    return asyncio.run(scenario())


def test_a_refusal_at_the_door_is_a_whole_answer_and_is_counted() -> None:
    async def scenario() -> tuple[bytes, Any, bytes]:
        door = Door()
        answer = await door.send(WHOLE)
        reading = door.state["counters"].read()
        return answer, reading, await door.send(WHOLE.replace(b"/v1/losses/mse", b"/v2/models/mse/infer"))

    answer, reading, inference = asyncio.run(scenario())
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = httpx.Headers([line.split(": ", 1) for line in lines])  # type: ignore[misc]
    assert first == "HTTP/1.1 503 Service Unavailable"
    assert int(headers["content-length"]) == len(content)
    assert (headers["x-request-id"], headers["retry-after"], headers["date"]) == ("mine", "1", "today")
    assert headers["server-timing"]
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(content)
    assert (problem["code"], problem["request_id"], problem["status"]) == ("busy", "mine", 503)
    assert reading["requests"] == {("POST", "/v1/losses/{loss}", "mse", "503"): 1}
    assert reading["errors"]["busy",] == 1
    assert inference.startswith(b"HTTP/1.1 503 ")
    assert json.loads(inference.partition(b"\r\n\r\n")[2]).keys() == {"error"}


@pytest.mark.parametrize("begun", [len(HEAD) - 5, len(HEAD) + 25, len(WHOLE) - 1])
def test_a_body_that_is_still_to_come_is_passed_over(begun: int) -> None:
    async def scenario() -> None:
        door = Door()
        assert (await door.send(WHOLE[:begun], WHOLE[begun:-1])).count(b"HTTP/1.1 503 ") == 1
        assert not door.connection.idle
        assert await door.send(WHOLE[-1:]) == b""
        assert door.connection.idle
        assert (await door.send(WHOLE)).count(b"HTTP/1.1 503 ") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("size", "expected"), [(1000, False), (1001, True), (2000, True), (2001, False)])
def test_a_pool_that_is_late_refuses_what_is_for_it_alone(size: int, expected: bool) -> None:
    head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    answer = written(head + b"[", queue=RequestQueue, pool=Full)
    assert (b" 503 " in answer) == expected
    assert (b"Requests wait 1.0 s longer" in answer) == expected


@pytest.mark.parametrize(
    "data",
    [
        WHOLE.replace(b"POST", b"GET"),
        WHOLE.replace(b"/v1/losses/mse", b"/v1/runs"),
        WHOLE.replace(b"/v1/losses/mse", b"/v1/evaluated"),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        WHOLE.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked").replace(BODY, b"0\r\n\r\n"),
        WHOLE.replace(b"Host: x", b"Transfer-Encoding: chunked"),
        WHOLE.replace(b"Host: x", b"transfer-encoding : chunked"),
        WHOLE.replace(b"Host: x", b"Transfer-Encoding\x0b: chunked"),
        WHOLE.replace(b"Host: x", b"Host: x\nTransfer-Encoding: chunked"),
        WHOLE.replace(b"Host: x", b"Host: x\rTransfer-Encoding: chunked"),
        WHOLE.replace(b"Host: x", b"Host: x\x00"),
        WHOLE.replace(b"Host: x", b"Host x"),
        WHOLE.replace(b"Host: x", b": x"),
        WHOLE.replace(b"Host: x", b"Content-Length: 3"),
        WHOLE.replace(b"Host: x", b"content-length : 50"),
        WHOLE.replace(b"Content-Length: ", b"Content-Length: +"),
        WHOLE.replace(b"Content-Length: ", b"Content-Length: 5, "),
        WHOLE.replace(b"mse HTTP", b"mse\x01 HTTP"),
        WHOLE.replace(b"mse HTTP", b"mse\n HTTP"),
        WHOLE.replace(b"ID: mine", b'ID: m"ine'),
        WHOLE.replace(b"ID: mine", b"ID: m\\ine"),
        WHOLE.replace(b"Host: x", b"Expect: 100-continue"),
        WHOLE.replace(b"Host: x", b"Content-Encoding: gzip"),
        WHOLE.replace(b"Host: x", b"Connection: close"),
        WHOLE.replace(b"Host: x", b"Origin: https://example.org"),
        WHOLE.replace(b"Content-Length", b"Content-Size"),
        WHOLE.replace(b"mse HTTP", b"mse a HTTP"),
    ],
)
def test_what_is_not_plain_takes_the_ordinary_way(data: bytes) -> None:
    assert data != WHOLE
    answer = written(data)
    assert b" 503 " not in answer
    assert answer.startswith((b"HTTP/1.1 204 ", b"HTTP/1.1 400 "))


def test_a_head_is_waited_for() -> None:
    assert written(WHOLE[: len(HEAD)]) == b""


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b"Connection: keep-alive\r\n",
        b"Authorization: Bearer lm_secret\r\n",
        b"X: " + b"y" * 4096 + b"\r\n",
        b"X-Request-ID: @\r\n",
    ],
)
def test_what_clients_usually_send_is_refused_at_the_door(more: bytes) -> None:
    answer = written(HEAD + more + b"\r\n" + BODY)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nx-request-id: %s" % json.loads(content)["request_id"].encode() in head


def test_whoever_is_about_to_stop_refuses_in_the_ordinary_way_which_ends_the_connection() -> None:
    async def scenario() -> bytes:
        door = Door()
        door.state["readiness"].draining = True
        return await door.send(WHOLE)

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 204 ")


def test_a_refusal_does_not_overtake_the_answer_before_it() -> None:
    other = WHOLE.replace(b"/v1/losses/mse", b"/v1/runs")

    async def scenario() -> tuple[bytes, list[str]]:
        door = Door()
        return await door.send(other + WHOLE), door.asked

    answer, asked = asyncio.run(scenario())
    assert answer.count(b"HTTP/1.1 204 ") == 2
    assert asked == ["/v1/runs", "/v1/losses/mse"]


def test_a_client_that_reads_no_answers_gets_no_more_refusals_at_the_door() -> None:
    async def scenario() -> tuple[int, int]:
        door = Door()
        await door.send(WHOLE, WHOLE)
        at_the_door = door.transport.written.count(b"HTTP/1.1 503 ")
        door.connection.pause_writing()
        door.connection.data_received(WHOLE)
        await asyncio.sleep(0)
        assert door.transport.written.count(b"HTTP/1.1 503 ") == at_the_door
        door.connection.resume_writing()
        await asyncio.gather(*door.connection.tasks)
        return at_the_door, len(door.asked)

    assert asyncio.run(scenario()) == (2, 1)


def test_waiting_in_the_queue_is_part_of_the_time_that_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "BEGUN_PER_TURN", 1)
    content = json.dumps(SMALL).encode()
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    bucket = 'lossmeter_request_duration_seconds_bucket{le="0.5",route="/v1/losses/{loss}"} '
    with serving() as url, slow(0.1), ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(20)]
        time.sleep(0.3)
        for connection in connections:
            connection.sendall(head + content)
        time.sleep(0.5)
        begun = httpx.get(f"{url}/metrics").text
        assert Counter(answer_of(connection)[9:12] for connection in connections) == {b"200": 20}
        ended = httpx.get(f"{url}/metrics").text
    in_flight = re.search(r"^lossmeter_requests_in_flight (\S+)$", begun, re.MULTILINE)
    assert in_flight is not None
    assert float(in_flight[1]) > 8, "those in the queue are not answered yet"
    soon = next(line for line in ended.splitlines() if line.startswith(bucket))
    assert 0 < float(soon.rpartition(" ")[2]) < 10


def test_a_connection_goes_on_after_a_refusal_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    request = httpx.Request("POST", RANKING, json=SMALL)
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.content)}\r\n\r\n".encode()
    late = [1.0]
    monkeypatch.setattr(RequestQueue, "lateness", lambda _: late[0])
    with serving() as url, connected(url) as connection:
        connection.sendall(head + request.content)
        assert b" 503 " in answer_of(connection)[:20]
        late[0] = 0.0
        connection.sendall(head + request.content)
        assert b" 200 " in answer_of(connection)[:20]


def known(request_id: str) -> bytes:
    content = json.dumps(SMALL)
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {request_id}\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n{content}".encode()


def counted_rests(monkeypatch: pytest.MonkeyPatch) -> list[RequestQueue]:
    """Grows with each client that is not listened to for a while."""
    counted: list[RequestQueue] = []
    rest = RequestQueue.rest

    def counting(queue: RequestQueue, wake: Callable[[], None]) -> None:
        counted.append(queue)
        rest(queue, wake)

    monkeypatch.setattr(RequestQueue, "rest", counting)
    return counted


def test_requests_of_a_known_kind_are_refused_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """In overload all but the refusals has to wait: what they take decides how many are answered."""
    late, parsed = [0.0], [0]
    begin = SheddingConnection.begin_request

    def counted(connection: SheddingConnection) -> None:
        parsed[0] += 1
        begin(connection)

    monkeypatch.setattr(RequestQueue, "lateness", lambda _: late[0])
    monkeypatch.setattr(SheddingConnection, "begin_request", counted)
    rests = counted_rests(monkeypatch)
    with serving() as url, connected(url) as connection:
        for status in (b" 200 ", b" 200 ", b" 503 ", b" 503 ", b" 200 "):
            late[0] = 1.0 if status == b" 503 " else 0.0
            before = parsed[0]
            connection.sendall(known("mine"))
            answer = answer_of(connection)
            assert status in answer[:20]
            assert b"x-request-id: mine\r\n" in answer.lower()
            assert late[0] == 0.0 or parsed[0] == before
        counted_by = httpx.get(url + "/metrics").text
    refused = next(line for line in counted_by.splitlines() if "lossmeter_requests_total" in line and '"503"' in line)
    assert refused.endswith((" 2.0", " 2"))
    assert len(rests) == 2


def test_a_refusal_of_a_known_kind_is_the_one_that_others_get(monkeypatch: pytest.MonkeyPatch) -> None:
    late, rests = [0.0], counted_rests(monkeypatch)
    monkeypatch.setattr(RequestQueue, "lateness", lambda _: late[0])
    with serving() as url, connected(url) as connection:
        for _ in range(3):
            connection.sendall(known("mine"))
            assert b" 200 " in answer_of(connection)[:20]
        late[0] = 1.0
        for request_id in ('say"so"', "back\\slash", "at@sign"):
            connection.sendall(known(request_id))
            answer = answer_of(connection)
            problem = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert (problem["status"], problem["request_id"]) == (503, request_id)
            assert f"x-request-id: {request_id}".encode() in answer
        assert len(rests) == 3
        other = httpx.post(url + RANKING, json=SMALL, headers={"x-request-id": "at@sign"})
        assert other.json() == problem


@pytest.mark.parametrize("together", [True, False])
def test_the_body_of_a_request_refused_at_the_door_is_passed_over(together: bool) -> None:
    large = json.dumps({name: value * 200_000 for name, value in SMALL.items()}).encode()
    small = json.dumps(SMALL).encode()
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    pool_is_late = threading.Event()
    with serving() as url, connected(url) as connection, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pool, "refusal", lambda _: Busy("late", 1) if pool_is_late.is_set() else None)
        pool_is_late.set()
        connection.sendall((head % len(large)).encode() + large[:1000])
        assert b" 503 " in answer_of(connection)[:20]
        connection.sendall(large[1000:-10])
        if not together:
            connection.sendall(large[-10:])
            time.sleep(0.1)
        connection.sendall((large[-10:] if together else b"") + (head % len(small)).encode() + small)
        assert b" 200 " in answer_of(connection)[:20]
        pool_is_late.clear()
        connection.sendall((head % len(large)).encode() + large)
        assert b" 200 " in answer_of(connection)[:20]


def test_a_client_that_keeps_the_body_of_a_refused_request_to_itself_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.5)
    monkeypatch.setattr(Pool, "refusal", lambda _: Busy("late", 1))
    with serving() as url, connected(url) as connection:
        connection.sendall(f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n{{".encode())
        assert b" 503 " in answer_of(connection)[:20]
        connection.settimeout(10)
        assert connection.recv(1) == b""
