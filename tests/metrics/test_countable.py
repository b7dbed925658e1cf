"""Scores that weigh the same and are units of their own are counted, in the order in which they came: with the same figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lossmeter.metrics.scores import Samples
from tests.metrics.evaluations import measured, metrics_of, part, report

WANTED = ["auroc", "average_precision", "brier", "f1"]
EXACT = metrics_of("binary", "probabilities", WANTED, curves={"bins": 0}, replicates=40)
EACH = metrics_of(
    "multilabel", "probabilities", [{"metric": "auroc", "average": "macro"}], curves={"bins": 0}, replicates=40
)


def binary(n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    labels = rng.integers(0, 2, n)
    scores = np.clip((0.3 + 0.4 * labels + rng.normal(0, 0.3, n)).round(2), 0, 1)
    return {"predictions": scores, "labels": labels, "sample_ids": [f"id-{i}" for i in range(n)]}


def scored(data: dict[str, Any], of: Any = EXACT) -> Samples:
    return next(state for state in measured(of, data).states.values() if isinstance(state, Samples))


def test_counting_gives_what_sums_give(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (binary(), binary() | {"sample_weight": np.full(300, 0.3)}):
        assert scored(data).countable
        counted = report(EXACT, measured(EXACT, data))
        with monkeypatch.context() as patched:
            patched.setattr(Samples, "countable", property(lambda _: False))
            summed = report(EXACT, measured(EXACT, data))
        for one, other in zip(counted, summed, strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-12)
            assert one.interval is not None
            assert other.interval is not None
            ends = [[i.low, i.high, i.standard_error] for i in (one.interval, other.interval)]
            assert ends[0] == pytest.approx(ends[1], rel=1e-9)


def test_counts_do_not_depend_on_the_order_by_a_bit() -> None:
    data = binary()
    again = part(data, np.random.default_rng(0).permutation(300))
    first, second = (report(EXACT, measured(EXACT, one))[:2] for one in (data, again))
    assert [one.value for one in first] == [one.value for one in second]


def test_what_is_no_count_is_summed() -> None:
    data = binary()
    uneven = data | {"sample_weight": np.linspace(1, 2, 300)}
    repeated = data | {"sample_ids": ["same", "same", "same", *data["sample_ids"][3:]]}
    several = {"predictions": np.full((20, 3), 0.5), "labels": np.zeros((20, 3), int)}
    for one, of in ((uneven, EXACT), (repeated, EXACT), (several, EACH)):
        assert not scored(one, of).countable
    assert scored(repeated).ordered().effective_units(1) + scored(repeated).ordered().effective_units(0) < 300
