"""Reads rectangles of numbers out of the text of a JSON array, the quickest way there is; `_numbers` reads all others.

The text is cut at commas, wherever they stand. In front of a part go as many opening brackets as arrays are open there, behind
it as many closing ones, and so it is JSON for simdjson, which proves that brackets, commas and numbers stand as they should.
The arrays of each depth are then asked for their lengths: those within a part must agree, and those that are cut are added up.
If these arrays account for every opening bracket of the part, no number is hidden in an array of its own.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import simdjson

from lossmeter.errors import TooLarge
from lossmeter.wire import _numbers
from lossmeter.wire._numbers import BOOLEAN, OPEN, Gathered, Numbers, find_cut, numbers
from lossmeter.wire._values import MAX_DIMENSIONS

_HEAD = re.compile(rb"\[[\[ \t\r\n]*+")
_CLOSING = b"] \t\r\n"
FAR = 1 << 10
"""Bytes per bracket above which each is looked for, rather than all bytes compared with it."""
WINDOW = 1 << 8
"""Bytes before a comma that the brackets which close there may take up, with the white space between them."""


def read(text: bytes | bytearray, start: int) -> Numbers | None:
    """Reads the array that `text[start]` opens as `_numbers.read` does; None if that has to read it."""
    head = _HEAD.match(text, start)
    if head is None or BOOLEAN.match(text, start):
        return None
    depth = head[0].count(b"[")
    if depth > MAX_DIMENSIONS:
        return None
    sizes = _Sizes(depth)
    gathered = Gathered(len(text) - start)
    parser = simdjson.Parser()
    begin, room = head.end(), _numbers.FIRST_BYTES
    while begin < len(text):
        try:
            end = find_cut(text, begin, room, len(text))
        except TooLarge:
            return None
        level = sizes.level if end == len(text) else _level(text, begin, end, sizes)
        array = _parse(parser, text, begin, end, sizes.level, level)
        if array is None:  # the array may end in here
            for mark in b'"', b"}":
                place = text.find(mark, begin, end)
                end = end if place < 0 else place
            end = text.rfind(b"]", begin, end) + 1
            level = 0
            array = _parse(parser, text, begin, end, sizes.level, level) if end else None
        if array is None:
            return None
        flat, brackets = numbers(array, whole=gathered.whole), sizes.add(array, level)
        if flat is None or brackets is None or not _holds(text, begin, end, brackets):
            return None
        del array  # the parser cannot go on before
        gathered.add(flat, end - start)
        if not level:
            return Numbers(start, end, gathered.numbers, sizes.shape, None)
        begin, room = end + 1, _numbers.SLICE_BYTES
    return None


def _parse(
    parser: simdjson.Parser, text: bytes | bytearray, begin: int, end: int, before: int, after: int
) -> simdjson.Array | None:
    """Parses a part of the text as an array, if it is one with so many arrays open before and after it."""
    try:
        array = parser.parse(b"".join((b"[" * before, memoryview(text)[begin:end], b"]" * after)))
    except (ValueError, RuntimeError):
        return None
    return array if isinstance(array, simdjson.Array) else None


def _level(text: bytes | bytearray, begin: int, end: int, sizes: _Sizes) -> int:
    """Counts the arrays open at a comma of a rectangle: all, or all but those that close right before it."""
    if len(sizes.shape) == 1:
        return 1
    last = text.rfind(b"]", begin, end)
    if text.find(b"[", max(begin, last), end) >= 0:
        return len(sizes.shape)
    if last < 0:
        return sizes.level
    window = bytes(text[max(begin, last - WINDOW) : last + 1])
    return max(len(sizes.shape) - window.count(b"]", len(window.rstrip(_CLOSING))), 1)


def _holds(text: bytes | bytearray, begin: int, end: int, count: int) -> bool:
    """Tells whether there are so many opening brackets."""
    if end - begin < FAR * count:
        return count == np.count_nonzero(np.frombuffer(text, np.uint8, end - begin, begin) == OPEN)
    for _ in range(count):
        begin = text.find(b"[", begin, end) + 1
        if not begin:
            return False
    return text.find(b"[", begin, end) < 0


class _Sizes:
    """Learns the lengths of the arrays of each depth, a part at a time.

    Attributes:
        level: how many arrays are open where the next part begins.
        shape: the length of the arrays of each depth; 0 until one has been seen whole.
    """

    def __init__(self, depth: int) -> None:
        self.level = depth
        self.shape = (0,) * depth
        self._open = [1] * (depth - 1) + [0]  # the arrays that begin the text count already

    def add(self, array: simdjson.Array, level: int) -> int | None:
        """Counts the opening brackets that a part has if it goes on as a rectangle; None if it does not."""
        arrays: list[Any] = [array]
        shape = []
        brackets = -self.level
        for place, size in enumerate(self.shape):
            if place:
                arrays = [inner for outer in arrays for inner in outer]
            try:
                lengths = list(map(len, arrays))
            except TypeError:
                return None
            brackets += len(lengths)
            if 0 in lengths:
                return None
            if place < self.level:  # what was open goes on, and so does the last array in it
                lengths[0] += self._open[place] - (place + 1 < self.level)
            self._open[place] = lengths.pop() if place < level else 0
            agreed = {*lengths, size} - {0}
            if len(agreed) > 1:
                return None
            shape.append(agreed.pop() if agreed else 0)
        self.level, self.shape = level, tuple(shape)
        return brackets
