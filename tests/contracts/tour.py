"""The tour as a page: the cells of the script, each with what it prints when it is run against a served instance."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.support.service import serving

CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)
KINDS = ("", "[markdown]", "hidden")


@dataclass(frozen=True)
class Cell:
    """A part of the script: `hidden` is run and not shown."""

    kind: str
    text: str


def cells(script: str) -> Iterator[Cell]:
    """The parts of a script in the percent format; what stands before the first is for linters.

    Raises:
        ValueError: if a cell is of no kind that is known.
    """
    _, *parts = CELL.split(script)
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if kind.strip() not in KINDS:
            raise ValueError(
                f"a cell is {kind.strip()!r}; expected one of {', '.join(filter(None, KINDS))}, or nothing"
            )
        yield Cell(kind.strip(), text.strip("\n"))


def page(path: Path) -> str:
    """The page, made by running the script against a server of its own."""
    with serving() as url:
        return rendered(path, url)


def rendered(path: Path, url: str) -> str:
    """The page, made by running the script against this server."""
    names: dict[str, object] = {"__name__": "__main__"}
    shown = []
    arguments, sys.argv = sys.argv, [path.name, "--url", url]
    try:
        for cell in cells(path.read_text()):
            if cell.kind == "[markdown]":
                shown.append(re.sub(r"^# ?", "", cell.text, flags=re.MULTILINE))
                continue
            output = io.StringIO()
            with redirect_stdout(output):
                exec(compile(cell.text, path.name, "exec"), names)
            if not cell.kind:
                shown.append(f"```python\n{cell.text}\n```\n\n```text\n{output.getvalue()}```")
    finally:
        sys.argv = arguments
    return "\n\n".join(shown) + "\n"
