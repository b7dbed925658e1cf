"""Heads of HTTP that say the same but for a few fields, known again by their bytes.

A head is learned from one that a parser has read. What surrounds the values of those fields has to be the same to the byte, so
that whatever the parser found out about it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping


class Varying:
    """Fields that may differ from one head to the next while nothing else does.

    Args:
        values: a pattern for what each may hold, by names in lower case; a group of it holds what is wanted later.
    """

    __slots__ = ("_field", "_values")

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self._values = values
        self._field = re.compile(rb"(?i)(\r\n(" + b"|".join(map(re.escape, values)) + rb"):[ \t]*)([^\r\n]*)")

    def constant(self, head: bytes) -> bytes:
        """Returns a head without the values."""
        return self._field.sub(rb"\1", head)

    def fields(self, head: bytes) -> list[tuple[bytes, bytes]]:
        """Returns the names, in lower case, and values in the order in which they stand."""
        return [(match[2].lower(), match[3]) for match in self._field.finditer(head)]

    def pattern(self, head: bytes) -> bytes:
        """Returns a pattern of all heads that are the same but for the values."""
        pattern, position = b"", 0
        for match in self._field.finditer(head):
            pattern += re.escape(head[position : match.start(3)]) + self._values[match[2].lower()]
            position = match.end()
        return pattern + re.escape(head[position:])
