"""Takes the big arrays of numbers out of a JSON text, so that what remains is small."""

from __future__ import annotations

import re

from lossmeter.errors import Invalid, pointer
from lossmeter.tensors import Array
from lossmeter.wire import _numbers
from lossmeter.wire._numbers import BadArray

Path = tuple[str | int, ...]
Lifted = dict[Path, tuple[Array, tuple[int, ...]]]

_TOKEN = re.compile(rb'["\[\]{}]')
_STRINGS = re.compile(rb'\[\s*+"(?:[^"\\]++|\\.)*+"\s*+(?:,\s*+"(?:[^"\\]++|\\.)*+"\s*+)*+\]')
_NUMERIC = re.compile(rb"[\[\s]*+[-0-9]")


def lift(body: bytes | bytearray, minimum: int) -> tuple[bytes, Lifted]:
    """Takes the arrays of numbers that are longer than `minimum` bytes out of a JSON text.

    Returns what remains, with `null` in their places, and the arrays by their paths. Never fails: an array that cannot be
    read stays where it is.

    Raises:
        Invalid, MalformedBody: for an array that is certainly not one of numbers.
    """
    lifted: Lifted = {}
    rest: list[bytes | bytearray] = []
    done = position = 0
    path: list[str | int] = []
    ends = dict.fromkeys(b'"{}', -1)
    while match := _TOKEN.search(body, position):
        start, mark = match.start(), body[match.start()]
        position = start + 1
        if mark == ord('"'):
            position = _string_end(body, start)
            if path and not isinstance(path[-1], int):
                path[-1] = bytes(body[start + 1 : position - 1]).decode("utf-8", "replace")
        elif mark == ord("{"):
            if path and isinstance(path[-1], int):
                path[-1] += 1
            path.append("")
        elif mark == ord("["):
            if strings := _STRINGS.match(body, start):
                position = strings.end()
                continue
            stop = _numbers_end(body, start, ends)
            if stop - start >= minimum and _NUMERIC.match(body, start):
                key = tuple(path)
                try:
                    lifted[key] = _numbers.read(body, start, stop)
                except BadArray as bad:
                    name = str(key[-1]) if key else "body"
                    if bad.malformed:
                        raise bad.error(name) from None
                    raise Invalid.of("request", [bad.flaw(pointer(*key), name)]) from None
                rest += [body[done:start], b"null"]
                done = position = stop
            else:
                path.append(-1)
        elif path:
            path.pop()
    rest.append(body[done:])
    return b"".join(rest), lifted


def _numbers_end(body: bytes | bytearray, start: int, ends: dict[int, int]) -> int:
    """Where an array of numbers that starts here would end: at the last bracket before any quote or brace."""
    for mark, known in ends.items():
        if known < start:
            found = body.find(bytes([mark]), start)
            ends[mark] = len(body) if found < 0 else found
    return body.rfind(b"]", start, min(ends.values())) + 1


def _string_end(body: bytes | bytearray, start: int) -> int:
    end = body.find(b'"', start + 1)
    while end > 0:
        slashes = end - 1
        while body[slashes] == ord("\\"):
            slashes -= 1
        if (end - slashes) % 2:
            return end + 1
        end = body.find(b'"', end + 1)
    return len(body)
