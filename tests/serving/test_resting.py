"""A client that was refused is not listened to until the queue says so, and nothing that it sends is lost."""

from __future__ import annotations

import asyncio
import select
from contextlib import ExitStack

import httpx
import pytest

from lossmeter.scheduling.request_queue import BEGUN_PER_TURN, RequestQueue
from lossmeter.serving.crowding import make_room
from tests.support.doors import WHOLE, Door, Holding
from tests.support.service import answer_of, connected, serving

UNUSUAL = WHOLE.replace(b"Host: x", b"Origin: https://example.org\r\nHost: x")
"""A request that only the application refuses."""


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE],
        [WHOLE[:-5], WHOLE[-5:]],
        [WHOLE + WHOLE],
        [UNUSUAL],
        [UNUSUAL[:-5], UNUSUAL[-5:]],
    ],
)
def test_whoever_was_refused_is_not_read_until_the_queue_says_so(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        door = Door(Holding, code="busy")
        for piece in pieces:
            assert door.transport.reading
            await door.send(piece)
        (wake,) = door.state["queue"].held  # type: ignore[attr-defined]
        door.connection.flow.resume_reading()  # as uvicorn does
        assert not door.transport.reading
        wake()
        assert door.transport.reading

    asyncio.run(scenario())


def test_the_rest_of_a_body_is_read_though_its_request_was_refused() -> None:
    """Its client may read no answer before it has sent all."""

    async def scenario() -> None:
        for request in (WHOLE, UNUSUAL):
            door = Door(Holding, code="busy")
            assert await door.send(request[:-5])
            assert door.transport.reading

    asyncio.run(scenario())


@pytest.mark.parametrize("code", ["", "unauthorized", "not_found"])
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_whoever_got_another_answer_than_a_refusal_is_read(code: str, method: bytes) -> None:
    """To close a run needs no room, and who has no key comes back with one."""
    request = WHOLE.replace(b"POST /v1/losses/mse", method + b" /v1/runs/mine")

    async def scenario() -> None:
        for pieces in ([request], [request[:-5], request[-5:]]):
            door = Door(Holding, code=code)
            assert await door.send(*pieces)
            assert door.transport.reading
            assert door.state["queue"].held == []  # type: ignore[attr-defined]

    asyncio.run(scenario())


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
def test_whatever_carries_work_stands_in_line(method: bytes) -> None:
    request = WHOLE.replace(b"POST /v1/losses/mse", method + b" /v1/runs/mine")

    async def scenario() -> list[str]:
        door = Door(RequestQueue)
        for _ in range(BEGUN_PER_TURN):
            door.state["queue"].join(lambda: None)
        door.connection.data_received(request)
        assert door.state["queue"].waiting == 1
        await door.send()
        return door.asked

    assert asyncio.run(scenario()) == ["/v1/runs/mine"]


def test_a_connection_that_is_not_read_is_not_late() -> None:
    """It may have sent what nobody has looked at."""

    async def scenario() -> None:
        door = Door(Holding)
        answer = await door.send(WHOLE)
        connection, (wake,) = door.connection, door.state["queue"].held  # type: ignore[attr-defined]
        for now in (1.0, 1e3, 1e6):
            connection.check_timeouts(now)
            assert not connection.idle
            assert connection.silence(now) == 0
        assert door.transport.open
        assert door.transport.written == answer
        wake()
        assert connection.idle
        connection.check_timeouts(2e6)  # from here on it is idle
        assert door.transport.open
        connection.check_timeouts(3e6)
        assert not door.transport.open

    asyncio.run(scenario())


def test_half_a_request_behind_one_that_was_refused_has_its_time_from_when_it_is_read() -> None:
    """Its clock does not run while nobody reads."""

    async def scenario() -> None:
        for half in (WHOLE[:-5], WHOLE[:20]):
            door = Door(Holding)
            connection = door.connection
            connection.check_timeouts(1.0)
            assert await door.send(WHOLE + half)
            (wake,) = door.state["queue"].held  # type: ignore[attr-defined]
            for now in range(2, 60):
                connection.check_timeouts(float(now))
            assert door.transport.open
            written = door.transport.written
            wake()
            assert connection.silence(60.0) == 0
            for now in (60.0, 60.5, 61.0):
                connection.check_timeouts(now)
            assert door.transport.open
            assert door.transport.written == written
            await door.send(WHOLE[len(half) :])
            assert door.transport.written.count(b"HTTP/1.1 503 ") == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("half", [WHOLE[:-5], WHOLE[:20]])
def test_half_a_request_that_is_read_again_and_never_ends_is_ended(half: bytes) -> None:
    async def scenario() -> None:
        door = Door(Holding)
        await door.send(WHOLE + half)
        door.state["queue"].held.pop()()  # type: ignore[attr-defined]
        for now in (1.0, 100.0):
            door.connection.check_timeouts(now)
        assert not door.transport.open

    asyncio.run(scenario())


def test_what_rests_makes_room_after_all_others_the_longest_first() -> None:
    """Were it left alone, nobody would learn that the server lives."""

    async def scenario() -> None:
        newcomer, *resting, owing, idle = (Door(Holding) for _ in range(5))
        for at, door in enumerate(resting):
            await door.send(WHOLE)
            door.connection.flow.rest(float(at + 1))
        await idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        owing.connection.data_received(UNUSUAL)  # whose answer comes in the next turn
        owing.connection.flow.rest(0.5)
        ended = []
        crowd = [resting[1], owing, resting[0], idle]
        while make_room([door.connection for door in (newcomer, *crowd)], newcomer.connection, 9.0):
            (gone,) = (door for door in crowd if not (door.transport.open or door in ended))
            ended.append(gone)
        assert ended == [idle, *resting]
        assert owing.transport.open
        assert await owing.send()

    asyncio.run(scenario())


def test_health_is_told_though_everybody_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees that a client has left whose connection is not read."""
    request = httpx.Request("POST", "/v1/losses/mse", json={"predictions": [0.5], "labels": [1.5]})
    head = f"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.content)}\r\n\r\n".encode()
    monkeypatch.setattr(RequestQueue, "lateness", lambda _: 1.0)
    monkeypatch.setattr(RequestQueue, "rest", lambda *_: None)
    with serving(max_connections=3) as url:
        for _ in range(3):
            with connected(url) as connection:
                connection.sendall(head + request.content)
                assert b" 503 " in answer_of(connection)[:20]
        for _ in range(3):
            assert httpx.get(url + "/healthz").status_code == 200


def test_a_client_that_left_meanwhile_is_not_read() -> None:
    async def scenario() -> None:
        door = Door(Holding)
        await door.send(WHOLE)
        door.transport.close()
        door.state["queue"].held.pop()()  # type: ignore[attr-defined]
        assert not door.transport.reading

    asyncio.run(scenario())


def test_what_came_while_nobody_read_is_answered_before_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    request = httpx.Request("POST", "/v1/losses/mse", json={"predictions": [0.5], "labels": [1.5]})
    head = f"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.content)}\r\n\r\n".encode()
    late, held = [1.0], []
    monkeypatch.setattr(RequestQueue, "lateness", lambda _: late[0])
    monkeypatch.setattr(RequestQueue, "rest", lambda _, wake: held.append(wake))
    with ExitStack() as stack:
        with serving() as url:
            connection = stack.enter_context(connected(url))
            connection.sendall(head + request.content)
            assert b" 503 " in answer_of(connection)[:20]
            late[0] = 0.0
            connection.sendall(head + request.content)
            assert select.select([connection], [], [], 0.3)[0] == []
        assert len(held) == 1
        assert b" 200 " in answer_of(connection)[:20]
        assert connection.recv(1) == b""
