"""Reads an answer of HTTP/1.1 from bytes as they arrive. No socket in here.

The usual answer, whose head comes in one piece and announces how long the body is, takes one pass of a regular expression. h11
reads every other kind from the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import h11
import numpy as np

from lossmeter.client.errors import NoAnswer
from lossmeter.client.exchanges import Body
from lossmeter.wire.varying import Varying

HEAD_BYTES = 1 << 16
"""A head that does not come within as many is read by h11, which bounds it."""
LONGEST_HEAD_BYTES = 100 * 1024
"""A longer head is an error."""
BODILESS = (204, 304)

TOKEN = rb"[!#-'*+.^-z|~0-9A-Z-]+"
TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: " + TEXT + rb")?\r\n((?:" + TOKEN + rb":" + TEXT + rb"\r\n)*)\r\n")
FIELD = re.compile(r"([^:]+):(.*)\r\n")
LENGTH = re.compile(r"[0-9]{1,18}")
VALUE = rb"([!-~]+(?: [!-~]+)*)"
VARYING = Varying(
    {b"content-length": rb"([0-9]{1,18})", b"date": VALUE, b"server-timing": VALUE, b"x-request-id": VALUE}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came.

    Attributes:
        status: of the answer.
        headers: by name, in lower case; the values of one that came several times are joined by commas.
        fields: names in lower case and values of the headers, in the order in which they came.
        body: in memory of its own, which may be written to; still compressed if `content-encoding` says so.
        reusable: true if the connection is ready for another request.
    """

    status: int
    headers: dict[str, str]
    fields: list[tuple[str, str]]
    body: Body
    reusable: bool


class _Head(NamedTuple):
    """The head of a usual answer: what it says, how long the body is, and where that begins."""

    status: int
    headers: dict[str, str]
    size: int
    begin: int
    kept: bool


class KnownHead:
    """The head that the answers of one connection have, known by its bytes but for the values that vary.

    It is learned when it comes a second time: where more varies, nothing is.
    """

    __slots__ = ("_constant", "_first", "_names", "_pattern")

    def __init__(self) -> None:
        self._constant = b""
        self._pattern: re.Pattern[bytes] | None = None

    def match(self, memory: memoryview, count: int) -> _Head | None:
        """Returns what the head says that so many bytes begin with; None if it is another one."""
        found = None if self._pattern is None else self._pattern.match(memory, 0, count)
        if found is None:
            return None
        first = self._first
        headers = first.headers | dict(
            zip(self._names, str(b"\n".join(found.groups()), "ascii").split("\n"), strict=True)
        )
        return _Head(first.status, headers, int(headers["content-length"]), found.end(), first.kept)

    def learn(self, text: bytes, head: _Head) -> None:
        """Learns a usual head from its bytes."""
        constant = VARYING.constant(text)
        if constant != self._constant:
            self._constant, self._pattern = constant, None
            return
        if self._pattern is not None:  # and one of the values is unusual
            return
        self._names = [str(name, "ascii") for name, _ in VARYING.fields(text)]
        self._first = head
        self._pattern = re.compile(VARYING.pattern(text))


Steps = Generator[memoryview, int, Answer]
"""Yields memory to be filled, is sent how many bytes came (none at the end of the connection), and returns the answer."""


def answer(method: str, memory: memoryview, known: KnownHead) -> Steps:
    """Reads one answer, as it arrives.

    Args:
        method: of the request.
        memory: for what arrives first.
        known: the head that answers on this connection had before.

    Raises:
        NoAnswer: if the connection ends early, or what arrives is no answer.
    """
    count = yield memory
    if not count:
        raise NoAnswer("RemoteProtocolError: Server disconnected without sending a response.")
    head = None if method == "HEAD" else known.match(memory, count) or _usual(memory, count, known)
    if head is None:
        return (yield from _any_answer(method, memory, count))
    status, headers, size, begin, kept = head
    body: Body
    if size <= count - begin:
        body = bytearray(memory[begin : begin + size])
    else:
        body = yield from _rest(memory[begin:count], size)
    return Answer(status, headers, list(headers.items()), body, kept and begin + size >= count)


def _usual(memory: memoryview, count: int, known: KnownHead) -> _Head | None:
    """Reads a head that comes whole and says how long the body is; None if it does not."""
    match = HEAD.match(memory, 0, count)
    if match is None:
        return None
    status = int(match[1])
    fields = [(name.lower(), value.strip(" \t")) for name, value in FIELD.findall(str(match[2], "latin-1"))]
    headers = dict(fields)
    length = headers.get("content-length", "")
    usual = LENGTH.fullmatch(length) and "transfer-encoding" not in headers and status not in BODILESS
    if not usual or len(headers) < len(fields):  # a field that came twice may be a second length
        return None
    kept = headers.get("connection", "keep-alive").lower() == "keep-alive"
    head = _Head(status, headers, int(length), match.end(), kept)
    known.learn(match[0], head)
    return head


def _rest(first: memoryview, size: int) -> Generator[memoryview, int, memoryview]:
    try:
        body = np.empty(size, np.uint8).data  # not set to zero, which would take as long as receiving it
    except (MemoryError, ValueError):
        raise NoAnswer(f"RemoteProtocolError: {size} bytes are announced, more than there is memory for") from None
    body[: len(first)] = first
    position = len(first)
    while position < size:
        count = yield body[position:]
        if not count:
            raise NoAnswer(
                "RemoteProtocolError: peer closed connection without sending complete message body "
                f"(received {position} bytes, expected {size})"
            )
        position += count
    return body


def _any_answer(method: str, memory: memoryview, count: int) -> Steps:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD_BYTES)
    status, fields, body = 0, [("", "")], bytearray()
    try:
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(bytes(memory[:count]))
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                count = yield memory
                connection.receive_data(bytes(memory[:count]))
            elif isinstance(event, h11.Response):
                status = event.status_code
                fields = [(str(name, "latin-1"), str(value, "latin-1")) for name, value in event.headers]
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise NoAnswer(f"RemoteProtocolError: {event!r} came instead of an answer")
    except h11.ProtocolError as error:
        raise NoAnswer(f"RemoteProtocolError: {error}") from None
    reusable = connection.their_state is h11.DONE and not connection.trailing_data[0]
    return Answer(status, _joined(fields), fields, body, reusable)


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
