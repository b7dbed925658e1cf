"""One sample that carries nearly all the weight hides nothing of the others: neither in one pass nor in any batches."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from lossmeter.evaluation.figures import replicate_values
from lossmeter.metrics import ClassCounts, Ratio, Weighting
from lossmeter.metrics.states import State, from_json
from tests.metrics.evaluations import measured, merge_all, metrics_of, part, report

HEAVY, LIGHT = 1.0, 3e-8


def ratio(values: np.ndarray, weight: np.ndarray) -> Ratio:
    state = Ratio.of(values, Weighting(weight, None, len(weight)))
    assert isinstance(state, Ratio)
    return state


def exact_error(values: np.ndarray, weight: np.ndarray) -> float:
    """The linearised error of a weighted mean, in rational numbers until the root."""
    b = [Fraction(one) for one in weight]
    a = [Fraction(one) for one in weight * values]
    mean, n = sum(a) / sum(b), len(b)
    squares = sum((x - mean * y) ** 2 for x, y in zip(a, b, strict=True))
    return math.sqrt(squares * n / (n - 1) / sum(b) ** 2)


@pytest.mark.parametrize("weight", [[HEAVY, LIGHT, 5e-7, 2e-8], [4e-5, HEAVY, 7e-8, 7e-8], [1.0, 1.0, 1.0, 1e-6]])
def test_the_error_of_a_mean_does_not_cancel(weight: list[float]) -> None:
    values, weights = np.array([0.5, 1.0, 0.25, 0.75]), np.array(weight)
    expected = exact_error(values, weights)
    for order in permutations(range(4)):
        rows = list(order)
        ones = [ratio(values[[row]], weights[[row]]) for row in rows]
        left, right = ones[0].merge(ones[1]), ones[2].merge(ones[3])
        for state in (ratio(values[rows], weights[rows]), left.merge(ones[2]).merge(ones[3]), left.merge(right)):
            assert float(state.standard_error) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "task", "heavy"),
    [("npv", "binary", (1, 1)), ("specificity", "binary", (1, 1)), ("npv", "multiclass", (0, 0))],
)
def test_what_was_decided_rightly_hides_no_true_negatives(metric: str, task: str, heavy: tuple[int, int]) -> None:
    # Neither metric of this class looks at the true positives.
    data = {
        "predictions": np.array([heavy[0], 0, 1, 0, 1, 2 if task == "multiclass" else 0, 1]),
        "labels": np.array([heavy[1], 0, 0, 1, 1, 1, 0]),
        "sample_weight": np.array([HEAVY, LIGHT, 5e-9, 7e-9, 2e-9, 1e-9, 3e-9]),
    }
    more: dict[str, Any] = {"classes": 3} if task == "multiclass" else {}
    wanted = [{"metric": metric, **({"average": "none"} if more else {})}]
    evaluation = metrics_of(task, "classes", wanted, replicates=0)

    def figures(*batches: list[int]) -> list[float]:
        parts = [measured(evaluation, {**part(data, np.array(rows)), **more}) for rows in batches]
        (figure,) = report(evaluation, merge_all(parts))
        if task == "multiclass":
            return [figure.value[0]]
        assert figure.interval is not None
        return [figure.value, figure.interval.low, figure.interval.high]

    rest = list(range(1, 7))
    for batches in (
        [[0, *rest]],
        [[*rest, 0]],
        [[3, 0], [1, 5], [6, 2, 4]],
        *[[[0], [a], [b for b in rest if b != a]] for a in rest],
    ):
        assert figures(*batches) == pytest.approx(figures(rest), rel=1e-12)


def test_a_replicate_of_one_sample_has_no_concordance_in_any_batches() -> None:
    # Of three samples one is predicted exactly: a replicate that draws no other has neither spread nor distance.
    data = {
        "predictions": np.array([3.1, 2.3, 4.0]),
        "labels": np.array([3.3, 2.9, 4.0]),
        "sample_weight": np.array([180.0, 0.7, 1.1]),
        "sample_ids": np.arange(3),
    }
    evaluation = metrics_of("regression", "values", [{"metric": "concordance"}], replicates=400)
    whole, apart = (
        merge_all([measured(evaluation, part(data, np.array(rows))) for rows in batches])
        for batches in ([[0, 1, 2]], [[0], [1], [2]])
    )
    drawn = [next(iter(replicate_values(evaluation.metrics, one.states, one).values())) for one in (whole, apart)]
    assert 0 < np.isnan(drawn[0]).sum() < 400
    np.testing.assert_allclose(*drawn, rtol=1e-9, atol=1e-12)


OLD = [
    (
        {"state": "ratio", "version": 1, "numerator": 2.0, "denominator": 3.0, "units": 3.0, "elements": 3.0}
        | {"aa": 2 / 3, "ab": 0.0, "bb": 0.0},
        ratio(np.array([1.0, 0.0, 1.0]), np.ones(3)),
    ),
    (
        {"state": "ratio", "version": 1, "numerator": 2.5, "denominator": 3.0, "units": 2.0, "elements": 2.0}
        | {"aa": 1.125, "ab": 0.75, "bb": 0.5},
        ratio(np.array([0.5, 1.0]), np.array([1.0, 2.0])),
    ),
    (
        {"state": "class_counts", "version": 1, "true_positive": [2.0], "false_positive": [1.0]}
        | {"false_negative": [0.5], "seen": [6.5], "squares": [[4.0], [1.0], [0.25], [14.25]]},
        ClassCounts(*(np.array([count]) for count in (2.0, 1.0, 0.5, 3.0)), np.array([[4.0], [1.0], [0.25], [9.0]])),
    ),
    (
        {"state": "class_counts", "version": 1, "true_positive": [[2.0], [1.0]], "false_positive": [[1.0], [0.0]]}
        | {"false_negative": [[0.0], [0.0]], "seen": [[3.0], [4.0]], "squares": [[[], [], [], []]] * 2},
        ClassCounts(
            *(np.array(count) for count in ([[2.0], [1.0]], [[1.0], [0.0]], [[0.0], [0.0]], [[0.0], [3.0]])),
            np.zeros((2, 4, 0)),
        ),
    ),
]


@pytest.mark.parametrize(("record", "expected"), OLD)
def test_states_of_version_1_are_read(record: dict[str, Any], expected: State) -> None:
    for state, twin in (
        (from_json(record), expected),
        (from_json(record).merge(expected), expected.merge(expected)),
        (from_json(from_json(record).to_json()), expected),
    ):
        assert state.to_json()["version"] == 2
        for name in twin.arrays():
            np.testing.assert_allclose(getattr(state, name), getattr(twin, name), rtol=1e-12, atol=1e-15)
