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


def test_all_failing_cases_are_named() -> None:
    @for_each("number", range(5))
    def fails(number: int) -> None:
        assert number != 1
        if number == 3:
            pytest.fail("it is 3")

    with pytest.raises(BaseExceptionGroup, match="2 of 5 fail: 1, 3") as caught:
        fails()
    assert [error.__notes__ for error in caught.value.exceptions] == [["number is 1"], ["number is 3"]]
    assert isinstance(caught.value.exceptions[0], AssertionError)


def test_what_is_no_failure_of_a_case_ends_the_loop() -> None:
    seen: list[int] = []

    @for_each("number", range(5))
    def skips(number: int) -> None:
        seen.append(number)
        pytest.skip("no server")

    with pytest.raises(pytest.skip.Exception) as caught:
        skips()
    assert (seen, caught.value.__notes__) == ([0], ["number is 0"])


def test_a_case_that_is_skipped_hides_none_that_failed() -> None:
    @for_each("number", range(3))
    def skips(number: int) -> None:
        assert number
        pytest.skip("no server")

    with pytest.raises((BaseExceptionGroup, pytest.skip.Exception)) as caught:
        skips()
    assert str(caught.value).startswith("1 of 3 fail: 0")


def test_no_cases_are_no_test() -> None:
    @for_each("number", list)
    def holds(number: int) -> None: ...

    with pytest.raises(AssertionError, match="no values of number"):
        holds()
