"""Connections to servers that do as they like: the answer is right, or the error says what happened."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossmeter
from lossmeter.client import AsyncClient, BadAnswer, Client, NoAnswer, Retries, TimedOut, TooLarge, sockets

ONCE = Retries(attempts=1)
Act = Callable[[socket.socket], None]


def well(number: int, *headers: bytes) -> bytes:
    """The answer to `health`, with a number to know it by."""
    body = b'{"status": %d}' % number
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


class Server:
    """Answers the requests of all its connections in the order of the script.

    Attributes:
        requests: in the order in which they came.
        connections: how many were made.
    """

    def __init__(self, *script: bytes | Act) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                self.threads.append(threading.Thread(target=self._serve, args=[connection]))
                self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            while self.script:
                received = b""
                while b"\r\n\r\n" not in received:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        return
                    received += piece
                self.requests.append(received)
                act = self.script.pop(0)
                if callable(act):
                    act(connection)
                else:
                    connection.sendall(act)
            connection.recv(1)  # until the client hangs up

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(20)


@contextmanager
def scripted(*script: bytes | Act) -> Iterator[Server]:
    server = Server(*script)
    try:
        yield server
    finally:
        server.close()


def hang_up(connection: socket.socket) -> None:
    connection.close()


def then_hang_up(data: bytes) -> Act:
    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        hang_up(connection)

    return act


def slowly(data: bytes) -> Act:
    def act(connection: socket.socket) -> None:
        for place in range(len(data)):
            connection.sendall(data[place : place + 1])
            time.sleep(0.001)

    return act


def numbers(server: Server, count: int) -> list[int]:
    """What `count` requests of one client get, one after the other, without a second attempt."""
    with Client(server.url, retries=ONCE) as client:
        found = []
        for _ in range(count):
            found.append(client.health()["status"])
            time.sleep(0.05)  # what the server does after its answer arrives
        return found


async def async_numbers(server: Server, count: int) -> list[int]:
    async with AsyncClient(server.url, retries=ONCE) as client:
        found = []
        for _ in range(count):
            found.append((await client.health())["status"])
            await asyncio.sleep(0.05)
        return found


@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (well(1), 1),
        (slowly(well(1)), 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + well(1), 1),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + well(1), 1),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"s\r\nb\r\ntatus": 1 }\r\n0\r\n\r\n', 1),
        (well(1, b"X-Long: " + b"x" * 80_000), 1),
        (then_hang_up(well(1)), 2),
        (well(1) + well(7), 2),
        (lambda connection: [connection.sendall(data) for data in (well(1), well(7))] and None, 2),
        (well(1, b"Connection: close"), 2),
        (then_hang_up(b'HTTP/1.1 200 OK\r\n\r\n{"status": 1}'), 2),
        (then_hang_up(b'HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\n{"status": 1}'), 2),
    ],
    ids=[
        "well",
        "slow",
        "continue",
        "hints",
        "chunked",
        "long-head",
        "hung-up",
        "two-at-once",
        "two",
        "closing",
        "until-the-end",
        "old",
    ],
)
def test_each_request_gets_its_own_answer(first: bytes | Act, connections: int) -> None:
    with scripted(first, well(2), well(3)) as server:
        assert numbers(server, 3) == [1, 2, 3]
        assert server.connections == connections
    with scripted(first, well(2), well(3)) as server:
        assert asyncio.run(async_numbers(server, 3)) == [1, 2, 3]
        assert server.connections == connections


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (hang_up, "RemoteProtocolError: Server disconnected"),
        (then_hang_up(well(1)[:30]), "RemoteProtocolError"),
        (then_hang_up(well(1)[:-1]), r"RemoteProtocolError: .*received 12 bytes, expected 13"),
        (then_hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nno"), "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "conflicting Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc", "illegal chunk header"),
        (then_hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"), "RemoteProtocolError"),
        (b"220 mail.example.org ESMTP\r\n\r\n", "illegal status line"),
        (b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", "illegal"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, "Receive buffer too long"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chess\r\n\r\n", "RemoteProtocolError"),
    ],
    ids=[
        "nothing",
        "head",
        "body",
        "length",
        "lengths",
        "word",
        "chunk",
        "chunks",
        "mail",
        "tls",
        "long-head",
        "upgrade",
    ],
)
def test_what_is_no_answer_is_reported_and_the_next_request_is_not_disturbed(act: bytes | Act, message: str) -> None:
    with scripted(act, well(2)) as server, Client(server.url, retries=ONCE) as client:
        with pytest.raises(NoAnswer, match=f"GET /readyz: .*{message}"):
            client.health()
        assert client.health()["status"] == 2
        assert server.connections == 2

    async def ask(server: Server) -> None:
        async with AsyncClient(server.url, retries=ONCE) as client:
            with pytest.raises(NoAnswer, match=f"GET /readyz: .*{message}"):
                await client.health()
            assert (await client.health())["status"] == 2

    with scripted(act, well(2)) as server:
        asyncio.run(ask(server))


def silence(connection: socket.socket) -> None:
    time.sleep(0.6)


LARGE = np.zeros(3_000_000)


@pytest.mark.parametrize("fields", [{"predictions": [0.0], "labels": [0.0]}, {"predictions": LARGE, "labels": LARGE}])
def test_a_server_that_does_not_answer_or_not_even_read_is_given_up(fields: dict[str, Any]) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url, timeout_seconds=0.3, retries=ONCE) as client:
            await client.loss("mse", **fields)

    with scripted(silence, silence) as server:
        with Client(server.url, timeout_seconds=0.3, retries=ONCE) as client, pytest.raises(TimedOut, match="Timeout"):
            client.loss("mse", **fields)
        with pytest.raises(TimedOut, match="Timeout"):
            asyncio.run(ask())


def test_a_refusal_that_comes_before_the_body_is_sent_is_read() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        time.sleep(0.2)
        hang_up(connection)

    async def ask() -> None:
        async with AsyncClient(server.url, retries=ONCE) as client:
            await client.loss("mse", predictions=LARGE, labels=LARGE)

    with scripted(refuse, refuse) as server, Client(server.url, retries=ONCE) as client:
        with pytest.raises(TooLarge):
            client.loss("mse", predictions=LARGE, labels=LARGE)
        with pytest.raises(TooLarge):
            asyncio.run(ask())


def gradient_of(size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    predictions = np.random.default_rng(size).normal(size=size).astype(np.float32)
    return predictions, (2 * predictions).astype(np.float32)


@pytest.mark.parametrize("address", ["url", "socket_url"])
def test_eight_threads_share_a_client(request: pytest.FixtureRequest, address: str) -> None:
    def ask(size: int) -> bool:
        predictions, expected = gradient_of(size)
        labels = np.zeros_like(predictions)
        result = client.loss("mse", predictions=predictions, labels=labels, gradients="predictions", reduction="sum")
        return bool(np.array_equal(result.gradients["predictions"], expected))

    with Client(request.getfixturevalue(address)) as client, ThreadPoolExecutor(8) as pool:
        sizes = [1 + 37 * number % 900 for number in range(200)] + [200_000] * 8
        assert all(pool.map(ask, sizes))


def test_tasks_share_a_client_also_where_some_are_cancelled(url: str) -> None:
    async def ask(client: AsyncClient, size: int) -> bool:
        predictions, expected = gradient_of(size)
        labels = np.zeros_like(predictions)
        fields: dict[str, Any] = {"predictions": predictions, "labels": labels, "reduction": "sum"}
        result = await client.loss("mse", gradients="predictions", **fields)
        return bool(np.array_equal(result.gradients["predictions"], expected))

    async def main(client: AsyncClient) -> None:
        # Large enough that not all are answered before it is their turn to be cancelled.
        tasks = [asyncio.create_task(ask(client, size)) for size in range(100, 30_000, 100)]
        for step, task in enumerate(tasks[::3]):
            await asyncio.sleep(0.001 * (step % 3))
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes]
        assert any(cancelled[::3])
        assert not any(cancelled[1::3] + cancelled[2::3])
        assert all(outcome is True for outcome, given_up in zip(outcomes, cancelled, strict=True) if not given_up)
        assert await ask(client, 5)

    client = AsyncClient(url)
    asyncio.run(main(client))
    asyncio.run(main(client))  # in another loop
    asyncio.run(client.close())


def test_a_request_that_was_cancelled_leaves_its_answer_to_nobody() -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.3)
        connection.sendall(well(1))

    async def ask() -> int:
        async with AsyncClient(server.url, retries=ONCE) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.health(), 0.1)
            await asyncio.sleep(0.4)
            status: int = (await client.health())["status"]
            return status

    with scripted(late, well(2)) as server:
        assert asyncio.run(ask()) == 2
        assert server.connections == 2


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_CONNECTIONS", 1)
    busy = threading.Event()

    def hold(connection: socket.socket) -> None:
        busy.set()
        time.sleep(0.6)
        connection.sendall(well(1))

    def late() -> None:
        with pytest.raises(TimedOut):
            client.health()

    with scripted(hold) as server, Client(server.url, timeout_seconds=0.3, retries=ONCE) as client:
        holding = threading.Thread(target=late)
        holding.start()
        busy.wait(10)
        client._transport._sockets.seconds = 0.05  # type: ignore[union-attr]
        with pytest.raises(TimedOut, match="PoolTimeout"):
            client.health()
        holding.join()

    async def ask() -> list[Any]:
        async with AsyncClient(server.url, retries=ONCE) as client:
            return [reply["status"] for reply in await asyncio.gather(*[client.health() for _ in range(3)])]

    with scripted(well(1), well(2), well(3)) as server:
        assert sorted(asyncio.run(ask())) == [1, 2, 3]
        assert server.connections == 1


def test_connections_that_nobody_needs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_IDLE", 2)
    waiting = threading.Barrier(4)

    def together(connection: socket.socket) -> None:
        waiting.wait(10)
        connection.sendall(well(1))

    with scripted(*[together] * 4) as server, Client(server.url, retries=ONCE) as client:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: client.health(), range(4)))
        assert len(client._transport._sockets._idle) == 2  # type: ignore[union-attr]
    monkeypatch.setattr(sockets, "IDLE_SECONDS", 0.0)
    with scripted(well(1), well(2)) as server:
        assert numbers(server, 2) == [1, 2]
        assert server.connections == 2


def test_a_process_that_is_forked_off_makes_connections_of_its_own(url: str) -> None:
    program = f"""
import os
from lossmeter.client import Client, Retries
with Client({url!r}, retries=Retries(attempts=1)) as client:
    def ask(number):
        return client.loss("mse", predictions=[float(number)], labels=[0.0], reduction="sum").value == number ** 2
    assert ask(1)
    def port():
        return client._transport._sockets._idle[-1].socket.getsockname()
    before = port()
    child = os.fork()
    right = all(ask(number) for number in range(2 if child else 1002, 102 if child else 1102))
    right = right and (port() == before) == bool(child)
    if not child:
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert right
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(lossmeter.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_is_closed_says_so(url: str) -> None:
    async def ask() -> None:
        client = AsyncClient(url)
        await client.close()
        await client.health()

    client = Client(url)
    client.health()
    client.close()
    with pytest.raises(RuntimeError, match="has been closed"):
        client.health()
    with pytest.raises(RuntimeError, match="has been closed"):
        asyncio.run(ask())


def test_cookies_come_back() -> None:
    with scripted(well(1, b"Set-Cookie: route=a; Path=/", b"Set-Cookie: other=b"), well(2)) as server:
        assert numbers(server, 2) == [1, 2]
        assert b"cookie" not in server.requests[0].lower()
        assert b"\r\nCookie: route=a; other=b\r\n" in server.requests[1]


def test_a_password_in_the_address_is_sent() -> None:
    with scripted(well(1)) as server, Client(f"http://me:secret@{server.host}", retries=ONCE) as client:
        assert client.health()["status"] == 1
        assert b"\r\nAuthorization: Basic bWU6c2VjcmV0\r\n" in server.requests[0]


@pytest.mark.parametrize("around", ["", "127.0.0.1"])
def test_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    with scripted(well(1)) as proxy, scripted(well(2)) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", around)
        with Client(server.url, retries=ONCE) as client:
            assert client.health()["status"] == (2 if around else 1)
        proxied = [request.partition(b"\r\n")[0] for request in proxy.requests]
        assert proxied == ([] if around else [f"GET {server.url}/readyz HTTP/1.1".encode()])
        for unused in (server, proxy):
            unused.script.clear()
            socket.create_connection(unused.listener.getsockname()).close()


def test_answers_are_expanded() -> None:
    packed = gzip.compress(b'{"status": 1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with scripted(head + packed, head + packed[::-1]) as server, Client(server.url, retries=ONCE) as client:
        assert client.health()["status"] == 1
        with pytest.raises(BadAnswer, match="The answer cannot be expanded"):
            client.health()


@pytest.mark.parametrize("key", ["a\r\nX-Evil: b", "a\0b"])
def test_a_header_cannot_smuggle_another(key: str) -> None:
    with scripted() as server, Client(server.url, api_key=key, retries=ONCE) as client:
        with pytest.raises(NoAnswer, match="Illegal header value"):
            client.health()
        assert server.connections == 0
