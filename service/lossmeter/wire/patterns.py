"""Patterns: bodies that say the same but for the numbers of their tensors, read without looking at the rest again.

A pattern is learned from a body that the strict decoders have taken. What surrounds the numbers has to be the same to the
byte, so that whatever those decoders found out about it holds. Nothing here refuses a body: one that does not fit is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import simdjson

from lossmeter.errors import LossmeterError
from lossmeter.tensors import Array, Tensor
from lossmeter.wire import json
from lossmeter.wire.safetensors_layout import DTYPES, LENGTH_BYTES

NUMBERS = b"0123456789+-.eE \t\r\n"
"""The characters of numbers and of white space; what is left of an array without them says how it is nested."""
_ARRAY = re.compile(rb"\[[][0-9+\-.eE, \t\r\n]*\]")
_DIGIT = re.compile(rb"[0-9]")
_MARK = 9_007_100_000
"""Stands for the first array while a pattern is learned; the next number for the next one."""

Parts = Sequence[bytes]


class JsonPattern:
    """JSON bodies whose tensors are nested arrays; white space and nesting may differ.

    Attributes:
        names: of the tensors, in the order in which they stand.
        identity: equal for patterns that are the same.
    """

    __slots__ = ("_begin", "_between", "_end", "identity", "names")

    def __init__(self, literals: list[bytes], names: tuple[str, ...]) -> None:
        self.identity: Hashable = tuple(literals)
        self._begin, *self._between, self._end = literals
        self.names = names

    @classmethod
    def learn(cls, body: bytes, tensors: Mapping[str, Tensor]) -> Self | None:
        """Returns the pattern of a body, from which these tensors were decoded; None if it has none."""
        found = [match.span() for match in _ARRAY.finditer(body) if _DIGIT.search(match[0])]
        # Each array has a number in its place, by which it is found again under its name: the text is JSON, so it would be
        # with any other value there.
        edges = [0, *(edge for span in found for edge in span), len(body)]
        literals = [body[begin:end] for begin, end in [*pairwise(edges)][::2]]
        marks = [b"%d" % (_MARK + place) for place in range(len(found))]
        outline = b"".join(part for pair in zip(literals, [*marks, b""], strict=True) for part in pair)
        if not found or any(mark in body for mark in marks):
            return None
        try:
            fields = json.decode(outline, frozenset(tensors))
        except LossmeterError:
            return None
        places: dict[int, str] = {}
        for name in tensors:
            given = fields.get(name)
            if not isinstance(given, Tensor) or given.shape or given.data[0] < _MARK:
                return None
            places[int(given.data[0]) - _MARK] = name
        if sorted(places) != [*range(len(found))]:
            return None
        return cls(literals, tuple(places[place] for place in range(len(found))))

    def cut(self, body: bytes) -> Parts | None:
        """Returns the texts of the arrays of a body; None if it does not fit."""
        position = len(self._begin)
        stop = len(body) - len(self._end)
        if position > stop or not (body.startswith(self._begin) and body.endswith(self._end)):
            return None
        parts = []
        for literal in self._between:
            end = body.find(literal, position, stop)
            if end < 0:
                return None
            parts.append(body[position:end])
            position = end + len(literal)
        parts.append(body[position:stop])
        return parts

    @staticmethod
    def key(parts: Parts) -> Hashable:
        """Returns what says how the arrays are nested. It holds every bracket and comma, and no number."""
        return tuple([part.translate(None, NUMBERS) for part in parts])


class JsonForm:
    """Reads the arrays of one nesting.

    Args:
        pattern: of the bodies.
        tensors: as the strict decoder read them, in the order in which they are wanted.
        whole: names those that hold integers, and nothing else.
    """

    __slots__ = ("_order", "_parser")

    def __init__(self, pattern: JsonPattern, tensors: Mapping[str, Tensor], whole: Collection[str]) -> None:
        self._parser = simdjson.Parser()
        self._order = [
            (pattern.names.index(name), *(("i", np.int64) if name in whole else ("d", np.float64)), len(x.data))
            for name, x in tensors.items()
        ]

    def read(self, parts: Parts) -> list[Array] | None:
        """Returns the elements of each tensor, flat; None if they are not what is expected.

        Between brackets and commas that are the same, each number stands in the place of one: as many as there were before
        are the same rectangle.
        """
        parser = self._parser
        arrays = []
        for place, code, dtype, size in self._order:
            try:
                array = np.frombuffer(parser.parse(parts[place]).as_buffer(of_type=code), dtype)  # type: ignore[union-attr]
            except (ValueError, TypeError, RuntimeError, AttributeError):
                return None
            if len(array) != size:
                return None
            arrays.append(array)
        return arrays


class FilePattern:
    """safetensors bodies: the header says everything but the numbers."""

    __slots__ = ()
    identity: Hashable = None

    @staticmethod
    def cut(body: bytes) -> Parts | None:
        """Returns header and tensors."""
        start = LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little")
        return (body[:start], body) if start <= len(body) else None

    @staticmethod
    def key(parts: Parts) -> Hashable:
        """Returns the header, and the size of the whole."""
        return parts[0], len(parts[1])


class FileForm:
    """Reads the tensors that one header describes."""

    __slots__ = ("_order",)

    def __init__(self, order: list[tuple[np.dtype[Any], int, int]]) -> None:
        self._order = order

    @classmethod
    def of(cls, header: bytes, tensors: Mapping[str, Tensor]) -> Self | None:
        """Returns the form of a header; None if some of the tensors stand among the fields of the request instead."""
        entries: dict[str, Any] = simdjson.loads(header[LENGTH_BYTES:])
        if not tensors.keys() <= entries.keys():
            return None
        return cls(
            [
                (DTYPES[entries[name]["dtype"]].dtype, len(x.data), len(header) + entries[name]["data_offsets"][0])
                for name, x in tensors.items()
            ]
        )

    def read(self, parts: Parts) -> list[Array]:
        """Returns the elements of each tensor, flat, as views."""
        body = parts[1]
        return [np.frombuffer(body, dtype, size, start) for dtype, size, start in self._order]
