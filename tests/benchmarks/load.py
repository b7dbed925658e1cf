"""An HTTP client that costs next to nothing: prepared bytes out, `Content-Length` bytes in, over plain sockets and epoll."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

Port = int | str
"""A port of TCP, or the path of a Unix socket."""


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A request, ready to be sent any number of times."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def content_length(head: bytes) -> int:
    """The length that the head of an answer announces.

    Raises:
        ValueError: if it announces none; chunked answers are not understood here.
    """
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the body only if it was asked for."""

    status: int
    seconds: float
    size: int
    body: bytes


class Connection:
    """One kept-alive connection, with one request at a time."""

    def __init__(self, port: Port, timeout_seconds: float = 300.0) -> None:
        if isinstance(port, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_seconds)
            self.socket.connect(port)
        else:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout_seconds)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.window = bytearray(1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exchange(self, prepared: bytes, *, keep: bool = False) -> Answer:
        """Sends a request and waits for the whole answer."""
        begin = time.perf_counter()
        self.socket.sendall(prepared)
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        size = content_length(head)
        kept = bytearray(body)
        missing = size - len(body)
        while missing:
            count = self.socket.recv_into(self.window, min(missing, len(self.window)))
            if not count:
                raise ConnectionResetError("the server closed the connection")
            if keep:
                kept += self.window[:count]
            missing -= count
        return Answer(int(head[9:12]), time.perf_counter() - begin, size, bytes(kept) if keep else b"")


@dataclass(frozen=True, slots=True)
class Rate:
    """What many connections got out of a server."""

    answers: int
    failures: int
    seconds: float
    client_seconds: float

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    @property
    def client_share(self) -> float:
        """How much of its core the client used; near 1, it would be the client that is measured."""
        return self.client_seconds / self.seconds


def saturate(port: int, prepared: bytes, connections: int, seconds: float) -> Rate:
    """Keeps one small request under way on each of many connections."""
    with contextlib.ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        opened = [stack.enter_context(Connection(port)).socket for _ in range(connections)]
        sockets = {one.fileno(): one for one in opened}
        partial = dict.fromkeys(sockets, b"")
        for number in sockets:
            poll.register(number, select.EPOLLIN)
        begin, used = time.perf_counter(), time.process_time()
        deadline = begin + seconds
        for one in opened:
            one.sendall(prepared)
        answers = failures = 0
        while (now := time.perf_counter()) < deadline:
            for number, _ in poll.poll(1.0):
                piece = sockets[number].recv(1 << 16)
                if not piece:
                    raise ConnectionResetError("the server closed the connection")
                answer = partial[number] + piece
                end = answer.find(b"\r\n\r\n")
                if end < 0 or len(answer) < end + 4 + content_length(answer[: end + 2]):
                    partial[number] = answer
                    continue
                partial[number] = b""
                answers += 1
                failures += answer[9:12] != b"200"
                sockets[number].sendall(prepared)
        return Rate(answers, failures, now - begin, time.process_time() - used)
