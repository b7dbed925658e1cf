"""Clients that are slow, that lie about lengths, or that say what two programs understand in two ways."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from contextlib import ExitStack
from time import monotonic, sleep

from tests.programs.attacks.target import HEAD_SECONDS, MSE, Target, said, send

POST = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def counted(outcomes: list[str]) -> str:
    """Each outcome, and how often, where it differs."""
    found = Counter(outcomes)
    return (
        next(iter(found)) if len(found) == 1 else ", ".join(f"{count} × {what}" for what, count in found.most_common())
    )


def slow_heads(target: Target) -> str:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connection()) for _ in range(200)]
        end = monotonic() + 2 * HEAD_SECONDS
        for number in itertools.count():
            for connection in connections:
                send(connection, [GET if number == 0 else b"X: y\r\n"])
            sleep(0.3)
            if monotonic() > end:
                break
        return counted([said(connection, 5) for connection in connections])


def slow_bodies(target: Target) -> str:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connection()) for _ in range(100)]
        for connection in connections:
            send(connection, [POST + b"Content-Length: 1000000\r\n\r\n "])
        return counted([said(connection, 15) for connection in connections])


def readers_that_do_not_read(target: Target) -> str:
    body = b'{"reduction": "none", "predictions": [%s], "labels": [%s]}' % ((b"0," * 2_000_000 + b"0",) * 2)
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with ExitStack() as stack:
        connections = []
        for _ in range(4):
            connection = stack.enter_context(target.connection())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            send(connection, [request])
            connections.append(connection)
        target.wait_until_left(connections, 12)
        return counted(["cut" if len(drained(connection)) < 8_000_000 else "answered" for connection in connections])


def drained(connection: socket.socket) -> bytes:
    """Whatever is still to be read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    connection.settimeout(2)
    pieces = []
    try:
        while piece := connection.recv(1 << 20):
            pieces.append(piece)
    except OSError:
        pass
    return b"".join(pieces)


def silent_connections(target: Target) -> str:
    with ExitStack() as stack:
        held = []
        for _ in range(1100):
            try:
                held.append(stack.enter_context(target.connection()))
            except OSError:
                break
        sleep(1.2)
        beyond = target.raw(GET + b"\r\n", seconds=5)
        target.wait_until_left(held, HEAD_SECONDS + 3)
        return f"{beyond} beyond the limit, then {target.raw(GET + bytes((13, 10)))}"


def length_that_is_a_lie(target: Target) -> str:
    return target.raw(POST + b"Content-Length: 1000000000000\r\n\r\n", seconds=5)


def lengths_that_hold_room(target: Target) -> str:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connection()) for _ in range(6)]
        for connection in connections:
            send(connection, [POST + b"Content-Length: 200000000\r\n\r\n "])
            sleep(0.1)
        return counted([said(connection, 15) for connection in connections])


def flood_of_headers(target: Target) -> str:
    return target.raw(GET, b"".join(b"X-%d: y\r\n" % number for number in range(100_000)))


def header_without_end(target: Target) -> str:
    return target.raw(GET + b"X: ", *[b"y" * 1_000_000] * 100)


def extensions_of_chunks(target: Target) -> str:
    return target.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n1;", *[b"x" * 1_000_000] * 100)


def trailers_without_end(target: Target) -> str:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(MSE), MSE)
    return target.raw(head, *[b"".join(b"X-%d: y\r\n" % number for number in range(10_000))] * 100)


def chunks_of_one_byte(target: Target) -> str:
    whole = b" " * 2_000_000 + MSE
    chunks = [
        b"".join(b"1\r\n%c\r\n" % byte for byte in whole[start : start + 10_000])
        for start in range(0, len(whole), 10_000)
    ]
    return target.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")


def pipeline_without_reading(target: Target) -> str:
    with target.connection() as connection:
        begin = monotonic()
        sent = send(connection, itertools.repeat(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000), seconds=15)
        return "closed" if monotonic() - begin < 14 else f"took {sent} bytes"


AMBIGUOUS = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n[1,2]",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\n[1,2]",
    "a signed length": b"Content-Length: +5\r\n\r\n[1,2]",
    "a negative length": b"Content-Length: -1\r\n\r\n[1,2]",
    "a length in hexadecimal": b"Content-Length: 0x5\r\n\r\n[1,2]",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 5\r\n\r\n[1,2]",
    "a folded line": b"Content-Length:\r\n 5\r\n\r\n[1,2]",
    "a bare line feed": b"X: y\nContent-Length: 5\r\n\r\n[1,2]",
    "a bare carriage return": b"X: y\rContent-Length: 5\r\n\r\n[1,2]",
    "a zero byte in a header": b"X: a\0b\r\n\r\n",
    "a chunk that is no number": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk larger than any": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
}
"""Heads and bodies that have been read in two ways by two programs in a row."""


def smuggling(target: Target) -> str:
    outcomes = {name: target.raw(POST + rest, seconds=8) for name, rest in AMBIGUOUS.items()}
    return counted([what if what.startswith("400") else f"{what} ({name})" for name, what in outcomes.items()])
