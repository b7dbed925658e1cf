"""Pages: headlines, sections and grids of short texts, before they take a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Style = Literal["", "strong", "faint", "good", "bad"]


class Cell(NamedTuple):
    """A short text, and how much it wants to be seen."""

    text: str
    style: Style = ""


class Column(NamedTuple):
    """A column of a grid.

    Attributes:
        title: above it; empty for none.
        figures: whether it holds numbers, which are aligned to the right and never broken; texts may be.
    """

    title: str = ""
    figures: bool = False


@dataclass(frozen=True)
class Grid:
    """A table. Its first column says what a row is about."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Section:
    """A title, and a grid or lines of text under it."""

    title: str
    content: Grid | Sequence[str]


@dataclass(frozen=True)
class Page:
    """A headline, and sections under it.

    Attributes:
        verdict: what the gates say; None where there is no gate.
    """

    headline: str
    verdict: Cell | None
    sections: Sequence[Section]
