"""Loops of cases try each of them, and say for which one a test fails."""

from __future__ import annotations

import pytest

from tests.support.loops import for_each


def test_each_value_is_tried_with_what_else_a_test_takes() -> None:
    seen: list[int] = []

    @for_each("number", {"one": 1, "two": 2})
    def multiplies(number: int, factor: int) -> None:
        seen.append(number * factor)

    multiplies(factor=10)
    assert seen == [10, 20]


def test_a_failing_case_is_named() -> None:
    @for_each("number", range(5))
    def fails(number: int) -> None:
        assert number < 3

    with pytest.raises(AssertionError) as caught:
        fails()
    assert caught.value.__notes__ == ["number is 3"]


def test_no_cases_are_no_test() -> None:
    @for_each("number", list)
    def holds(number: int) -> None: ...

    with pytest.raises(AssertionError, match="no values of number"):
        holds()
