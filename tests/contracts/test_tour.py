"""The tour is made of its script; that it is current is checked with everything else that is generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts import tour
from tests.contracts.generated import ROOT, TOUR, TOUR_SCRIPT

SCRIPT = """# ruff: noqa
# %% [markdown]
# # Title
#
# Text.
# %% hidden
import sys
# %%
print(sys.argv[2])
# %%
print(1 + 1)
"""


def test_code_is_shown_with_what_it_prints(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    first = "```python\nprint(sys.argv[2])\n```\n\n```text\nhttp://there\n```"
    second = "```python\nprint(1 + 1)\n```\n\n```text\n2\n```"
    assert tour.rendered(path, "http://there") == f"# Title\n\nText.\n\n{first}\n\n{second}\n"


def test_a_cell_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="a cell is 'latex'; expected one of"):
        list(tour.cells("# %% latex\n"))


def test_the_page_shows_every_block_and_no_id() -> None:
    text = (ROOT / TOUR).read_text()
    for cell in tour.cells((ROOT / TOUR_SCRIPT).read_text()):
        assert (cell.text in text) == (not cell.kind)
    assert "the regression is deployed" in text
    assert "01a2" not in text
