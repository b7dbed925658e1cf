"""A proxy before a real server that misbehaves as it is told, one request after the other."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.service import answer_of, connected

Fault = Callable[[socket.socket, Callable[[], bytes]], None]
"""What is done with a connection, given a way to get the right answer."""


def well(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """No fault."""
    connection.sendall(answer())


def drop(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Hangs up without a word."""


def reset(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Hangs up rudely: the other side gets ECONNRESET."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def cut(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Hangs up in the middle of the body."""
    whole = answer()
    connection.sendall(whole[: len(whole) - 20])


def mute(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Takes the request and says nothing for a second."""
    time.sleep(1.0)


def late(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Has the request done, and says nothing for a second."""
    answer()
    time.sleep(1.0)


def refuse(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Hangs up while the request is on its way: only its head is read."""
    reset(connection, answer)


refuse.early = True  # type: ignore[attr-defined]


def answered(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """Hangs up after the request was done, without a word of it."""
    answer()


def trickle(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """The body a byte at a time, with no end in sight."""
    head, blank, body = answer().partition(b"\r\n\r\n")
    with contextlib.suppress(OSError):
        connection.sendall(head + blank)
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)


def slow(connection: socket.socket, answer: Callable[[], bytes]) -> None:
    """The right answer, late and in two pieces."""
    whole = answer()
    time.sleep(0.3)
    connection.sendall(whole[:100])
    time.sleep(0.3)
    connection.sendall(whole[100:])


def says(status: int, *headers: str, body: bytes = b"") -> Fault:
    """Answers with a status of its own."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]

    def fault(connection: socket.socket, answer: Callable[[], bytes]) -> None:
        connection.sendall("\r\n".join(lines).encode() + body)

    return fault


class Proxy:
    """Each request takes the next fault of the script; after the last one all is well.

    Attributes:
        requests: the requests that came, as bytes, in order.
    """

    def __init__(self, target: str, script: list[Fault]) -> None:
        self.target = target
        self.script = script
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                request = _request_of(connection, whole=not (self.script and hasattr(self.script[0], "early")))
                if request:
                    self.requests.append(request)
                    fault = self.script.pop(0) if self.script else well
                    fault(connection, lambda request=request: self._answer(request))  # type: ignore[misc]

    def _answer(self, request: bytes) -> bytes:
        with connected(self.target) as behind:
            behind.sendall(request)
            return answer_of(behind)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def _request_of(connection: socket.socket, *, whole: bool = True) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while whole and len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


@contextmanager
def faulty(target: str, *script: Fault) -> Iterator[Proxy]:
    """A proxy before the server at a URL."""
    proxy = Proxy(target, list(script))
    try:
        yield proxy
    finally:
        proxy.close()
