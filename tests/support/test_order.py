"""The order of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.order import LONGEST, place


def test_the_longest_files_are_there_and_come_first(request: pytest.FixtureRequest) -> None:
    folder = Path(__file__).parents[1]
    assert [name for name in LONGEST if not (folder / name).is_file()] == []
    assert place(f"tests/{LONGEST[1]}::test_a[1]") == 1
    assert place("tests/wire/test_safetensors.py::test_a") == len(LONGEST)
    places = [place(item.nodeid) for item in request.session.items]
    assert places == sorted(places)
