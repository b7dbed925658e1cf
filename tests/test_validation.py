"""What pydantic finds is told in one voice: what was given, what was expected, and where."""

from __future__ import annotations

from typing import Any

import pytest

from lossmeter.errors import Invalid
from lossmeter.evaluation import SlicedFields
from lossmeter.metrics import METRICS
from lossmeter.validation import validate


@pytest.mark.parametrize(
    ("changed", "pointer", "message"),
    [
        ({"task": "cooking"}, "/plan/task", "task is 'cooking'; expected 'regression'"),
        ({"confidence": 1.5}, "/plan/confidence", "confidence is 1.5; expected a number less than 1"),
        ({"losses": "mse"}, "/plan/losses", "losses is 'mse'; expected an array"),
        ({"gates": [{"minimum": "x"}]}, "/plan/gates/0/minimum", "gates.0.minimum is 'x'; expected a number"),
        ({"colour": 1}, "/plan/colour", "colour is not a field; expected one of task"),
        ({"task": None}, "/plan/task", "task is None"),
    ],
)
def test_errors_say_what_was_given_and_expected(changed: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate(SlicedFields, "plan", {"task": "regression", "predictions_are": "values", **changed}, ("plan",))
    assert caught.value.flaws[0].pointer == pointer
    assert caught.value.flaws[0].message.startswith(message)


def test_parameters_are_called_parameters() -> None:
    with pytest.raises(Invalid, match=r"pinball: quantil is not a parameter; expected one of quantile"):
        METRICS["pinball"].bind({"quantil": 0.5})
    with pytest.raises(Invalid, match=r"mse: x is not a parameter; expected none"):
        METRICS["mse"].bind({"x": 1})
