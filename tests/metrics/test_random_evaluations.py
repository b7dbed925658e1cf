"""Random evaluations stay within their bounds and depend on neither order nor partition."""

from __future__ import annotations

import pytest

from tests.metrics.random_evaluations import flaws


@pytest.mark.parametrize("block", range(10))
def test_random_evaluations_hold_together(block: int) -> None:
    assert [flaw for seed in range(20 * block, 20 * block + 20) for flaw in flaws(seed)] == []
