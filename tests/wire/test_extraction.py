"""Extraction: what is long leaves the text, what remains is JSON, and nothing is looked at twice."""

from __future__ import annotations

import json
from unittest import mock

import numpy as np
import pytest

from lossmeter.errors import MalformedBody, TooLarge
from lossmeter.wire import _extraction
from lossmeter.wire._extraction import Extracted, Text, extract
from lossmeter.wire._numbers import Numbers

LONG = json.dumps("[1, 2, 3]" * 500)


def extracted(text: str, minimum: int = 4) -> tuple[str, list[str]]:
    """What remains, with a * for each thing that was taken out, and the texts of those."""
    rest, found = extract(text.encode(), minimum)
    remains = rest.decode()
    for number in range(len(found.items)):
        remains = remains.replace(f'["{found.mark}{number}"]', "*")
    return remains, [text[item.start : item.stop] for item in found.items]


@pytest.mark.parametrize(
    ("text", "remains", "taken"),
    [
        ('{"a": [1, 2], "b": [3]}', '{"a": *, "b": [3]}', ["[1, 2]"]),
        ('{"a": [[1, 2], [3, 4]] }', '{"a": * }', ["[[1, 2], [3, 4]]"]),
        ('{"a": [ [\n1]], "b": true}', '{"a": *, "b": true}', ["[ [\n1]]"]),
        ('{"a": [true, false]}', '{"a": *}', ["[true, false]"]),
        ('{"a": [null, 1]}', '{"a": *}', ["[null, 1]"]),
        ('{"a": ["x, y"], "b": [[1.5]]}', '{"a": ["x, y"], "b": *}', ["[[1.5]]"]),
        ('{"a": "[1, 2, 3]"}', '{"a": "[1, 2, 3]"}', []),
        (f'{{"a": [{LONG}, "b"]}}', '{"a": [*, "b"]}', [LONG]),
        (f'{{"a": {LONG}, {LONG}: 1}}', f'{{"a": *, {LONG}: 1}}', [LONG]),
        ('{"a": [{"data": [1, 2]}, {"data": [3, 4]}]}', '{"a": [{"data": *}, {"data": *}]}', ["[1, 2]", "[3, 4]"]),
        ('{"a": [[1, 2], [3, "x"]], "b": [4, 5]}', '{"a": [[1, 2], [3, "x"]], "b": *}', ["[4, 5]"]),
        ('{"a": [[], [1, 2]]}', '{"a": [[], *]}', ["[1, 2]"]),
        ("[[[[[[[[[[", "[[[[[[[[[[", []),
        ('{"\\"[1,2]": 1}', '{"\\"[1,2]": 1}', []),
        ('{"a": "\\\\", "b": [1, 2]}', '{"a": "\\\\", "b": *}', ["[1, 2]"]),
    ],
)
@pytest.mark.parametrize("window", [1, 3, 1 << 20])
def test_what_is_long_is_taken_out(text: str, remains: str, taken: list[str], window: int) -> None:
    with mock.patch.object(_extraction, "WINDOW_BYTES", window):
        assert extracted(text) == (remains, taken)


def test_what_is_wrong_with_an_array_waits_until_somebody_wants_it() -> None:
    rest, found = extract(b'{"a": [1, [2]], "b": 1}', 0)
    (item,) = found.items
    assert isinstance(item, Numbers)
    assert item.bad is not None
    assert json.loads(rest) == {"a": [f"{found.mark}0"], "b": 1}
    assert found.to_python(item) == [1, [2]]


def test_a_string_in_the_place_of_a_mark_is_not_taken_for_one() -> None:
    found = Extracted(b'"text"')
    found.put(Text(0, 6))
    for value in (["x"], [f"{found.mark}0", 1], [1], [], ["0"]):
        assert found.get(value) is None
    item = found.get([f"{found.mark}0"])
    assert item is not None
    assert found.to_python(item) == "text"


def test_an_unfinished_text_is_malformed() -> None:
    for text in (b'{"a": [1, 2', b'{"a": [1, [2]', b'{"a": "x', b'{"a": "x\\"', b'{"a": "' + b"x" * 9999):
        with pytest.raises(MalformedBody, match="it ends inside"):
            extract(text, 0)


def test_many_short_arrays_end_the_search() -> None:
    text = b"[" + b'[1],"",' * (_extraction.MAX_SHORT + 2) + b"[1, 2, 3, 4, 5]]"
    rest, found = extract(text, 8)
    assert (rest, found.items) == (text, [])


def test_what_remains_is_limited() -> None:
    with mock.patch.object(_extraction, "MAX_REST_BYTES", 100):
        extract(b'{"a": [' + b"1," * 500 + b"1]}", 8)
        for text in (b'{"a": [' + b'"",' * 50 + b"1]}", b" " * 101, b'{"a": [' + b"[1]," * 50 + b'""]}'):
            with pytest.raises(TooLarge, match="What is no tensor in the body has more than 100 bytes"):
                extract(text, 8)


def test_what_is_lifted_from_where_no_tensor_stands_is_limited() -> None:
    text = b'{"a": [' + b"1," * 500 + b"1]}"
    _, found = extract(text, 8)
    assert found.to_python(found.items[0]) == [1] * 501
    with mock.patch.object(_extraction, "MAX_REST_BYTES", 100), pytest.raises(TooLarge):
        found.to_python(found.items[0])


def test_long_strings_keep_what_they_say() -> None:
    for string in ("é€[{" * 2000, 'a\\"b\n' * 2000, "x" * 4094, "y" * 4097):
        text = json.dumps({"a": string, string: 1}, ensure_ascii=False).encode()
        rest, found = extract(text, 8)
        assert list(map(found.to_python, found.items)) == [string] * (len(string) > 4096)
        assert string in json.loads(rest)


def test_numbers_are_lifted_whatever_their_length() -> None:
    values = np.arange(300_000).reshape(1000, 300)
    _, found = extract(json.dumps({"a": values.tolist()}).encode(), 4096)
    (item,) = found.items
    assert isinstance(item, Numbers)
    assert item.shape == (1000, 300)
    assert np.array_equal(item.flat, values.ravel())
