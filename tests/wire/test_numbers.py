"""Numbers out of text: read in slices of any size, they are what numpy makes of the whole."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmeter.errors import TooLarge
from lossmeter.wire import _numbers
from lossmeter.wire._numbers import Numbers, complaint, read
from lossmeter.wire._rectangle import Brackets, Rectangle
from lossmeter.wire._values import BadValue


def found(text: str, slice_bytes: int = 1 << 18) -> Numbers:
    with (
        mock.patch.object(_numbers, "FIRST_BYTES", slice_bytes),
        mock.patch.object(_numbers, "SLICE_BYTES", slice_bytes),
    ):
        numbers = read(text.encode(), 0, len(text.encode()))
    assert numbers is not None
    return numbers


def test_an_array_ends_at_its_own_bracket() -> None:
    for text, stop in (("[1, 2], [3]", 6), ("[[1], [2]] ]", 10), ("[1]]]]", 3)):
        for slice_bytes in (1, 2, 3, 100):
            assert found(text, slice_bytes).stop == stop


def test_an_array_that_does_not_end_before_the_limit_is_none() -> None:
    assert read(b"[1, 2, 3", 0, 8) is None
    assert read(b"[[1, 2], 3]", 0, 10) is None


@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 40), st.sampled_from([None, 2, "\t\r\n"])
)
def test_any_slices_give_the_same_numbers(a: int, b: int, c: int, slice_bytes: int, indent: Any) -> None:
    values = np.random.default_rng(a * b * c).standard_normal((a, b, c)) * 10.0 ** np.arange(c)
    numbers = found(json.dumps(values.tolist(), indent=indent), slice_bytes)
    assert numbers.bad is None
    assert numbers.shape == (a, b, c)
    assert np.array_equal(numbers.flat, values.ravel())


def test_integers_stay_integers_until_a_float_comes() -> None:
    assert found("[1, 2, 3]", 3).flat.tolist() == [1, 2, 3]
    assert found("[1, 2, 3]", 3).flat.dtype == np.int64
    assert found("[1, 9007199254740993, 3.0]", 3).flat.tolist() == [1.0, 9007199254740992.0, 3.0]


def test_white_space_is_read_up_to_a_limit() -> None:
    assert found("[1," + " " * 1000 + "\n2]", 4).flat.tolist() == [1, 2]
    with (
        mock.patch.object(_numbers, "LONGEST_GAP", 100),
        pytest.raises(TooLarge, match="more than 100 bytes between two"),
    ):
        found("[1," + " " * 1000 + "2]", 4)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (b"1", None),
        (b"-0.5e+10", None),
        (b"9223372036854775807", None),
        (b"18446744073709551615", None),
        (b"18446744073709551616", ("18446744073709551616", "an integer that fits 64 bits (write 1e20 for a float)")),
        (b"1e400", ("1e400", "a number within the range of FP64")),
        (b"-1" + b"0" * 400, ("-1" + "0" * 38, "a number within the range of FP64")),
        (b"null", ("null", "a number")),
        (b"true", ("true", "a number like the first (or true and false throughout)")),
        (b"", ("missing; expected a number between the commas", "")),
        (b"-Infinity", ("-Infinity, which is not JSON; non-finite numbers travel in the binary forms", "")),
        (b"+1", ("'+1', which is not JSON; expected a number", "")),
        (b"1.", ("'1.', which is not JSON; expected a number", "")),
        (b"0x1", ("'0x1', which is not JSON; expected a number", "")),
        (b"\xff", ("'\ufffd', which is not JSON; expected a number", "")),
    ],
)
def test_an_element_is_judged(token: bytes, message: tuple[str, str] | None) -> None:
    assert complaint(token) == message


def test_an_element_among_booleans_is_judged() -> None:
    assert complaint(b"true", boolean=True) is None
    assert complaint(b"1", boolean=True) == ("1", "true or false like the first (or numbers throughout)")


def brackets(text: str) -> Brackets:
    """The brackets of a text in which each n is a number, as a scan would describe them."""
    opens, numbers, levels, level = [], [], [], 0
    for position, character in enumerate(text):
        if character in "[]":
            level += 1 if character == "[" else -1
            opens.append(character == "[")
            numbers.append(text[:position].count("n"))
            levels.append(level)
    return Brackets(np.array(opens, bool), np.array(numbers), np.array(levels))


def see(rectangle: Rectangle, whole: Brackets, step: int) -> None:
    for start in range(0, len(whole.opens), step):
        rectangle.add(Brackets(*(column[start : start + step] for column in whole)))


@pytest.mark.parametrize(
    ("text", "message", "index"),
    [
        ("[[nn][n]]", "has 1 elements; expected 2, as many as the first", (1,)),
        ("[[[n][n]][[n]]]", "has 1 elements; expected 2, as many as the first", (1,)),
        ("[[[n]][[n][nn]]]", "has 2 elements; expected 1, as many as the first", (1, 1)),
        ("[[n]n]", "is a number; expected an array of 1", (1,)),
        ("[n[n]]", "is an array; expected a number", (1,)),
        ("[[n][nn[n]]]", "is an array; expected a number", (1, 2)),
        ("[[n][[n]]]", "is an array; expected a number", (1, 0)),
        ("[" * 65 + "n", "is nested deeper than 64 levels", None),
    ],
)
def test_the_first_bracket_in_the_way_of_a_rectangle_is_named(
    text: str, message: str, index: tuple[int, ...] | None
) -> None:
    whole = brackets(text)
    for step in range(1, len(whole.opens) + 1):
        rectangle = Rectangle()
        with pytest.raises(BadValue) as caught:
            see(rectangle, whole, step)
        assert (caught.value.message, caught.value.index) == (message, index)


def test_a_rectangle_has_its_shape_however_it_is_cut() -> None:
    whole = brackets("[" + "[[nnn][nnn]]" * 4 + "]")
    for step in range(1, len(whole.opens) + 1):
        rectangle = Rectangle()
        see(rectangle, whole, step)
        assert rectangle.shape == (4, 2, 3)
