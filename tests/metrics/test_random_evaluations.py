"""Random evaluations stay within bounds and depend on neither order nor partition; `make fuzz-metrics` makes thousands."""

from __future__ import annotations

import pytest

from tests.programs.random_evaluations import flaws


@pytest.mark.parametrize("block", range(4))
def test_random_evaluations_hold_together(block: int) -> None:
    assert [flaw for seed in range(20 * block, 20 * block + 20) for flaw in flaws(seed)] == []
