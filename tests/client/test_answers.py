"""An answer is read as h11 reads it, however its bytes are cut into pieces."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace

import h11
import pytest

from lossmeter.client.answers import HEAD_BYTES, Answer, KnownHead, answer
from lossmeter.client.errors import NoAnswer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Odd:\t a\xe9b \r\nContent-Length: 5\r\n\r\nhello"
ANSWERS = {
    "plain": PLAIN,
    "without a reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "an error": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nRetry-After: 1\r\n\r\nno",
    "closing": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nno",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
    "chunked, with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "an old version": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content, with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "hints first": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chess\r\n\r\n",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "an endless length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
    "too short": PLAIN[:-1],
    "a head without an end": PLAIN[:40],
    "folded": b"HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "a control character": b"HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 5\r\n\r\nhello",
    "a return within a line": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello",
    "a line that is no header": b"HTTP/1.1 200 OK\r\nhello\r\nContent-Length: 5\r\n\r\nhello",
    "no header's name": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 5\r\n\r\nhello",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status out of range": b"HTTP/1.1 999 OK\r\nContent-Length: 5\r\n\r\nhello",
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x50",
    "nothing": b"",
}
MUTATIONS = [
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"HTTP/1.1 ",
    b"\t",
    b"1",
    b"Content-Length: 3\r\n",
    b"\xff",
    b"\r\n\r\n",
]

Read = tuple[int, list[tuple[str, str]], bytes, bool]


def answer_of(pieces: Iterable[bytes], method: str = "POST", known: KnownHead | None = None) -> Answer:
    """The answer that arrives in these pieces."""
    steps = answer(method, memoryview(bytearray(HEAD_BYTES)), known or KnownHead())
    memory = next(steps)
    rest = b""
    waiting = [piece for piece in pieces if piece]
    try:
        while True:
            rest = rest or (waiting.pop(0) if waiting else b"")
            taken, rest = rest[: len(memory)], rest[len(memory) :]
            memory[: len(taken)] = taken
            memory = steps.send(len(taken))
    except StopIteration as end:
        found: Answer = end.value
        return replace(found, reusable=found.reusable and not rest and not waiting)


def read(pieces: Iterable[bytes], method: str = "POST", known: KnownHead | None = None) -> Read | None:
    """What the answer says; none if it is no answer."""
    try:
        found = answer_of(pieces, method, known)
    except NoAnswer:
        return None
    return found.status, found.fields, bytes(found.body), found.reusable


def read_by_h11(data: bytes, method: str = "POST") -> Read | None:
    """The same by h11, all at once."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "")]))
    connection.send(h11.EndOfMessage())
    status, fields, body = 0, [], b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, h11.Response):
                status = event.status_code
                fields = [(str(name, "latin-1"), str(value, "latin-1")) for name, value in event.headers]
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.ProtocolError:
        return None
    return status, fields, body, connection.their_state is h11.DONE and not connection.trailing_data[0]


def agree(found: Read | None, expected: Read | None) -> bool:
    """The same answer; a connection may be given up where h11 would go on with it, and not the other way round."""
    if found is None or expected is None:
        return found is expected
    return found[:3] == expected[:3] and found[3] <= expected[3]


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_as_h11_reads_them(name: str) -> None:
    whole = ANSWERS[name]
    for data in (whole, whole + b"HTTP/1.1 200 OK\r\n"):
        expected = read_by_h11(data)
        assert read([data]) == expected
        assert agree(read(bytes([byte]) for byte in data), expected)
        for cut in range(1, len(data), max(1, len(data) // 200)):
            assert agree(read([data[:cut], data[cut:]]), expected), cut


def test_some_of_them_are_answers_and_some_are_not() -> None:
    verdicts = {name: read_by_h11(data) for name, data in ANSWERS.items()}
    assert sum(verdict is None for verdict in verdicts.values()) > 10
    assert verdicts["plain"] == (
        200,
        [("content-type", "text/plain"), ("x-odd", "aéb"), ("content-length", "5")],
        b"hello",
        True,
    )


def test_damaged_answers_are_read_as_h11_reads_them() -> None:
    chance = random.Random(5)
    read_well = 0
    for _ in range(4000):
        data = bytearray(chance.choice(list(ANSWERS.values())))
        for _ in range(chance.randint(1, 3)):
            place = chance.randint(0, len(data))
            data[place : place + chance.randint(0, 3)] = chance.choice(MUTATIONS)
        expected = read_by_h11(bytes(data))
        assert agree(read([bytes(data)]), expected), bytes(data)
        read_well += expected is not None
    assert 400 < read_well < 3600


@pytest.mark.parametrize("name", ["plain", "an error", "closing"])
def test_a_head_that_came_before_is_read_as_the_first_time(name: str) -> None:
    known = KnownHead()
    varying = b"Date: %b\r\nX-Request-ID:  %b\r\nContent-Length"
    values = [
        (b"now", b"a"),
        (b"then", b"b"),
        (b"a day", b"c"),
        (b"x  y", b"d"),
        (b"\xe9", b"e"),
        (b"", b"f"),
        (b"a\0", b""),
    ]
    taken = 0
    for place, value in enumerate(values * 2):
        data = re.sub(b"(?i)content-length", varying % value, ANSWERS[name], count=1)
        if place % 3 == 2:  # other bodies of other lengths, one of them cut
            data = re.sub(
                rb"(?i)(content-length): \d\r\n(.*\r\n\r\n).*", rb"\1: 12\r\n\2hello, hello", data, flags=re.DOTALL
            )
        memory = memoryview(data)
        taken += known.match(memory, len(data)) is not None
        expected = read_by_h11(data)
        assert read([data], known=known) == expected
        assert agree(read([data[:-3], data[-3:]], known=known), expected)
    assert taken >= 4  # a head is learned at the second time, and four values in seven are unusual


def test_the_head_of_another_answer_is_not_taken_for_the_known_one() -> None:
    known = KnownHead()
    for _ in range(3):
        read([PLAIN], known=known)
    assert known.match(memoryview(PLAIN), len(PLAIN))
    chance = random.Random(7)
    for _ in range(2000):
        data = bytearray(PLAIN)
        place = chance.randint(0, len(data))
        data[place : place + chance.randint(0, 3)] = chance.choice(MUTATIONS)
        expected = read_by_h11(bytes(data))
        assert agree(read([bytes(data)], known=known), expected), bytes(data)
        read([PLAIN], known=known)
        read([PLAIN], known=known)


def test_the_answer_to_head_has_no_body() -> None:
    assert read([PLAIN.removesuffix(b"hello")], "HEAD") == read_by_h11(PLAIN.removesuffix(b"hello"), "HEAD")
    assert read([PLAIN], "HEAD") == read_by_h11(PLAIN, "HEAD")


def test_a_long_body_is_read_into_memory_that_may_be_written_to() -> None:
    body = random.Random(0).randbytes(3 * HEAD_BYTES)
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    found = answer_of([data[place : place + 50_000] for place in range(0, len(data), 50_000)])
    assert bytes(found.body) == body
    assert not memoryview(found.body).readonly


def test_a_head_without_end_is_refused() -> None:
    assert read([b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 1000 + b"\r\n"] * 1000]) is None


def test_more_bytes_than_there_is_memory_for_are_refused() -> None:
    assert read([b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\nhello"]) is None
