"""Reads an answer of HTTP/1.1 from bytes as they arrive. No socket in here.

The usual answer, whose head comes in one piece and announces how long the body is, takes one pass of a regular expression. h11
reads every other kind from the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

import h11
import numpy as np

from lossmeter.client.errors import NoAnswer
from lossmeter.client.exchanges import Body

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


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came.

    Attributes:
        status: of the answer.
        fields: names in lower case and values of the headers, in the order in which they came.
        body: in memory of its own, which may be written to; still compressed if `content-encoding` says so.
        reusable: true if the connection is ready for another request.
    """

    status: int
    fields: list[tuple[str, str]]
    body: Body
    reusable: bool

    @property
    def headers(self) -> dict[str, str]:
        """Returns the headers by name; the values of one that came several times are joined by commas."""
        headers: dict[str, str] = {}
        for name, value in self.fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


Steps = Generator[memoryview, int, Answer]
"""Yields memory to be filled, is sent how many bytes came (none at the end of the connection), and returns the answer."""


def answer(method: str, memory: memoryview) -> Steps:
    """Reads one answer, as it arrives.

    Args:
        method: of the request.
        memory: for what arrives first.

    Raises:
        NoAnswer: if the connection ends early, or what arrives is no answer.
    """
    count = yield memory
    if not count:
        raise NoAnswer("RemoteProtocolError: Server disconnected without sending a response.")
    head = HEAD.match(memory, 0, count)
    if head is None or method == "HEAD":
        return (yield from _any_answer(method, memory, count))
    status = int(head[1])
    fields = [(name.lower(), value.strip(" \t")) for name, value in FIELD.findall(str(head[2], "latin-1"))]
    headers = dict(fields)
    length = headers.get("content-length", "")
    usual = LENGTH.fullmatch(length) and "transfer-encoding" not in headers and status not in BODILESS
    if not usual or len(headers) < len(fields):  # a field that came twice may be a second length
        return (yield from _any_answer(method, memory, count))
    begin, size = head.end(), int(length)
    body: Body
    if size <= count - begin:
        body = bytearray(memory[begin : begin + size])
    else:
        body = yield from _rest(memory[begin:count], size)
    alone = begin + size >= count
    return Answer(status, fields, body, alone and headers.get("connection", "keep-alive").lower() == "keep-alive")


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
    return Answer(status, fields, body, reusable)
