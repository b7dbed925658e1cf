"""Reads numbers out of the text of a JSON array, at the speed of simdjson and in bounded memory.

The text is read in slices. In each slice the brackets are found with numpy and blanked, so that simdjson sees one flat array
and proves that numbers and commas take turns. If besides every opening bracket stands right after a bracket of its kind or a
comma, and every closing one right before, then each number lies inside the brackets that are counted around it; how many
commas come before each bracket then says whether the whole is a rectangle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import simdjson

from lossmeter.errors import TooLarge
from lossmeter.tensors import Array
from lossmeter.wire._rectangle import Brackets, Rectangle
from lossmeter.wire._values import MIXED, BadValue, loads

FIRST_BYTES = 1 << 13
SLICE_BYTES = 1 << 18
LONGEST_GAP = 1 << 24
"""Bytes between two commas that are read: more can only be white space without end."""
DOUBTED_BYTES = 1 << 20
"""Arrays with a fault up to this size are looked through for what is not even JSON, which weighs more."""
DENSE = 512
"""Bytes per bracket below which all commas of a slice are located at once, rather than counted between brackets."""

OPEN, CLOSE, COMMA, BLANK = b"[],\x20"
SPACE = b" \t\r\n"
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
EMPTY = re.compile(rb"\[[ \t\r\n]*+\]")
BOOLEAN = re.compile(rb"[\[ \t\r\n]*+[tf]")
TRUE, FALSE, NULL = b"true", b"false", b"null"
NON_FINITE = (b"nan", b"inf", b"infinity")


class Numbers(NamedTuple):
    """Holds an array of a text, which lies from `start` to before `stop`, or what is wrong with it."""

    start: int
    stop: int
    flat: Array
    shape: tuple[int, ...]
    bad: BadValue | None


class _Slice(NamedTuple):
    """Holds a part of the text, cut at commas.

    Attributes:
        text: all of it; the part lies between `begin` and `end`.
        flat: the part as one flat JSON array, its brackets blanked.
        where: positions of the brackets in the part.
        proper: whether the brackets stand where brackets may.
        seen: how many commas come before the part.
    """

    text: bytes | bytearray
    begin: int
    end: int
    flat: memoryview
    where: Array
    brackets: Brackets
    proper: bool
    seen: int


def read(text: bytes | bytearray, start: int, limit: int) -> Numbers | None:
    """Reads the numbers, or booleans, of the array that `text[start]` opens; None if it does not end before `limit`.

    They come flat, as int64 where all are integers and as float64 otherwise. Before `limit` is neither a quote nor a brace.
    """
    scan = _Scan(text, start, limit)
    rectangle = Rectangle()
    parser = simdjson.Parser()
    gathered = Gathered(limit - start)
    boolean = BOOLEAN.match(text, start) is not None
    bad: BadValue | None = None
    for part in scan.slices():
        if bad is not None:
            continue  # only the end is still to be found
        try:
            if not part.proper:
                raise ValueError
            piece = _booleans(parser, part) if boolean else _flat(parser, part.flat, whole=gathered.whole)
            rectangle.add(part.brackets)
            gathered.add(piece, part.end - start)
        except ValueError:
            bad = _offender(part, rectangle, boolean=boolean)
        except BadValue as error:
            bad = error
    if not scan.stop:
        return None
    if bad is None:
        return Numbers(start, scan.stop, gathered.numbers, rectangle.shape, None)
    if not bad.malformed and scan.stop - start <= DOUBTED_BYTES:
        bad = _malformed(text[start : scan.stop]) or bad
    return Numbers(start, scan.stop, np.empty(0), (), bad)


def _malformed(text: bytes | bytearray) -> BadValue | None:
    """Finds what is not JSON in an array that has other faults too."""
    try:
        loads(text)
    except BadValue as bad:
        return bad if bad.malformed else None
    except RecursionError:
        pass
    return None


class _Scan:
    """Cuts the text into slices until the array ends."""

    def __init__(self, text: bytes | bytearray, start: int, limit: int) -> None:
        self.text, self.start, self.limit = text, start, limit
        self.stop = 0

    def slices(self) -> Iterator[_Slice]:
        """Cuts one slice after the other; what a slice holds is overwritten by the next."""
        level = seen = 0
        room = FIRST_BYTES
        flat = bytearray()
        begin = self.start
        while begin < self.limit:
            end = find_cut(self.text, begin, room, self.limit)
            raw = np.frombuffer(self.text, np.uint8, end - begin, begin)
            where = np.flatnonzero((raw == OPEN) | (raw == CLOSE))
            opens = raw[where] == OPEN
            levels = level + np.cumsum(np.where(opens, 1, -1).astype(np.int8), dtype=np.int32)
            outside = np.flatnonzero(levels == 0)
            if len(outside):
                last = int(outside[0])
                self.stop = end = begin + int(where[last]) + 1
                raw, where, opens, levels = raw[: end - begin], where[: last + 1], opens[: last + 1], levels[: last + 1]
            commas = raw == COMMA
            brackets = Brackets(opens, _counts(commas, where) + seen + ~opens, levels)
            if len(flat) < len(raw) + 2:
                flat = bytearray(max(len(raw), room) + 2)
            padded = np.frombuffer(flat, np.uint8, len(raw) + 2)
            padded[1:-1] = raw
            padded[0] = padded[-1] = COMMA
            proper = _beside(padded, where[opens], -1, OPEN) and _beside(padded, where[~opens] + 2, 1, CLOSE)
            padded[where + 1] = BLANK
            padded[0], padded[-1] = OPEN, CLOSE
            blanked = memoryview(flat)[: len(padded)]
            yield _Slice(self.text, begin, end, blanked, where, brackets, proper, seen)
            if self.stop:
                return
            level = int(levels[-1]) if len(levels) else level
            seen += int(np.count_nonzero(commas)) + 1  # the one at which the slice ends
            begin = end + 1
            room = SLICE_BYTES


def find_cut(text: bytes | bytearray, begin: int, room: int, limit: int) -> int:
    """Finds where a part of about that size ends: at a comma, if there is one before the limit.

    Raises:
        TooLarge: if the next is too far away.
    """
    if begin + room >= limit:
        return limit
    comma = text.rfind(b",", begin, begin + room)
    if comma < 0:
        comma = text.find(b",", begin + room, begin + LONGEST_GAP)
    if 0 <= comma < limit:
        return comma
    if begin + LONGEST_GAP < limit:
        raise TooLarge(f"The body holds an array with more than {LONGEST_GAP} bytes between two commas.")
    return limit


def _beside(padded: Array, places: Array, step: int, bracket: int) -> bool:
    """Tells whether at each place is a comma or a bracket of one kind, once white space is passed over."""
    beside = padded[places]
    if ((beside == COMMA) | (beside == bracket)).all():
        return True
    visible = np.flatnonzero((padded != 32) & ((padded < 9) | (padded > 13)))
    side = np.searchsorted(visible, places, "left" if step > 0 else "right")
    beside = padded[visible[side if step > 0 else side - 1]]
    return bool(((beside == COMMA) | (beside == bracket)).all())


def _counts(commas: Array, where: Array) -> Array:
    """Counts the commas before each of some positions."""
    if len(where) * DENSE > len(commas):
        return np.searchsorted(np.flatnonzero(commas), where)
    edges = [0, *where.tolist()]
    return np.cumsum([np.count_nonzero(commas[a:b]) for a, b in pairwise(edges)], dtype=np.int64)


def numbers(array: simdjson.Array, *, whole: bool) -> Array | None:
    """Reads the numbers of an array, however nested: int64 if they may be `whole` and are, else float64; None if none are."""
    if whole:
        try:
            return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
        except (ValueError, TypeError):  # floats, or integers over 63 bits
            pass
    try:
        return np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    except (ValueError, TypeError):
        return None


def _flat(parser: simdjson.Parser, flat: bytes | memoryview, *, whole: bool) -> Array:
    """Reads the numbers of a flat array.

    Raises:
        ValueError: if it is none, or empty.
    """
    try:
        array = parser.parse(flat)
    except RuntimeError as error:
        raise ValueError from error
    assert isinstance(array, simdjson.Array)  # its brackets are ours
    flat_numbers = numbers(array, whole=whole)
    if flat_numbers is None or not len(flat_numbers):
        raise ValueError
    return flat_numbers


def _booleans(parser: simdjson.Parser, part: _Slice) -> Array:
    # Blanks on both sides keep what stood next to the words from growing together with the digits.
    text = bytes(part.flat).replace(TRUE, b" 1 ").replace(FALSE, b" 0 ")
    ones = _flat(parser, text, whole=True)
    if part.text.count(TRUE, part.begin, part.end) + part.text.count(FALSE, part.begin, part.end) != len(ones):
        raise ValueError
    return ones.astype(np.bool_)


class Gathered:
    """Gathers the numbers of one slice after the other in memory that is taken once.

    Args:
        span: bytes of text that the array has at most.
    """

    def __init__(self, span: int) -> None:
        self.span = span
        self.room: Array = np.empty(0, np.int64)
        self.count = 0

    @property
    def whole(self) -> bool:
        """Tells whether all numbers so far are integers."""
        return self.room.dtype.kind == "i"

    @property
    def numbers(self) -> Array:
        return self.room[: self.count]

    def add(self, piece: Array, read: int) -> None:
        """Appends the numbers of a slice; `read` is how many bytes of text have been read by then."""
        count = self.count + len(piece)
        if not self.count and read >= self.span:
            self.room, self.count = piece, count
            return
        dtype = piece.dtype if self.whole else self.room.dtype
        if count > len(self.room) or dtype != self.room.dtype:
            # Memory that is never touched costs nothing, so the rest is taken to be a little denser than what was read.
            room = np.empty(max(count, int(1.05 * count * self.span / read)), dtype)
            room[: self.count] = self.numbers
            self.room = room
        self.room[self.count : count] = piece
        self.count = count


def _offender(part: _Slice, rectangle: Rectangle, *, boolean: bool) -> BadValue:
    """Finds the first thing in a slice that is no number, or stands where none may be."""
    begin = 0
    raw = bytes(part.text[part.begin : part.end])
    for count, token in enumerate(raw.split(b",")):
        bare = bytes(token.lstrip(b"[" + SPACE).rstrip(b"]" + SPACE))
        problem = complaint(bare, boolean=boolean)
        if problem is not None:
            empty = None if bare else EMPTY.search(token)
            place = begin + (empty.end() if empty else token.find(bare))
            brackets = int(np.searchsorted(part.where, place)) - bool(empty)
            try:
                rectangle.add(part.brackets.first(brackets))
            except BadValue as earlier:
                return earlier
            if empty:
                return rectangle.ragged(rectangle.level, part.seen + count)
            return _explained(problem, part.seen + count, rectangle)
        begin += len(token) + 1
    return BadValue("is not an array of numbers", malformed=True)


def _explained(problem: tuple[str, str], number: int, rectangle: Rectangle) -> BadValue:
    what, expected = problem
    if expected and rectangle.level < rectangle.depth:
        return rectangle.beside_arrays(what, number, rectangle.level)
    message = f"is {what}; expected {expected}" if expected else f"is {what}"
    return BadValue(message, rectangle.place(number, rectangle.level), malformed=not expected)


def complaint(token: bytes, *, boolean: bool = False) -> tuple[str, str] | None:
    """Says what an element is, and what was expected (nothing if it is not even JSON); None of an element that is right."""
    word = "true or false" if boolean else "a number"
    shown = token[:40].decode("utf-8", "replace")
    if token in (TRUE, FALSE):
        return None if boolean else (shown, MIXED[False])
    if NUMBER.fullmatch(token):
        if boolean:
            return shown, MIXED[True]
        if abs(float(token)) == float("inf"):
            return shown, "a number within the range of FP64"
        if token.lstrip(b"-").isdigit() and len(token) > 18 and not -(2**63) <= int(token) < 2**64:
            return shown, "an integer that fits 64 bits (write 1e20 for a float)"
        return None
    if token == NULL:
        return shown, word
    if not token:
        return f"missing; expected {word} between the commas", ""
    if token.lstrip(b"-").lower() in NON_FINITE:
        return f"{shown}, which is not JSON; non-finite numbers travel in the binary forms", ""
    return f"{shown!r}, which is not JSON; expected {word}", ""
