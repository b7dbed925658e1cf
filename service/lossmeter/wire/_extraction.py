"""Takes what is long out of a JSON text, arrays of numbers and strings, so that what remains is small."""

from __future__ import annotations

import re
import secrets
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from lossmeter.errors import MalformedBody, TooLarge
from lossmeter.wire import _numbers, _rows
from lossmeter.wire._numbers import Numbers
from lossmeter.wire._values import MAX_DIMENSIONS, BadValue, loads

MAX_REST_BYTES = 1 << 24
"""Most bytes that may remain. Beyond 2**24 elements pysimdjson no longer knows how long an array is."""
SHORT_BYTES = 1 << 12
MAX_SHORT = 4096
"""Shorter arrays than that are looked at up to this number; the rest of the text is then left as it is, as each takes time."""
LONG_STRING_BYTES = 1 << 12
WINDOW_BYTES = 1 << 20
"""Bytes that one search covers: other threads get no turn until it ends."""

# What is passed over: what is neither string nor array, short strings, and brackets that do not begin an array of numbers.
_DULL = re.compile(
    rb'(?:[^"\[]++|"[^"\\]{0,4096}+(?:\\.[^"\\]{0,4096}+){0,64}+"|\[[\[ \t\r\n]*+(?=[^-0-9tfnNI\[ \t\r\n]))*+',
    re.DOTALL,
)
_NUMERIC = re.compile(rb"\[[\[ \t\r\n]*+(?=[-0-9tfnNI])")
_RUN = re.compile(rb"\[[\[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_KEY = re.compile(rb"[ \t\r\n]*+:")
QUOTE, OPEN = b'"['


class Text(NamedTuple):
    """Locates a string in a text, with its quotes."""

    start: int
    stop: int


Item = Numbers | Text


class Extracted:
    """Holds the items that were taken out. In the text, an array of one string that nobody else can write stands for each.

    An array and not the string itself, because that would be taken for the name of a member where the text is malformed.
    """

    def __init__(self, body: bytes | bytearray) -> None:
        self.body = body
        self.items: list[Item] = []

    @cached_property
    def mark(self) -> str:
        """A mark that nobody else can write; made when it is needed, as most texts are read as they are."""
        return secrets.token_hex(8)

    def put(self, item: Item) -> bytes:
        """Keeps an item, and returns what is written in its place."""
        self.items.append(item)
        return b'["%s%d"]' % (self.mark.encode(), len(self.items) - 1)

    def get(self, value: Any) -> Item | None:
        """Returns the item that an array stands for; None if it stands for itself."""
        if self.items and len(value) == 1 and isinstance(value[0], str) and value[0].startswith(self.mark):
            return self.items[int(value[0][len(self.mark) :])]
        return None

    def restore(self, value: Any, depth: int = 0) -> Any:
        """Puts what was extracted from a list back into its place, as Python objects."""
        if not self.items or not isinstance(value, list) or depth > MAX_DIMENSIONS:
            return value
        item = self.get(value)
        return [self.restore(element, depth + 1) for element in value] if item is None else self.to_python(item)

    def to_python(self, item: Item, levels: int = MAX_DIMENSIONS) -> Any:
        """Makes Python objects of an item.

        Raises:
            BadValue: if it is not even JSON, or nested deeper than so many levels.
            TooLarge: if it is too long for that.
        """
        if item.stop - item.start > MAX_REST_BYTES:
            raise _too_large()
        if isinstance(item, Text):
            return self.decode_text(item)
        span = memoryview(self.body)[item.start : item.stop]
        try:
            value = orjson.loads(span) if item.bad is None else loads(span)
        except RecursionError:
            value = None
        if value is None or _depth(value) > levels:
            raise BadValue(f"is nested deeper than {levels} levels")
        return value

    def find_malformed(self) -> BadValue | None:
        """Finds the first item that is not JSON, though nobody may have looked at it."""
        for item in self.items:
            if isinstance(item, Text):
                try:
                    self.decode_text(item)
                except BadValue as bad:
                    return bad
            elif item.bad is not None and item.bad.malformed:
                return item.bad
        return None

    def decode_text(self, item: Text) -> str:
        """Decodes a string that was extracted.

        Raises:
            BadValue: if it is not even JSON.
        """
        try:
            text: str = orjson.loads(memoryview(self.body)[item.start : item.stop])
        except orjson.JSONDecodeError as error:
            raise BadValue(f"is a string that is not JSON: {error.msg}", malformed=True) from None
        return text


def extract(body: bytes | bytearray, minimum: int) -> tuple[bytes, Extracted]:
    """Takes the arrays of numbers of at least `minimum` bytes, and long strings, out of a JSON text.

    Returns what remains, and what was taken out.

    Raises:
        MalformedBody: if the text ends inside an array or a string.
        TooLarge: if too much remains.
    """
    return _Extraction(body, minimum).run()


class _Extraction:
    def __init__(self, body: bytes | bytearray, minimum: int) -> None:
        self.body = body
        self.minimum = minimum
        self.extracted = Extracted(body)
        self.rest: list[bytes | bytearray] = []
        self.kept = 0
        self.done = 0  # up to where the text is in the rest, or extracted
        self.short = 0
        self.ends = dict.fromkeys(b'"{}', -1)

    def run(self) -> tuple[bytes, Extracted]:
        body, size = self.body, len(self.body)
        position = 0
        while position < size:
            dull = _DULL.match(body, position, position + WINDOW_BYTES)
            assert dull is not None  # it matches the empty string
            position = dull.end()
            self._check(position)
            if position < size and body[position] == QUOTE:
                position = self._string(position)
            elif position < size and body[position] == OPEN:
                position = self._array(position)
        self._keep(size)
        return b"".join(self.rest), self.extracted

    def _string(self, start: int) -> int:
        stop = self._string_end(start)
        if stop - start >= LONG_STRING_BYTES and not _KEY.match(self.body, stop):
            self._take(start, stop, Text(start, stop))
        return stop

    def _string_end(self, start: int) -> int:
        stop = self.body.find(b'"', start + 1) + 1
        if stop and self.body.find(b"\\", start, stop) >= 0:
            string = _STRING.match(self.body, start)
            stop = string.end() if string else 0
        if not stop:
            raise MalformedBody("The body is not JSON: it ends inside a string.")
        return stop

    def _array(self, start: int) -> int:
        """Extracts what begins at this bracket, if that can be; returns where to go on."""
        if not _NUMERIC.match(self.body, start):
            run = _RUN.match(self.body, start)
            assert run is not None  # it matches the bracket
            return run.end()
        if self.short > MAX_SHORT:
            return len(self.body)
        numbers = _rows.read(self.body, start)
        if numbers is None:
            limit = self._next_mark(start)
            numbers = _numbers.read(self.body, start, limit)
        if numbers is None:
            if limit == len(self.body):
                raise MalformedBody("The body is not JSON: it ends inside an array.")
            return limit  # strings or objects among the numbers: nothing of it is extracted
        length = numbers.stop - start
        self.short += length < max(self.minimum, SHORT_BYTES)
        if length >= self.minimum:
            self._take(start, numbers.stop, numbers)
        return numbers.stop

    def _next_mark(self, start: int) -> int:
        """Finds the next quote or brace, or else the end."""
        for mark, known in self.ends.items():
            if known < start:
                place = self.body.find(bytes([mark]), start)
                self.ends[mark] = len(self.body) if place < 0 else place
        return min(self.ends.values())

    def _take(self, start: int, stop: int, item: Item) -> None:
        self._keep(start)
        self.rest.append(self.extracted.put(item))
        self.done = stop

    def _keep(self, position: int) -> None:
        self._check(position)
        self.rest.append(self.body[self.done : position])
        self.kept += position - self.done
        self.done = position

    def _check(self, position: int) -> None:
        if self.kept + position - self.done > MAX_REST_BYTES:
            raise _too_large()


def _depth(value: Any) -> int:
    """Counts how many lists stand one inside of the other."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, list)]:
        depth += 1
        level = [item for inner in level for item in inner]
    return depth


def _too_large() -> TooLarge:
    return TooLarge(f"What is no tensor in the body has more than {MAX_REST_BYTES} bytes.")
