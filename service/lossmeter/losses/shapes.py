"""Symbolic shapes: `N C *d | C` against the shapes of real tensors.

A dimension is a name, a number, or a name with a factor or an offset: `2N`, `C-1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

Sizes = tuple[int, ...]
Bindings = dict[str, Sizes]


@dataclass(frozen=True)
class Pattern:
    """One alternative of a symbolic shape: names of dimensions, at most one of them variadic (`*d`)."""

    names: tuple[str, ...]
    broadcast: bool

    def match(self, shape: Sizes, bound: Bindings) -> bool:
        """Binds the names to the sizes of `shape`; false where they contradict what is bound already."""
        if self.broadcast:
            return _broadcasts(shape, self.substitute(bound))
        variadic = next((i for i, name in enumerate(self.names) if name[0] == "*"), None)
        if variadic is None:
            if len(shape) != len(self.names):
                return False
            pieces: list[tuple[str, Sizes]] = [(name, (size,)) for name, size in zip(self.names, shape, strict=True)]
        else:
            after = len(self.names) - variadic - 1
            if len(shape) < variadic + after:
                return False
            stop = len(shape) - after
            pieces = [(name, (size,)) for name, size in zip(self.names[:variadic], shape, strict=False)]
            pieces.append((self.names[variadic], shape[variadic:stop]))
            pieces += [(name, (size,)) for name, size in zip(self.names[variadic + 1 :], shape[stop:], strict=True)]
        for name, sizes in pieces:
            if name.isdigit():
                if sizes != (int(name),):
                    return False
            elif name[0] == "*":
                if bound.setdefault(name, sizes) != sizes:
                    return False
            else:
                factor, base, offset = term(name)
                size, remainder = divmod(sizes[0] - offset, factor)
                if remainder or size < 0 or bound.setdefault(base, (size,)) != (size,):
                    return False
        return True

    def substitute(self, bound: Bindings) -> Sizes:
        """The concrete shape, given what the names are bound to."""
        sizes: list[int] = []
        for name in self.names:
            if name.isdigit():
                sizes.append(int(name))
            elif name[0] == "*":
                sizes += bound.get(name, ())
            else:
                factor, base, offset = term(name)
                sizes += [factor * size + offset for size in bound.get(base, ())]
        return tuple(sizes)

    @property
    def bases(self) -> frozenset[str]:
        """The names of dimensions that it is made of."""
        return frozenset(name if name[0] == "*" else term(name)[1] for name in self.names if not name.isdigit())

    def known(self, bound: Bindings) -> bool:
        return self.bases <= bound.keys()

    def __str__(self) -> str:
        words = ["…" + name[1:] if name[0] == "*" else name for name in self.names]
        return ("broadcastable to " if self.broadcast else "") + "(" + ", ".join(words) + ")"


def _broadcasts(shape: Sizes, target: Sizes) -> bool:
    if len(shape) > len(target):
        return False
    return all(a in (1, b) for a, b in zip(reversed(shape), reversed(target), strict=False))


@cache
def term(name: str) -> tuple[int, str, int]:
    """A dimension as factor, name and offset: `2N` as (2, "N", 0).

    Raises:
        ValueError: it is none.
    """
    parts = re.fullmatch(r"([1-9]\d*)?([A-Za-z_]\w*?)([+-]\d+)?", name)
    if parts is None:
        raise ValueError(f"{name!r} is no dimension")
    return int(parts[1] or 1), parts[2], int(parts[3] or 0)


@cache
def patterns(text: str) -> tuple[Pattern, ...]:
    """The alternatives of a symbolic shape, parsed."""
    parsed = []
    for alternative in text.split("|"):
        stripped = alternative.strip()
        names = tuple(stripped.removeprefix("~").split())
        if sum(name[0] == "*" for name in names) > 1:
            raise ValueError(f"{text!r}: at most one variadic dimension")
        pattern = Pattern(names, stripped.startswith("~"))
        _ = pattern.bases  # refuses what is no dimension
        parsed.append(pattern)
    return tuple(parsed)


@dataclass(frozen=True)
class Mismatch:
    """The first tensor that does not fit, and what would have."""

    name: str
    given: Sizes
    expected: Sizes | None
    pattern: str


def unify(texts: Mapping[str, str], shapes: Mapping[str, Sizes]) -> tuple[Bindings, int] | Mismatch:
    """Binds the dimensions of all tensors together.

    Returns the bindings and the number of the alternative that fits, or the first mismatch of the alternative that
    got furthest.
    """
    options = {name: patterns(text) for name, text in texts.items()}
    count = max(len(option) for option in options.values())
    furthest = -1
    mismatch: Mismatch | None = None
    for number in range(count):
        bound: Bindings = {}
        for reached, name in enumerate(shapes):
            option = options[name]
            pattern = option[number if len(option) > 1 else 0]
            # A name bound by an earlier tensor must not change when this one fails halfway.
            attempt = dict(bound)
            if not pattern.match(shapes[name], attempt):
                if reached > furthest:
                    furthest = reached
                    expected = pattern.substitute(bound) if pattern.known(bound) and not pattern.broadcast else None
                    mismatch = Mismatch(name, shapes[name], expected, str(pattern))
                break
            bound = attempt
        else:
            return bound, number
    assert mismatch is not None
    return mismatch
