"""Differences of the references are exact, or there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.gradients import Arguments, Function, differentiated, gradient
from tests.support.references._exact import Array

ONES = np.ones(2)


def _of_x(function: Function, x: list[float]) -> Array | None:
    return gradient(function, {"x": np.array(x)}, "x", ONES)


def test_gradients_of_smooth_functions_are_exact() -> None:
    found = _of_x(lambda given: np.exp(given["x"]), [0.3, -4.0])
    np.testing.assert_allclose(found, np.exp([0.3, -4.0]), rtol=1e-11, atol=1e-12)  # type: ignore[arg-type]


def test_a_large_value_does_not_disturb_what_does_not_depend_on_it() -> None:
    found = _of_x(lambda given: given["x"] ** 2 * np.array([1.0, 1e-4]) + np.array([5e3, 0.0]), [3.0, 0.5])
    np.testing.assert_allclose(found[1], 1e-4, rtol=0, atol=1e-12)  # type: ignore[index]


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda given: np.abs(given["x"]), "a kink"),
        (lambda given: np.log(given["x"]), "beyond the domain"),
        (lambda given: given["x"] ** 2 + 1e43, "hidden by rounding"),
    ],
)
def test_there_is_no_gradient_where_differences_do_not_tell_it(function: Any, why: str) -> None:
    assert _of_x(function, [0.0, 1.0]) is None, why


def test_cut_off_logarithms_have_no_gradient_to_compare() -> None:
    case: Arguments = {"predictions": np.array([0.0, 0.5]), "labels": np.array([0.5, 0.5])}
    assert gradient(differentiated("binary_cross_entropy", case), case, "labels", ONES) is None
    inside = {**case, "predictions": np.array([0.2, 0.5])}
    found = gradient(differentiated("binary_cross_entropy", inside), inside, "labels", ONES)
    np.testing.assert_allclose(found, np.log([4.0, 1.0]), rtol=1e-10, atol=1e-12)  # type: ignore[arg-type]
