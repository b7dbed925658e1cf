"""Numbers out of the text of a JSON array, at the speed of simdjson and in bounded memory.

The text is read in slices. In each slice the brackets are found with numpy and blanked, so that simdjson sees one flat array;
what it then proves about numbers and commas, together with where the brackets stood and how many commas lay between them,
proves that the whole is a well-formed array of one rectangular shape.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import simdjson

from lossmeter.errors import Flaw, MalformedBody
from lossmeter.tensors import Array, brackets, coordinates

SLICE_BYTES = 1 << 18
DENSE = 512
"""Bytes per bracket below which all commas of a slice are located at once, rather than counted between brackets."""

OPEN, CLOSE, COMMA, BLANK = b"[],\x20"
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class BadArray(Exception):
    """The text is not a rectangular array of numbers; says why and where."""

    def __init__(self, message: str, index: tuple[int, ...] | None = None, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.malformed = malformed

    def flaw(self, pointer: str, name: str) -> Flaw:
        return Flaw(pointer, f"{name}{brackets(self.index or ())} {self.message}", self.index)

    def error(self, name: str) -> MalformedBody:
        return MalformedBody(f"{name}{brackets(self.index or ())} {self.message}")


def read(text: bytes | bytearray, start: int, stop: int) -> tuple[Array, tuple[int, ...]]:
    """The numbers between `text[start]`, an opening bracket, and `text[stop - 1]`, a closing one.

    Returns them flat, as int64 where all are integers and as float64 otherwise, with their shape.

    Raises:
        BadArray: if the text is anything but a rectangular array of numbers.
    """
    scan = _Scan(text, start, stop)
    pieces: list[Array] = []
    parser = simdjson.Parser()
    position = 0
    for flat in scan.slices():
        try:
            pieces.append(_parse(parser, flat, whole=not pieces or pieces[-1].dtype.kind == "i"))
        except ValueError:
            raise _offender(bytes(flat), position, scan) from None
        position += len(pieces[-1])
    return _joined(pieces, position), scan.shape(position)


class _Scan:
    """Where the brackets stand, and how many commas come before each."""

    def __init__(self, text: bytes | bytearray, start: int, stop: int) -> None:
        self.text, self.start, self.stop = text, start, stop
        self.opens: list[Array] = []
        self.commas: list[Array] = []

    def slices(self) -> Iterator[memoryview]:
        """Each slice as one flat JSON array: cut at a comma, its brackets blanked."""
        seen = 0
        flat = bytearray(SLICE_BYTES + 2)
        begin = self.start
        while begin < self.stop:
            end = min(begin + SLICE_BYTES, self.stop)
            if end < self.stop:
                end = self.text.rfind(b",", begin, end)
                if end < 0:
                    raise BadArray(f"holds a run of {SLICE_BYTES} bytes without a comma", malformed=True)
            length = end - begin
            raw = np.frombuffer(self.text, np.uint8, length, begin)
            where = np.flatnonzero((raw == OPEN) | (raw == CLOSE))
            commas = raw == COMMA
            self.opens.append(raw[where] == OPEN)
            self.commas.append(_counts(commas, where) + seen)
            seen += int(np.count_nonzero(commas)) + 1  # the one at which the slice ends
            view = np.frombuffer(flat, np.uint8)
            view[1 : length + 1] = raw
            view[where + 1] = BLANK
            view[0], view[length + 1] = OPEN, CLOSE
            yield memoryview(flat)[: length + 2]
            begin = end + 1

    def finish(self) -> None:
        """Visits what is left, for the shape alone."""
        for _ in self.slices():
            pass

    def shape(self, count: int) -> tuple[int, ...]:
        """The shape that the brackets describe.

        Raises:
            BadArray: if it is not rectangular.
        """
        opens = np.concatenate(self.opens)
        gaps = np.diff(np.concatenate(self.commas))
        if len(opens) == 2 and opens[0] and not opens[1]:
            return (count,)
        return _rectangle(opens, gaps, count)


def _counts(commas: Array, where: Array) -> Array:
    """How many commas come before each of some positions."""
    if len(where) * DENSE > len(commas):
        return np.searchsorted(np.flatnonzero(commas), where)
    edges = [0, *where.tolist()]
    return np.cumsum([np.count_nonzero(commas[a:b]) for a, b in pairwise(edges)], dtype=np.int64)


def _rectangle(opens: Array, gaps: Array, count: int) -> tuple[int, ...]:
    closes = np.flatnonzero(~opens)
    if not len(closes) or not opens[0] or count == 0:
        raise BadArray("is not an array of numbers")
    depth = int(closes[0])
    level = np.cumsum(np.where(opens, 1, -1).astype(np.int8), dtype=np.int32)
    leaf = opens[:-1] & ~opens[1:]
    row = np.flatnonzero(leaf)
    if level[-1] != 0 or (level[:-1] <= 0).any():
        raise BadArray("has brackets that do not match", malformed=True)
    width = int(gaps[depth - 1]) + 1
    boundary = level[:-1][~opens[:-1] & opens[1:]]  # the depth to which the brackets close between two rows
    rows = len(row)
    sizes = [rows]
    for inner in range(1, depth - 1):
        ends = np.flatnonzero(boundary <= inner) + 1
        size = int(ends[0]) if len(ends) else rows
        if rows % size or len(ends) != rows // size - 1 or (ends != size * np.arange(1, len(ends) + 1)).any():
            raise BadArray(f"is ragged: its arrays at depth {inner + 1} differ in length")
        sizes.append(size)
    sizes.append(1)
    shape = (*(outer // inner for outer, inner in pairwise(sizes)), width)
    if (level[:-1][leaf] != depth).any() or (level > depth).any():
        bad = int(np.flatnonzero(level[row] != depth)[0])
        raise BadArray("is of mixed depth: arrays stand beside numbers", coordinates(bad, shape[:-1]))
    expected = np.where(opens[:-1], np.where(opens[1:], 0, width - 1), np.where(opens[1:], 1, 0))
    wrong = np.flatnonzero(gaps != expected)
    if len(wrong):
        first = int(wrong[0])
        if not leaf[first]:
            raise BadArray("is of mixed depth: numbers stand beside arrays, or a comma is missing")
        index = coordinates(int(np.searchsorted(row, first)), shape[:-1])
        raise BadArray(f"has {int(gaps[first]) + 1} numbers; expected {width}, as many as the first row", index)
    return shape


def numbers(array: simdjson.Array, *, whole: bool) -> Array | None:
    """The numbers of an array, however nested: int64 where they may be `whole` and are, else float64; none if not numeric."""
    if whole:
        with contextlib.suppress(ValueError, TypeError):  # floats, or integers over 63 bits
            return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
    with contextlib.suppress(ValueError, TypeError):
        return np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    return None


def _parse(parser: simdjson.Parser, flat: memoryview, *, whole: bool) -> Array:
    try:
        array = parser.parse(flat)
    except RuntimeError as error:
        raise ValueError from error
    found = numbers(array, whole=whole) if isinstance(array, simdjson.Array) else None
    if found is None:
        raise ValueError
    return found


def _joined(pieces: list[Array], count: int) -> Array:
    if len(pieces) == 1:
        return pieces[0]
    whole = np.empty(count, pieces[-1].dtype)
    position = 0
    pieces.reverse()
    while pieces:  # each piece is let go as soon as it is copied
        piece = pieces.pop()
        whole[position : position + len(piece)] = piece
        position += len(piece)
    return whole


def _offender(flat: bytes, position: int, scan: _Scan) -> BadArray:
    """The first element of a slice that is no number, and where it stands in the whole."""
    for number, token in enumerate(flat[1:-1].split(b",")):
        message = complaint(token.strip())
        if message:
            scan.opens, scan.commas = [], []
            try:
                scan.finish()
                total = int(scan.commas[-1][-1]) + 1
                index = coordinates(position + number, scan.shape(total))
            except BadArray:
                index = None
            return BadArray(message[0], index, malformed=message[1])
    return BadArray("is not an array of numbers", malformed=True)


def complaint(token: bytes) -> tuple[str, bool] | None:
    """What is wrong with an element, and whether it is not even JSON; nothing for a number that fits 64 bits."""
    shown = token[:40].decode("utf-8", "replace")
    match = NUMBER.fullmatch(token)
    if match:
        if not any(match.groups()) and len(token) > 18 and not -(2**63) <= int(token[:400]) < 2**64:
            return f"is {shown}; expected an integer that fits 64 bits (write 1e20 for a float)", False
        if abs(float(token)) == float("inf"):
            return f"is {shown}; expected a number within the range of FP64", False
        return None
    if not token:
        return "is missing; expected a number between the commas", True
    if token in (b"true", b"false", b"null") or token[:1] in b'"{':
        return f"is {shown}; expected a number", False
    if token.lstrip(b"-").lower() in (b"nan", b"inf", b"infinity"):
        return f"is {shown}, which is not JSON; non-finite numbers travel in the binary forms", True
    return f"is {shown!r}, which is not JSON; expected a number", True
