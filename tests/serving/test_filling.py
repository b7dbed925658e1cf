"""Large bodies that are read past the parser, against a real server over bare sockets."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from lossmeter.serving.filling import Filling
from tests.support.service import answer_of, connected, serving

SIZE = 1 << 20
NEXT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def narrow() -> Iterator[str]:
    """The URL of a server with room for little more than one large body, and no patience."""
    with serving(max_bytes_in_flight=SIZE + (SIZE >> 2), body_seconds=2) as url:
        yield url


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes came past the parser, each time."""
    sizes: list[int] = []
    plain = Filling.buffer_updated

    def counted(self: Filling, nbytes: int) -> None:
        sizes.append(nbytes)
        plain(self, nbytes)

    monkeypatch.setattr(Filling, "buffer_updated", counted)
    return sizes


def large(values: int = 1 << 16) -> bytes:
    """A body of about a mebibyte, whose loss is 1.5."""
    body = json.dumps({"predictions": [[2.5]] * values, "labels": [[1.0]] * values, "reduction": "mean"})
    return body.replace(" ", "").ljust(SIZE).encode()


def head(body: bytes) -> bytes:
    return (
        b"POST /v1/losses/mae HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )


def test_a_large_body_is_read_past_the_parser_and_what_follows_it_is_a_request(url: str, filled: list[int]) -> None:
    body = large()
    with connected(url) as connection:
        for _ in range(2):
            connection.sendall(head(body) + body + NEXT)
            answers = answer_of(connection)
            while answers.count(b"HTTP/1.1 ") < 2:
                answers += answer_of(connection)
            assert answers.count(b"HTTP/1.1 200") == 2
            assert b'"value":1.5' in answers
    assert sum(filled) > SIZE


def test_a_body_that_is_refused_midway_is_heard_out_and_the_next_request_answered(
    narrow: str, filled: list[int]
) -> None:
    body = large()
    with connected(narrow) as first, connected(narrow) as second:
        first.sendall(head(body) + body[: SIZE >> 2])
        time.sleep(0.3)
        second.sendall(head(body) + body[:-1])
        time.sleep(0.3)
        begun = len(filled)
        first.sendall(body[SIZE >> 2 :])
        assert answer_of(first).startswith(b"HTTP/1.1 503")
        assert len(filled) > begun
        first.sendall(NEXT)
        assert answer_of(first).startswith(b"HTTP/1.1 200")
        second.sendall(body[-1:])
        assert b'"value":1.5' in answer_of(second)


def test_a_large_body_that_stops_coming_is_not_waited_for(narrow: str, filled: list[int]) -> None:
    body = large()
    with connected(narrow) as connection:
        connection.sendall(head(body) + body[: SIZE >> 1])
        assert answer_of(connection).startswith(b"HTTP/1.1 408")
    assert filled


def test_a_client_that_hangs_up_midway_leaves_its_room(narrow: str) -> None:
    body = large()
    for _ in range(3):
        with connected(narrow) as connection:
            connection.sendall(head(body) + body[: SIZE >> 1])
    answer, deadline = b"", time.monotonic() + 20
    while b'"value":1.5' not in answer and time.monotonic() < deadline:  # until the server has noticed
        with connected(narrow) as connection:
            connection.sendall(head(body) + body)
            answer = answer_of(connection)
    assert b'"value":1.5' in answer


def test_a_client_that_hangs_up_midway_is_no_error_and_leaves_nothing(
    narrow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fillings: list[Callable[[], Filling | None]] = []
    plain = Filling.__init__

    def noted(self: Filling, *arguments: Any) -> None:
        fillings.append(weakref.ref(self))
        plain(self, *arguments)

    monkeypatch.setattr(Filling, "__init__", noted)
    before = failures(narrow)
    body = large()
    gc.collect()
    gc.disable()
    try:
        with connected(narrow) as connection:
            connection.sendall(head(body) + body[: SIZE >> 1])
            wait_for(lambda: bool(fillings))
        wait_for(lambda: fillings[0]() is None)
    finally:
        gc.enable()
    assert failures(narrow) == before


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failures(url: str) -> list[str]:
    """What the server counts of answers with 500."""
    return [line for line in httpx.get(f"{url}/metrics").text.splitlines() if 'status="500"' in line]
