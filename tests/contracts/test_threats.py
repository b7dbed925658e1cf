"""Every defence that the threat model claims is held by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(test_\w+)::(test_\w+)` \|$", re.MULTILINE)
ROW = re.compile(r"^\| .* \| .* \| `test_", re.MULTILINE)


def missing(page: str) -> list[str]:
    """The tests that a page names and that are nowhere."""
    found = {
        (path.stem, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    return [f"{file}::{name}" for file, name in NAMED.findall(page) if (file, name) not in found]


def test_every_named_test_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    assert len(NAMED.findall(page)) == len(ROW.findall(page)) > 20
    assert missing(page) == []


def test_what_does_not_exist_is_found() -> None:
    page = "| a | b | `test_threats::test_every_named_test_exists` |\n| a | b | `test_threats::test_nothing` |\n"
    assert missing(page) == ["test_threats::test_nothing"]
