"""Heads of requests that were parsed once, and are known again by their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import Scope

from lossmeter.api.envelope import ACCEPTABLE_ID
from lossmeter.api.lanes import Lane
from lossmeter.wire.varying import Varying

VALUES = {
    b"content-length": rb"(\d{1,6})",
    b"x-request-id": b"(" + ACCEPTABLE_ID.pattern + b")",
    b"traceparent": rb"[!-~]{0,128}",
}
VARYING = Varying(VALUES)
END = b"\r\n\r\n"
HEADS = 256
"""Heads that are kept; when there are more, all are forgotten, and those that still come are learned again."""
SEEN = 1024
LONGEST_HEAD = 1 << 11
KEPT = ("type", "method", "path", "raw_path", "query_string", "root_path", "headers", "scheme", "http_version")


class Match(NamedTuple):
    """A head that is known: where the body begins, where it ends, and the id of the request if the client gave one."""

    begin: int
    end: int
    request_id: bytes | None


class Head:
    """One head, but for what varies.

    Attributes:
        lane: of its requests.
        scope: of ASGI, without what belongs to one connection or one request.
    """

    __slots__ = ("_id", "_pattern", "_size", "lane", "scope")

    def __init__(self, pattern: re.Pattern[bytes], names: list[bytes], lane: Lane, scope: Scope) -> None:
        self._pattern = pattern
        self._size = names.index(b"content-length") + 1
        self._id = names.index(b"x-request-id") + 1 if b"x-request-id" in names else 0
        self.lane = lane
        self.scope = {name: scope[name] for name in KEPT}

    def match(self, data: bytes) -> Match | None:
        """Tells whether some data begins with this head."""
        found = self._pattern.match(data)
        if found is None:
            return None
        begin = found.end()
        return Match(begin, begin + int(found[self._size]), found[self._id] if self._id else None)


class Heads:
    """The heads that the connections of a process know.

    Args:
        lane_of: finds the lane of requests with a path and headers.
    """

    def __init__(self, lane_of: Callable[[Scope], Lane | None]) -> None:
        self._lane_of = lane_of
        self._heads: dict[bytes, Head] = {}
        self._seen: set[int] = set()

    def find(self, data: bytes) -> tuple[Head, Match] | None:
        """Returns the head that some data begins with, if it is known."""
        end = data.find(END, 0, LONGEST_HEAD)
        head = self._heads.get(VARYING.constant(data[: end + 2])) if end >= 0 else None
        match = None if head is None else head.match(data)
        return None if head is None or match is None else (head, match)

    def learn(self, data: bytes, scope: Scope) -> None:
        """Learns the head of a whole request that was parsed, at the second time: some clients never send one again."""
        end = data.find(END, 0, LONGEST_HEAD)
        if end < 0:
            return
        head = data[: end + 2]
        constant = VARYING.constant(head)
        number = hash(constant)
        if number not in self._seen:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            self._seen.add(number)
            return
        if constant not in self._heads:
            self._seen.discard(number)
            self._learn(head, constant, data, scope)

    def _learn(self, text: bytes, constant: bytes, data: bytes, scope: Scope) -> None:
        given = VARYING.fields(text)
        headers = scope["headers"]
        plain = all(value.lower() == b"keep-alive" for name, value in headers if name == b"connection")
        if not plain or scope["http_version"] != "1.1":
            return
        # What was cut out here has to be what the parser found.
        if given != [header for header in headers if header[0] in VALUES] or len({name for name, _ in given}) < len(
            given
        ):
            return
        lane = self._lane_of(scope)
        if lane is None:
            return
        names = [name for name, _ in given if name != b"traceparent"]
        if b"content-length" not in names:
            return
        head = Head(re.compile(VARYING.pattern(text + b"\r\n")), names, lane, scope)
        match_of_all = head.match(data)
        if match_of_all is None or match_of_all.end != len(data):
            return
        if len(self._heads) >= HEADS:
            self._heads.clear()
        self._heads[constant] = head
