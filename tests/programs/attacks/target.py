"""A server to attack, its memory, and what it says to bytes that no client would send."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self, cast

from tests.support.processes import Service
from tests.support.service import connected

HEAD_SECONDS = 2
SETTINGS = {"LOSSMETER_HEADER_SECONDS": str(HEAD_SECONDS), "LOSSMETER_BODY_SECONDS": "2"}
"""Less patience than by default, so that the slow attacks are over sooner."""
MSE = b'{"predictions": [1.0], "labels": [0.0]}'


class Target:
    """A running service.

    Attributes:
        url: where it is.
        sent: bytes sent over connections to it.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.url = service.url
        self.sent = 0
        self._proc = Path(f"/proc/{service.process.pid}")

    def memory(self, field: str = "VmRSS") -> float:
        """Megabytes that the process holds; of `VmHWM`, the most since `forget`."""
        (line,) = (line for line in (self._proc / "status").read_text().splitlines() if line.startswith(field + ":"))
        return int(line.split()[1]) / 1000

    def forget(self) -> None:
        """Begins to measure the most memory anew."""
        (self._proc / "clear_refs").write_text("5")

    def processor(self) -> float:
        """Seconds of processor time that the process has taken."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_left(self, connections: Iterable[socket.socket], seconds: float) -> None:
        """Waits until the process has closed its ends of connections, or for some time."""
        ports = {connection.getsockname()[1] for connection in connections}
        end = monotonic() + seconds
        while not ports.isdisjoint(self._open_ports()) and monotonic() < end:
            sleep(0.1)

    def _open_ports(self) -> set[int]:
        """The ports of clients whose connections the process has open; what is only still being sent has no inode."""
        own = int(self.url.rpartition(":")[2])
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return {_port(line[2]) for line in lines if _port(line[1]) == own and line[9] != "0"}

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with connected(self.url) as found:
            yield cast(socket.socket, _Counting(found, self))

    def raw(self, *pieces: bytes, seconds: float = 30) -> str:
        """What is answered to these bytes: status and code, or that the connection was closed."""
        with self.connection() as connection:
            send(connection, pieces)
            return said(connection, seconds)

    def post(self, path: str, body: bytes, *headers: str, seconds: float = 120) -> str:
        """The same for a request with a body."""
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1"), body, seconds=seconds)

    def works(self) -> bool:
        """Whether it still computes."""
        return self.post("/v1/losses/mse", MSE).startswith("200")


def _port(address: str) -> int:
    """The port of an address as the kernel writes it."""
    return int(address.rpartition(":")[2], 16)


class _Counting:
    """A socket that counts what is sent."""

    def __init__(self, wrapped: socket.socket, target: Target) -> None:
        self._wrapped = wrapped
        self._target = target

    def sendall(self, data: bytes) -> None:
        self._wrapped.sendall(data)
        self._target.sent += len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class SecondClient:
    """Asks for a small loss, over a connection of its own each time, while something else goes on."""

    def __init__(self, target: Target, context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.answers: list[str] = []
        self.waits: list[float] = []
        self._context = context
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def said(self) -> str:
        """What it was answered, and how long it waited: 99 of 100 times, and at most."""
        good = sum(answer.startswith("200") for answer in self.answers)
        bad = sorted(set(self.answers) - {"200"})
        waits = sorted(self.waits)
        usual = waits[max(0, math.ceil(0.99 * len(waits)) - 1)]
        text = f"{good} of {len(self.answers)} right, p99 {usual:.2f} s, at most {waits[-1]:.2f} s"
        return f"{text}; also {', '.join(bad)}" if bad else text

    def answered(self) -> bool:
        """Whether one request is answered well."""
        return self._answer() == "200"

    def _ask(self) -> None:
        while True:
            begin = monotonic()
            self.answers.append(self._answer())
            self.waits.append(monotonic() - begin)
            if self._over.wait(0.1):
                return

    def _answer(self) -> str:
        head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(MSE)
        host, _, port = self.target.url.rpartition("//")[2].partition(":")
        try:
            with socket.create_connection((host, int(port)), 30) as plain:
                connection = self._context.wrap_socket(plain, server_hostname=host) if self._context else plain
                connection.sendall(head + MSE)
                return said(connection)
        except OSError as error:
            return type(error).__name__


def send(connection: socket.socket, pieces: Iterable[bytes], pause: float = 0.0, seconds: float = 30) -> int:
    """Sends until it is over, or nobody listens; says how many bytes."""
    sent, end = 0, monotonic() + seconds
    with contextlib.suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
            if pause:
                sleep(pause)
            if monotonic() > end:
                break
    return sent


def said(connection: socket.socket, seconds: float = 30) -> str:
    """Status and code of the first answer."""
    connection.settimeout(seconds)
    answer = b""
    try:
        while b"\r\n\r\n" not in answer or (b'"code":"' not in answer and not answer.startswith(b"HTTP/1.1 200")):
            piece = connection.recv(1 << 16)
            if not piece:
                break
            answer += piece
            if complete(answer):
                break
    except TimeoutError:
        return "nothing"
    except OSError:
        pass
    if not answer:
        return "closed"
    code = answer.partition(b'"code":"')[2].partition(b'"')[0].decode("latin-1")
    return f"{answer.split(b' ', 2)[1].decode('latin-1')} {code}".strip()


def complete(answer: bytes) -> bool:
    """Whether a whole answer is there."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if blank and line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False
