"""Checks a part at a time that the brackets of a nested array describe a rectangle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lossmeter.tensors import Array
from lossmeter.wire._values import MAX_DIMENSIONS, BadValue


class Brackets(NamedTuple):
    """Describes some brackets of a text, in order.

    Attributes:
        opens: whether each is an opening one.
        numbers: how many numbers come before each.
        levels: the depth after each.
    """

    opens: Array
    numbers: Array
    levels: Array

    def first(self, count: int) -> Brackets:
        return Brackets(self.opens[:count], self.numbers[:count], self.levels[:count])


class Rectangle:
    """Sees the brackets go by, and learns how many numbers an array of each depth holds from the first that closes."""

    def __init__(self) -> None:
        self.depth = 0
        self.level = 0
        self._last: Brackets | None = None
        self._blocks: dict[int, int] = {}
        self._closed: dict[int, int] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.length(depth) for depth in range(1, self.depth + 1))

    def length(self, depth: int) -> int:
        """Returns how many elements an array of that depth has; 0 if none has closed yet."""
        return self._blocks.get(depth, 0) // self._blocks.get(depth + 1, 1)

    def place(self, number: int, depth: int) -> tuple[int, ...]:
        """Computes the index, `depth` dimensions of it, of what follows that many numbers and all that has closed so far."""
        closed, index = self._closed, []
        for inner in range(2, depth + 2):
            seen = number if inner > self.depth else closed.get(inner, 0)
            children = self._blocks.get(self.depth, 0) if inner > self.depth else self.length(inner - 1)
            index.append(seen - closed.get(inner - 1, 0) * children)
        return tuple(index)

    def add(self, brackets: Brackets) -> None:
        """Looks at the next brackets.

        Raises:
            BadValue: at the first that is in the way of a rectangle.
        """
        if not len(brackets.opens):
            return
        if self._last is None:
            joined = brackets
        else:
            joined = Brackets(*(np.concatenate(pair) for pair in zip(self._last, brackets, strict=True)))
        self._last = Brackets(*(column[-1:] for column in joined))
        self._find_depth(joined)
        self.level = int(joined.levels[-1])
        self._check(joined)

    def _find_depth(self, brackets: Brackets) -> None:
        """Until the first number is seen, every bracket opens another dimension."""
        if self._closed:
            return
        later = np.flatnonzero(~brackets.opens | (brackets.numbers > 0))
        self.depth = int(brackets.levels[later[0] - 1 if len(later) else -1])
        if self.depth > MAX_DIMENSIONS:
            raise BadValue(f"is nested deeper than {MAX_DIMENSIONS} levels")

    def _check(self, brackets: Brackets) -> None:
        opens, numbers, levels = brackets
        between = numbers[1:] - numbers[:-1]
        inside = levels[:-1]
        stray = (between > 0) & (inside != self.depth)
        too_deep = opens[1:] & (levels[1:] > self.depth)
        end = wrong = _first(stray | too_deep)
        ragged: tuple[int, int] | None = None
        closes = ~opens[1:]
        for depth in range(self.depth, 0, -1):
            ends = np.flatnonzero(closes[:wrong] & (inside[:wrong] == depth))
            if len(ends):
                odd = self._close(depth, numbers[1:][ends])
                if odd < len(ends):
                    wrong = int(ends[odd])
                    ragged = depth, int(numbers[1 + wrong])
        if ragged is not None:
            raise self.ragged(*ragged)
        if end < len(between):
            if stray[end]:
                raise self.beside_arrays("a number", int(numbers[end]), int(inside[end]))
            raise BadValue("is an array; expected a number", self.place(int(numbers[end + 1]), self.depth))

    def _close(self, depth: int, numbers: Array) -> int:
        """Closes arrays of one depth after these numbers; returns the position of the first that is of another size."""
        closed = self._closed.get(depth, 0)
        block = self._blocks.setdefault(depth, int(numbers[0]))
        odd = _first(numbers != block * np.arange(closed + 1, closed + 1 + len(numbers)))
        self._closed[depth] = closed + odd
        return odd

    def ragged(self, depth: int, number: int) -> BadValue:
        """Makes the error for the open array of that depth, which ends after so many numbers, unlike the first."""
        begin = self._closed[depth] * self._blocks[depth]
        count = (number - begin) // self._blocks.get(depth + 1, 1)
        message = f"has {count} elements; expected {self.length(depth)}, as many as the first"
        return BadValue(message, self.place(begin, depth - 1))

    def beside_arrays(self, what: str, number: int, level: int) -> BadValue:
        message = f"is {what}; expected an array of {self.length(level + 1)}"
        return BadValue(message, self.place(number, level))


def _first(flags: Array) -> int:
    """Finds the position of the first that is true; their number if none is."""
    return int(np.argmax(flags)) if flags.any() else len(flags)
