"""JSON read in slices is JSON read plainly: the same numbers, or a refusal of both."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossmeter.errors import LossmeterError
from lossmeter.tensors import Tensor
from lossmeter.wire import _numbers
from lossmeter.wire import json as wire

NAMES = {"x", "y"}
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
SPACES = st.sampled_from(["", " ", "\n  ", "\t"])
EDITS = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["", *'[],"{}:0-.e1 ', "null", "1e999"])), max_size=3
)
THOROUGH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["in one pass", "in slices"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bodies take the way of the large ones where the limits are small."""
    if request.param == "in slices":
        monkeypatch.setattr(wire, "LIFT_BYTES", 0)
        monkeypatch.setattr(wire, "LIFTED_BYTES", 0)
        monkeypatch.setattr(_numbers, "SLICE_BYTES", 200)


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A request with two tensors, laid out at will."""
    shape = draw(SHAPES)
    numbers = draw(st.lists(NUMBERS, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    nested: Any = numbers
    for size in reversed(shape[1:]):
        nested = [nested[i : i + size] for i in range(0, len(nested), size)]
    space = draw(SPACES)
    text = json.dumps(nested, separators=("," + space, ":")).replace("[", "[" + space).replace("]", space + "]")
    return f'{{"x":{space}{text}, "name": "a [b] \\" {{c}}", "y": {json.dumps(draw(NUMBERS))}, "list": ["one", "two"]}}'


def plainly(body: str) -> dict[str, Any] | None:
    """What the body says by the standard library; none if it is not a request with rectangular, finite, numeric tensors."""
    try:
        given = json.loads(body, object_pairs_hook=unambiguous, parse_constant=refused)
    except ValueError:
        return None
    return given if isinstance(given, dict) and all(numeric(given[name]) for name in NAMES & given.keys()) else None


def unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def refused(constant: str) -> float:
    raise ValueError(constant)


def numeric(value: Any) -> bool:
    if value is None or isinstance(value, dict):
        return True  # nothing given, or an object that states a shape: read elsewhere
    try:
        array = np.array(value, dtype=object)
        flat = array.ravel().tolist()
    except ValueError:
        return False
    return all(type(x) in (int, float) and abs(x) < 2**64 if type(x) is int else finite(x) for x in flat)


def finite(value: Any) -> bool:
    return type(value) is float and abs(value) < float("inf")


def agree(found: Any, expected: Any) -> bool:
    if not isinstance(found, Tensor):
        return bool(found == expected)
    reference = np.array(expected, dtype=object)
    same = [float(a) == float(b) for a, b in zip(found.data.tolist(), reference.ravel().tolist(), strict=True)]
    return found.shape == reference.shape and all(same)


@THOROUGH
@given(bodies())
def test_a_request_reads_as_it_does_plainly(body: str) -> None:
    expected = plainly(body)
    assert expected is not None
    found = wire.decode(body.encode(), NAMES)
    assert found.keys() == expected.keys()
    assert all(agree(found[name], expected[name]) for name in expected)


@THOROUGH
@given(bodies(), EDITS)
def test_a_broken_request_is_refused_or_reads_as_it_does_plainly(body: str, edits: list[tuple[int, str]]) -> None:
    for position, text in edits:
        place = position % len(body)
        body = body[:place] + text + body[place + 1 :]
    expected = plainly(body)
    try:
        found = wire.decode(body.encode(), NAMES)
    except LossmeterError:
        return
    assert expected is not None, body
    assert found.keys() == expected.keys()
    for name in NAMES & expected.keys():
        assert isinstance(expected[name], dict) or agree(found[name], expected[name]), body


def test_numbers_beyond_64_bits_are_refused() -> None:
    with pytest.raises(LossmeterError, match="64 bits"):
        wire.decode(b'{"x": [1, 2, 18446744073709551616]}', NAMES)
