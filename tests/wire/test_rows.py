"""Rectangles read the quickest way come out as the careful reading has them, and everything else is left to that."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmeter.wire import _numbers, _rows
from lossmeter.wire._numbers import Numbers

STYLES: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 2}, {"indent": "\t"}]


def read(text: str, slice_bytes: int = 1 << 18) -> Numbers | None:
    with (
        mock.patch.object(_numbers, "FIRST_BYTES", slice_bytes),
        mock.patch.object(_numbers, "SLICE_BYTES", slice_bytes),
    ):
        return _rows.read(text.encode(), 0)


@st.composite
def arrays(draw: st.DrawFn) -> str:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    values = np.arange(np.prod(shape)).reshape(shape) * draw(st.sampled_from([1, -7, 0.5, 1e-9, 2**55]))
    return json.dumps(values.tolist(), **draw(st.sampled_from(STYLES)))


TAILS = st.sampled_from(["", "}", ',"x":[1]}', " \n}", '},{"name"', ',"]"', "]", ",[1,2]]", ",1"])


@given(arrays(), TAILS, st.integers(1, 40))
def test_a_rectangle_is_read_whole_wherever_it_is_cut(array: str, tail: str, slice_bytes: int) -> None:
    found = read(array + tail, slice_bytes)
    if found is None:
        assert tail in ("]", ",[1,2]]", ",1")  # where no mark says that the array has ended
        return
    expected = np.array(json.loads(array))
    assert (found.stop, found.shape, found.bad) == (len(array), expected.shape, None)
    assert found.flat.tolist() == expected.ravel().tolist()


@given(arrays(), TAILS, st.integers(1, 40), st.data())
def test_what_is_read_from_a_damaged_text_is_what_care_reads(
    array: str, tail: str, slice_bytes: int, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(1, len(array)))
        piece = data.draw(
            st.sampled_from(["", "[", "]", ",", "],[", "1", " ", "-", ".", "e", "true", "null", "{", '"'])
        )
        array = array[:position] + piece + array[position + data.draw(st.integers(0, 1)) :]
    text = array + tail
    found = read(text, slice_bytes)
    if found is not None:
        limit = min((at for at in map(text.find, '"{}') if at >= 0), default=len(text))
        careful = _numbers.read(text.encode(), 0, limit)
        assert careful is not None
        assert (found.stop, found.shape, found.bad) == (careful.stop, careful.shape, careful.bad)
        assert found.flat.tolist() == careful.flat.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "[1,[2]]",
        "[[1],2]",
        "[[1,[2]]]",
        "[[1,2],[3]]",
        "[[1,2],[3],[4,5,6]]",
        "[[[1],[2]],[[3]]]",
        "[[1],[]]",
        "[[1,2],[3,true]]",
        "[true,false]",
        "[1,null]",
        '[1,"2"]',
        "[1,,2]",
        "[[1],,[2]]",
        "[[[1],[2]],,[[3],[4]]]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[[1]2,[3]]",
        "[1",
        "[[1,2]",
        "[1e999]",
        "[18446744073709551616]",
        "[" * 65 + "1" + "]" * 65,
        "[{}]",
        "[1,{}]",
    ],
)
def test_what_is_no_rectangle_of_numbers_is_left_to_care(text: str) -> None:
    for slice_bytes in (1, 2, 3, 4, 100):
        assert read(text, slice_bytes) is None
        assert read(text + "}", slice_bytes) is None


def test_short_and_long_rows_are_both_counted() -> None:
    for shape in ((20_000, 3), (3, 20_000), (40, 50, 30), (60_000,), (60_000, 1), (1, 60_000)):
        values = np.random.default_rng(1).standard_normal(shape)
        found = read(json.dumps(values.tolist()) + ', "x": 1}', 1 << 16)
        assert found is not None
        assert found.shape == shape
        assert np.array_equal(found.flat, values.ravel())


def test_white_space_without_end_is_left_to_care() -> None:
    assert read("[[1" + "]  " * 3 + " " * 2000 + ",", 100) is None
    with mock.patch.object(_numbers, "LONGEST_GAP", 100):
        assert read("[1," + " " * 1000 + "2]", 4) is None
