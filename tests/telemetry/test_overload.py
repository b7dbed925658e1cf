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
from functools import partial
from typing import Any

import httpx
import pytest
import torch
import uvicorn
from starlette.types import Message
from uvicorn.server import ServerState

from lossmeter.api.tensor_routes import worked
from lossmeter.errors import Busy
from lossmeter.losses import find
from lossmeter.scheduling import request_queue as line
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import Line
from lossmeter.serving import connections, shedding
from lossmeter.serving.connections import Bounds, Patrol
from lossmeter.serving.shedding import Refusals, Shedding
from lossmeter.settings import Settings
from lossmeter.telemetry.counters import Tallies
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.watchdog import BEAT_SECONDS, Pulse
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


def test_what_is_for_the_pool_in_any_case_is_refused_however_small_it_is() -> None:
    async def unread() -> Message:
        raise AssertionError("nothing is read of a request that is refused")

    async def scenario() -> None:
        pool = Pool(1, 0.1)
        gate = threading.Event()
        running = [asyncio.create_task(pool.run(0, gate.wait)) for _ in range(2)]
        await asyncio.sleep(0.3)
        limits = Limits(100, 100, Admission(100, 100), pool, 5.0)
        scope = {"type": "http", "headers": [(b"content-length", b"2")]}
        limits.admit(2)  # which is for requests that the event loop answers if they are small
        with pytest.raises(Busy, match="longer than they should"):
            await worked(scope, unread, limits, lambda *_: (None, (0.0, 0.0, 0.0)))
        assert limits.admission.bytes == 0
        gate.set()
        await asyncio.gather(*running)
        pool.close()

    asyncio.run(scenario())


def test_large_requests_are_refused_once_others_wait_too_long_and_small_ones_are_not() -> None:
    large = {name: value * 200_000 for name, value in SMALL.items()}
    small = {"predictions": [1.0], "labels": [0.0]}
    gate = threading.Event()

    async def scenario(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            running: list[asyncio.Task[httpx.Response]] = []
            while not any(one.done() for one in running):
                running.append(asyncio.create_task(http.post(RANKING, json=large)))
                await asyncio.sleep(0.2)
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
        assert http.post(RANKING, json=large).status_code == 200
        with http.stream("GET", "/metrics") as metrics:
            text = metrics.read().decode()
    assert f'lossmeter_errors_total{{code="busy"}} {float(statuses[503])}' in text


def test_small_requests_are_refused_once_others_wait_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SHARE", 1)
    monkeypatch.setattr(line, "MAX_WAIT_SECONDS", 1.0)
    monkeypatch.setattr(line, "process_time", time.monotonic)  # as if waiting were work
    content = json.dumps(SMALL).encode()
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    plain, unusual = (f"{head}{more}\r\n".encode() + content for more in ("", "Connection: close\r\n"))
    with serving() as url, slow(0.1), ExitStack() as stack:
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
            "nobody who is refused waits for the line"
        )
        assert Counter(answer_of(connection)[9:12] for connection in connections[:30]) == {b"200": 30}
        connections[34].sendall(plain)
        assert b" 200 " in answer_of(connections[34])[:20]


def test_a_line_is_gone_through_in_order_a_share_in_each_turn() -> None:
    async def scenario() -> list[list[int]]:
        ours, begun = Line(), []
        for number in range(2 * line.SHARE + 5):
            ours.join(partial(begun.append, number))
        turns = [list(begun)]
        while ours.waiting:
            begun.clear()
            await asyncio.sleep(0)
            turns.append(list(begun))
        return turns

    turns = asyncio.run(scenario())
    assert [len(turn) for turn in turns] == [line.SHARE, line.SHARE, 5]
    assert [number for turn in turns for number in turn] == list(range(2 * line.SHARE + 5))


def test_whoever_comes_later_does_not_overtake_the_line() -> None:
    async def scenario() -> list[str]:
        ours, begun = Line(), []
        for _ in range(line.SHARE + 1):
            ours.join(partial(begun.append, "early"))
        asyncio.get_running_loop().call_soon(ours.join, partial(begun.append, "late"))
        for _ in range(5):
            await asyncio.sleep(0)
        return begun

    begun = asyncio.run(scenario())
    assert begun == ["early"] * (line.SHARE + 1) + ["late"]


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the clocks of a line show."""
    now = {"wall": 100.0, "used": 5.0}
    monkeypatch.setattr(line, "monotonic", lambda: now["wall"])
    monkeypatch.setattr(line, "process_time", lambda: now["used"])
    return now


def forward(clocks: dict[str, float], seconds: float) -> None:
    clocks["wall"] += seconds
    clocks["used"] += seconds


def full() -> Line:
    """A line with somebody in it; in a loop."""
    ours = Line()
    for _ in range(line.SHARE + 1):
        ours.join(lambda: None)
    return ours


def test_a_line_that_became_too_long_is_too_long_until_it_is_short(clocks: dict[str, float]) -> None:
    async def scenario() -> None:
        ours = full()
        forward(clocks, 0.25)
        assert ours.late() == 0, "a burst is taken up"
        forward(clocks, 0.1)
        assert ours.late() == pytest.approx(0.35)
        await asyncio.sleep(0)
        assert (ours.waiting, ours.late()) == (0, 0)
        await asyncio.sleep(0)
        for _ in range(line.SHARE + 1):
            ours.join(lambda: None)
        assert ours.late() == 0
        forward(clocks, 0.1)
        assert ours.late() == pytest.approx(0.1), "no burst, but what goes on"

    asyncio.run(scenario())


def test_a_line_may_grow_again_after_a_while_without_a_refusal(clocks: dict[str, float]) -> None:
    async def scenario() -> None:
        ours = full()
        forward(clocks, 0.4)
        assert ours.late() > 0
        await asyncio.sleep(0)
        forward(clocks, line.CALM_SECONDS + 0.1)
        await asyncio.sleep(0)
        for _ in range(line.SHARE + 1):
            ours.join(lambda: None)
        forward(clocks, 0.1)
        assert ours.late() == 0

    asyncio.run(scenario())


def test_a_pause_in_which_nothing_was_done_makes_nobody_late(clocks: dict[str, float]) -> None:
    async def scenario() -> None:
        ours = full()
        clocks["wall"] += 10
        assert ours.late() == 0

    asyncio.run(scenario())


def test_the_pulse_knows_how_late_the_loop_runs() -> None:
    async def scenario() -> tuple[float, float]:
        pulse = Pulse([], 0)
        pulse.start()
        await asyncio.sleep(4 * BEAT_SECONDS)
        calm = pulse.lag
        time.sleep(0.5)  # noqa: ASYNC251 - as if something held the loop
        await asyncio.sleep(2 * BEAT_SECONDS)
        pulse.stop()
        return calm, pulse.lag

    calm, held = asyncio.run(scenario())
    assert calm < held
    assert 0.3 < held < 5


class Late(Line):
    """A line that is a second late."""

    def late(self) -> float:
        return 1.0


BODY = b'{"predictions": [1.0], "labels": [0.0]}'
HEAD = b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
WHOLE = HEAD + b"X-Request-ID: mine\r\n\r\n" + BODY


class Full(Pool):
    """A pool that says it is a second behind."""

    def refusal(self) -> Busy | None:
        return Busy("Requests wait 1.0 s longer than they should; at most 0 s.", 1)


def refusals(line: type[Line] = Late, pool: type[Pool] = Pool) -> Refusals:
    limits = Limits(2000, 1000, Admission(100, 100), pool(0), 5.0)
    return Refusals(line(), Tallies(["/v1/losses/mse"]), limits, Readiness())


def test_a_refusal_at_the_door_is_a_whole_answer_and_is_counted() -> None:
    ours = refusals()
    refused = ours.answer(WHOLE, [(b"date", b"today")], ("127.0.0.1", 1))
    assert refused is not None
    assert refused.rest == 0
    head, _, content = refused.answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = httpx.Headers([line.split(": ", 1) for line in lines])  # type: ignore[misc]
    assert first == "HTTP/1.1 503 Service Unavailable"
    assert int(headers["content-length"]) == len(content)
    assert (headers["x-request-id"], headers["retry-after"], headers["date"]) == ("mine", "1", "today")
    assert headers["server-timing"]
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(content)
    assert (problem["code"], problem["request_id"], problem["status"]) == ("busy", "mine", 503)
    reading = ours.tallies.reading()
    assert reading["requests"] == {("POST", "/v1/losses/{loss}", "mse", "503"): 1}
    assert reading["errors"]["busy",] == 1
    inference = ours.answer(WHOLE.replace(b"/v1/losses/mse", b"/v2/models/mse/infer"), [], None)
    assert inference is not None
    assert json.loads(inference.answer.partition(b"\r\n\r\n")[2]).keys() == {"error"}


@pytest.mark.parametrize("begun", [len(HEAD) + 25, len(WHOLE) - 1])
def test_a_body_that_is_still_to_come_is_known(begun: int) -> None:
    refused = refusals().answer(WHOLE[:begun], [], None)
    assert refused is not None
    assert refused.rest == len(WHOLE) - begun


@pytest.mark.parametrize(("size", "expected"), [(1000, False), (1001, True), (2000, True), (2001, False)])
def test_a_pool_that_is_late_refuses_what_is_for_it_alone(size: int, expected: bool) -> None:
    head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    refused = refusals(Line, Full).answer(head + b"[", [], None)
    assert (refused is not None) == expected
    if refused is not None:
        assert refused.rest == size - 1
        assert b"Requests wait 1.0 s longer" in refused.answer


@pytest.mark.parametrize(
    "data",
    [
        WHOLE + b"P",
        WHOLE[: len(HEAD)],
        WHOLE.replace(b"POST", b"GET"),
        WHOLE.replace(b"/v1/losses/mse", b"/v1/runs"),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
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
        WHOLE.replace(b"Host: x", b"Content-Length: +6"),
        WHOLE.replace(b"Host: x", b"Content-Length: 5, 50"),
        WHOLE.replace(b"mse HTTP", b"mse\x01 HTTP"),
        WHOLE.replace(b"mse HTTP", b"mse\n HTTP"),
        WHOLE.replace(b"ID: mine", b'ID: m"ine'),
        WHOLE.replace(b"ID: mine", b"ID: m\\ine"),
        WHOLE.replace(b"Host: x", b"Host: " + b"x" * 4096),
        WHOLE.replace(b"Host: x", b"Expect: 100-continue"),
        WHOLE.replace(b"Host: x", b"Connection: close"),
        WHOLE.replace(b"Host: x", b"Host: x\r\n folded"),
        WHOLE.replace(b"Host: x", b"Origin: https://example.org"),
        WHOLE.replace(b"Content-Length", b"Content-Size"),
        WHOLE.replace(b"mse HTTP", b"mse a HTTP"),
    ],
)
def test_what_is_not_whole_and_plain_takes_the_ordinary_way(data: bytes) -> None:
    assert data != WHOLE
    assert refusals().answer(data, [], None) is None


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n", b"Authorization: Bearer lm_secret\r\n"])
def test_what_clients_usually_send_is_refused_at_the_door(more: bytes) -> None:
    assert refusals().answer(HEAD + more + b"\r\n" + BODY, [], None) is not None


def test_keys_are_not_remembered() -> None:
    shedding._remembered.cache_clear()
    for _ in range(2):
        assert refusals().answer(HEAD + b"AUTHORIZATION: Bearer lm_secret\r\n\r\n" + BODY, [], None) is not None
    assert shedding._remembered.cache_info().currsize == 0
    assert refusals().answer(WHOLE, [], None) is not None
    assert shedding._remembered.cache_info().currsize == 1


def test_whoever_is_about_to_stop_refuses_in_the_ordinary_way_which_ends_the_connection() -> None:
    ours = refusals()
    ours.readiness.draining = True
    assert ours.answer(WHOLE, [], None) is None


class Unread(asyncio.Transport):
    """Keeps what is written; nobody reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def test_a_client_that_reads_no_answers_gets_no_more_refusals_at_the_door() -> None:
    async def scenario() -> tuple[int, int]:
        asked = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            asked.append(scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        config = uvicorn.Config(application, log_level="critical")
        config.load()
        ours, transport = refusals(), Unread()
        connection = Shedding(Patrol(Bounds.of(Settings())), config, ServerState(), {shedding.STATE: ours})
        connection.connection_made(transport)
        connection.data_received(WHOLE)
        connection.data_received(WHOLE)
        at_the_door = transport.written.count(b"HTTP/1.1 503 ")
        connection.pause_writing()
        connection.data_received(WHOLE)
        await asyncio.sleep(0)
        assert transport.written.count(b"HTTP/1.1 503 ") == at_the_door
        connection.resume_writing()
        await asyncio.gather(*connection.tasks)
        return at_the_door, len(asked)

    assert asyncio.run(scenario()) == (2, 1)


def test_waiting_in_line_is_part_of_the_time_that_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SHARE", 1)
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
    assert float(in_flight[1]) > 8, "those in line are not answered yet"
    soon = next(line for line in ended.splitlines() if line.startswith(bucket))
    assert 0 < float(soon.rpartition(" ")[2]) < 10


def test_a_connection_goes_on_after_a_refusal_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    request = httpx.Request("POST", RANKING, json=SMALL)
    head = f"POST {RANKING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.content)}\r\n\r\n".encode()
    late = [1.0]
    monkeypatch.setattr(Line, "late", lambda _: late[0])
    with serving() as url, connected(url) as connection:
        connection.sendall(head + request.content)
        assert b" 503 " in answer_of(connection)[:20]
        late[0] = 0.0
        connection.sendall(head + request.content)
        assert b" 200 " in answer_of(connection)[:20]


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
