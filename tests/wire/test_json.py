"""JSON in: the small and the large way agree with each other, and with plain Python and numpy."""

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lossmeter.errors import Invalid, LossmeterError, MalformedBody, TooLarge
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire import _extraction
from lossmeter.wire.json import LARGE_BODY_BYTES, LONG_ARRAY_BYTES, decode, encode
from tests.support.decoding import NAMES, expected, extracting, outcome

# --- what is right --------------------------------------------------------------------------------------------------------


def tensor(body: dict[str, Any] | bytes, name: str = "predictions") -> Tensor:
    found = decode(body if isinstance(body, bytes) else json.dumps(body).encode(), NAMES)[name]
    assert isinstance(found, Tensor)
    return found


def test_nested_numbers_become_a_tensor_in_their_own_datatype() -> None:
    for value, datatype in (([[1, 2], [3, 4]], "INT64"), ([[1.5, 2]], "FP64"), ([True, False], "BOOL"), (7, "INT64")):
        found = tensor({"predictions": value})
        assert (found.datatype.name, found.shape, found.declared) == (datatype, np.shape(value), False)
        assert found.data.tolist() == np.array(value).ravel().tolist()


def test_empty_arrays_keep_their_shape() -> None:
    for value, shape in (([], (0,)), ([[], []], (2, 0)), ([[[]]], (1, 1, 0))):
        assert tensor({"predictions": value}).shape == shape


def test_integers_beyond_int64_are_floats() -> None:
    assert tensor({"predictions": [2**63, 1]}).data.tolist() == [2.0**63, 1.0]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode(b'\xef\xbb\xbf{"a": 1}', NAMES) == {"a": 1}


def test_a_tensor_object_states_its_datatype() -> None:
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]]):
        found = tensor({"predictions": {"datatype": "INT8", "shape": [2, 2], "data": data}})
        assert (found.datatype, found.shape, found.data.tolist(), found.declared) == (
            Datatype.INT8,
            (2, 2),
            [1, 2, 3, 4],
            True,
        )


@pytest.mark.parametrize("count", [3, 1_000_000])
@pytest.mark.parametrize("escape", [False, True])
def test_base64_carries_bits(count: int, escape: bool) -> None:
    numbers = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    numbers[1] = np.nan
    text = json.dumps(
        {
            "predictions": {
                "datatype": "FP32",
                "shape": [count],
                "base64": base64.b64encode(numbers.tobytes()).decode(),
            }
        }
    )
    found = tensor((text.replace("/", "\\/") if escape else text).encode())  # as PHP writes it
    assert found.data.tobytes() == numbers.tobytes()
    assert found.data.flags.writeable


def test_what_is_no_tensor_becomes_plain_python() -> None:
    given = {"a": [1, "x", None, {"b": [[]]}], "c": {"d": 1.5}, "e": "\u20ac[{", "f": [[1, 2], ["x"]], "labels": None}
    assert decode(json.dumps(given).encode(), NAMES) == given
    with extracting(2, 4):
        assert decode(json.dumps(given).encode(), NAMES) == given


def test_a_large_body_gives_what_a_small_one_does() -> None:
    values = np.random.default_rng(1).standard_normal((300, 40))
    small, large = values[:2].tolist(), values.tolist()
    text = json.dumps({"x": "[" * 5000, "labels": [True] * 20_000, "predictions": large, "y": ["a" * 10] * 9}, indent=1)
    assert len(text) > LARGE_BODY_BYTES
    found = decode(text.encode(), NAMES)
    assert found["predictions"].shape == (300, 40)
    assert np.array_equal(found["predictions"].data, values.ravel())
    assert found["labels"].data.all()
    assert found["x"] == "[" * 5000
    assert np.array_equal(tensor({"predictions": small}).data, values[:2].ravel())


# --- what is wrong --------------------------------------------------------------------------------------------------------

TENSOR = {"datatype": "FP32", "shape": [2], "data": [1, 2]}
INVALID: list[tuple[Any, str, tuple[int, ...] | None]] = [
    ([[1, 2], [3]], "predictions[1] has 1 elements; expected 2, as many as the first", (1,)),
    ([[[1], [2]], [[3]]], "predictions[1] has 1 elements; expected 2, as many as the first", (1,)),
    ([[1, 2], [3, 4, 5]], "predictions[1] has 3 elements; expected 2, as many as the first", (1,)),
    ([[1], []], "predictions[1] has 0 elements; expected 1, as many as the first", (1,)),
    ([1, [2]], "predictions[1] is an array; expected a number", (1,)),
    ([[1, 2], [3, [4]]], "predictions[1, 1] is an array; expected a number", (1, 1)),
    ([[1], 2], "predictions[1] is a number; expected an array of 1", (1,)),
    ([[1], None], "predictions[1] is null; expected an array of 1", (1,)),
    ([[1, 2], [3, None]], "predictions[1, 1] is null; expected a number", (1, 1)),
    ([None, 1], "predictions[0] is null; expected a number", (0,)),
    ([1, True], "predictions[1] is true; expected a number like the first (or true and false throughout)", (1,)),
    ([True, 1], "predictions[1] is 1; expected true or false like the first (or numbers throughout)", (1,)),
    ([1, "2"], 'predictions[1] is "2"; expected a number', (1,)),
    ([1, {}], "predictions[1] is dict; expected a number", (1,)),
    ("1", 'predictions is "1"; expected numbers', None),
    ("x" * 5000, f'predictions is "{"x" * 36}…; expected numbers', None),
    ({**TENSOR, "datatype": "FP8"}, 'predictions has datatype "FP8"; expected one of BOOL, UINT8', None),
    ({**TENSOR, "datatype": "BF16"}, "predictions is BF16, which travels in base64 and in the binary formats", None),
    ({**TENSOR, "shape": [3]}, "predictions has 2 numbers in data; expected 3 for shape [3]", None),
    ({**TENSOR, "shape": [-2]}, "predictions has shape list; expected an array of non-negative integers", None),
    ({**TENSOR, "shape": [2.0]}, "predictions has shape list; expected an array of non-negative integers", None),
    ({**TENSOR, "shape": 2}, "predictions has shape 2; expected an array of non-negative integers", None),
    ({**TENSOR, "shape": [1] * 65}, "predictions has 65 dimensions; expected at most 64", None),
    (
        {**TENSOR, "shape": [2**62, 2, 0], "data": []},
        "predictions has shape [4611686018427387904, 2, 0]: 2**60 ele",
        None,
    ),
    ({**TENSOR, "data": [[1], [2]]}, "predictions has data of shape [2, 1]; expected [2], or flat data", None),
    ({**TENSOR, "data": None}, "predictions has no data; expected numbers", None),
    ({**TENSOR, "data": [True, False]}, "predictions[0] is true; expected a number", (0,)),
    (
        {**TENSOR, "datatype": "INT8", "data": [1, 128]},
        "predictions[1] is 128; expected an integer that fits INT8",
        (1,),
    ),
    (
        {**TENSOR, "datatype": "INT8", "data": [1, 0.5]},
        "predictions[1] is 0.5; expected an integer that fits INT8",
        (1,),
    ),
    ({**TENSOR, "datatype": "BOOL"}, "predictions[0] is 1; expected true or false", (0,)),
    ({**TENSOR, "base64": ""}, "predictions needs either data or base64", None),
    ({"datatype": "FP32", "shape": [2]}, "predictions needs either data or base64", None),
    (
        {**TENSOR, "size": 1},
        'predictions has an unknown field "size"; expected datatype, shape and data or base64',
        None,
    ),
    (
        {"datatype": "FP32", "shape": [1], "base64": "AAAA"},
        "predictions has 3 bytes in base64; expected 4 for FP32",
        None,
    ),
    ({"datatype": "FP32", "shape": [1], "base64": "AA*="}, "predictions is not base64: ", None),
    ({"datatype": "FP32", "shape": [1], "base64": "é"}, "predictions is not base64: ", None),
    ({"datatype": "FP32", "shape": [1], "base64": 1}, "predictions has 1 in base64; expected a string", None),
    (
        {"datatype": "BOOL", "shape": [2], "base64": "AAI="},
        "predictions[1] is the byte 2; expected 0 or 1 (BOOL)",
        (1,),
    ),
]


@pytest.mark.parametrize(("value", "message", "index"), INVALID, ids=range(len(INVALID)))
@pytest.mark.parametrize("way", ["small", "extracted", "large"])
def test_what_is_wrong_is_named_with_its_place(
    value: Any, message: str, index: tuple[int, ...] | None, way: str
) -> None:
    text = json.dumps({"predictions": value}).encode()
    context = extracting(0, 4) if way == "extracted" else nullcontext()
    with context, pytest.raises(Invalid) as caught:
        decode(text.rjust(LARGE_BODY_BYTES + 1) if way == "large" else text, NAMES)
    (flaw,) = caught.value.flaws
    assert flaw.message.startswith(message)
    assert (flaw.pointer, flaw.index) == ("/predictions", index)


MALFORMED = [
    ("", "The body is empty; expected JSON."),
    ("{", "The body is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)."),
    ('{"a": 1,\r\n "b" 2}', "The body is not JSON: Expecting ':' delimiter (line 2, column 6)."),
    ('{"a": 1} 2', "The body is not JSON: Extra data (line 1, column 10)."),
    ('{"a": "\x01"}', "The body is not JSON: Invalid control character at (line 1, column 8)."),
    ('{"a": NaN}', "The body holds NaN, which is not JSON; non-finite numbers travel in the binary forms."),
    ('{"a": "\\ud800"}', "The body is not JSON: STRING_ERROR"),
    (
        '{"predictions": [1, NaN]}',
        "The body is malformed: predictions[1] is NaN, which is not JSON; non-finite numbers",
    ),
    ('{"predictions": [1, -Infinity]}', "The body is malformed: predictions[1] is -Infinity, which is not JSON;"),
    ('{"predictions": [1, 01]}', "The body is malformed: predictions[1] is '01', which is not JSON; expected a number"),
    ('{"predictions": [1, 2,]}', "The body is malformed: predictions[2] is missing; expected a number between"),
    ('{"predictions": [[1,, 2]]}', "The body is malformed: predictions[0, 1] is missing; expected a number between"),
    ('{"predictions": [[1, 2], 3[, 4]]}', "The body is malformed: predictions[1] is '3[', which is not JSON"),
    ('{"predictions": [[1, 2,]3, [4, 5, 6]]}', "The body is malformed: predictions[0, 2] is ']3', which is not JSON"),
    ('{"predictions": [[1], []2]}', "The body is malformed: predictions[1, 0] is ']2', which is not JSON"),
    ('{"predictions": [[1], 2[]]}', "The body is malformed: predictions[1] is '2[', which is not JSON"),
    ('{"predictions": [true, falsetrue]}', "The body is malformed: predictions[1] is 'falsetrue', which is not JSON"),
    ('{"predictions": [true, 1false]}', "The body is malformed: predictions[1] is '1false', which is not JSON"),
    ('{"predictions": [1, 2}', "The body is not JSON: "),
    ('{"predictions": [1, 2', "The body is not JSON: it ends inside an array."),
    ('{"predictions": [1, "2', "The body is not JSON: it ends inside a string."),
    ("{[1, 2]: 3}", "The body is not JSON: "),
    ('{"a": [1][2]}', "The body is not JSON: "),
    ('{"a": -[1]}', "The body is not JSON: "),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_not_json_is_malformed(text: str, message: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        decode(text.encode(), NAMES)
    assert caught.value.detail.startswith(message)
    with extracting(0, 4), pytest.raises(MalformedBody):
        decode(text.encode(), NAMES)


def test_bytes_that_are_not_utf8_are_malformed() -> None:
    with pytest.raises(MalformedBody, match=r"it is not UTF-8 \(invalid start byte at byte 7\)"):
        decode(b'{"a": "\xff"}', NAMES)


@pytest.mark.parametrize(
    ("text", "pointer", "message"),
    [
        ('{"a": 1, "a": 2}', "/a", "a appears twice"),
        ('{"a": [{"b": {"c": 1, "\\u0063": 2}}]}', "/a/0/b/c", "a.0.b.c appears twice"),
        ('{"predictions": {"data": 1, "data": 2}}', "/predictions/data", "predictions.data appears twice"),
        ('{"a\\u0000b": 1}', "/a\0b", "a\0b has a zero byte in its name"),
        ("[1]", "", "the body is not an object; expected the fields of the request"),
        ('"x"', "", "the body is not an object; expected the fields of the request"),
        ('{"a": 1e400}', "", "the body holds 1e400; expected a number within the range of FP64"),
        (
            f'{{"a": {2**70}}}',
            "",
            f"the body holds {2**70}; expected an integer that fits 64 bits (write 1e20 for a fl",
        ),
        (json.dumps({str(i): i for i in range(257)}), "", "the body has 257 members; expected at most 256"),
        ('{"a": ' + "[" * 80 + "]" * 80 + "}", "/a", "a is nested deeper than 64 levels"),
        ('{"predictions": ' + "[" * 80 + "1" + "]" * 80 + "}", "/predictions", "predictions is nested deeper than 64"),
        ('{"a": ' + "[" * 65 + "1" + "]" * 65 + "}", "/a", "a is nested deeper than 64 levels"),
        (
            '{"a": ' + "[" * 99 + "1," * LONG_ARRAY_BYTES + "1" + "]" * 99 + "}",
            "/a",
            "a is nested deeper than 64 levels",
        ),
        ('{"predictions": ' + "[" * 9999 + "1" + "]" * 9999 + "}", "/predictions", "predictions is nested deeper than"),
        ('{"predictions": ' + "[" * 9999 + "]" * 9999 + "}", "", "the body is nested deeper than 1024 levels"),
        ('{"a":' * 9999 + "1" + "}" * 9999, "", "the body is nested deeper than 1024 levels"),
    ],
    ids=range(16),
)
def test_wellformed_bodies_with_wrong_content_are_invalid(text: str, pointer: str, message: str) -> None:
    for body in (text.encode(), text.encode().rjust(LARGE_BODY_BYTES + 1)):
        with pytest.raises(Invalid) as caught:
            decode(body, NAMES)
        assert caught.value.flaws[0].pointer == pointer
        assert caught.value.flaws[0].message.startswith(message)


LONG = LARGE_BODY_BYTES // 8  # elements that take more bytes than a large body has
LONG_ARRAYS = ([1.5] * (2 * LONG), [[1, 2]] * LONG, [[1]] * (2 * LONG) + [[1, 2]], [10_000] * (2 * LONG) + [None])


@pytest.mark.parametrize("long", LONG_ARRAYS, ids=range(4))
@pytest.mark.parametrize("other", ["x", 1, True, None, [], [1], {"a": 1}, ["x"]])
def test_a_long_array_in_a_list_of_other_things_is_invalid(long: list[Any], other: Any) -> None:
    for value in ([other, long], [long, other]):
        body = json.dumps({"predictions": value}).encode()
        assert LARGE_BODY_BYTES < len(body) < 3 * LARGE_BODY_BYTES
        with pytest.raises(Invalid):
            decode(body, NAMES)
        assert decode(json.dumps({"other": value}).encode(), NAMES) == {"other": value}


def test_all_flawed_tensors_are_named() -> None:
    with pytest.raises(Invalid) as caught:
        decode(b'{"predictions": [[1], 2], "labels": "x"}', NAMES)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/predictions", "/labels"]


def test_a_body_that_is_mostly_no_tensor_is_too_large() -> None:
    for text in (b"[" + b"{}," * 6_000_000 + b"1]", b'{"a": [' + b'"b",' * 5_000_000 + b"1]}"):
        with pytest.raises(TooLarge, match="What is no tensor in the body has more than 16777216 bytes"):
            decode(text, NAMES)


# --- properties: `make fuzz` tries a million bodies, but does not ask that those that are invalid have the same flaws ------

NUMBERS = st.one_of(
    st.integers(-99, 99),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 + 1, -(2**63), 2**63, 2**64 - 1, -0.0, 1e-320, 1.7976931348623157e308]),
)
LEAVES = st.one_of(NUMBERS, st.booleans(), st.none(), st.sampled_from(["", "[", "]", '"', "{,", "\\", "é", "1"]))


def rectangles(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def filled(shape: tuple[int, ...], flat: list[Any]) -> Any:
        if not shape:
            return flat.pop()
        return [filled(shape[1:], flat) for _ in range(shape[0])]

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
        size = int(np.prod(shape, dtype=int))
        return filled(shape, draw(st.lists(leaves, min_size=size, max_size=size)))

    return drawn()


@st.composite
def ragged(draw: st.DrawFn) -> Any:
    """A rectangle in which one thing was put in the place of another."""
    value = draw(rectangles(NUMBERS))
    place = value
    while isinstance(place, list) and place:
        position = draw(st.integers(0, len(place) - 1))
        if draw(st.booleans()) or not isinstance(place[position], list):
            place[position] = draw(st.one_of(LEAVES, rectangles(NUMBERS)))
            if draw(st.booleans()):
                place.insert(position, draw(st.one_of(NUMBERS, rectangles(NUMBERS))))
            return value
        place = place[position]
    return value


TENSORS = st.one_of(
    rectangles(NUMBERS),
    rectangles(st.integers(-5, 300)),
    rectangles(st.booleans()),
    ragged(),
    st.fixed_dictionaries(
        {
            "datatype": st.sampled_from(["FP32", "INT8", "BOOL", "BF16"]),
            "shape": st.lists(st.integers(0, 3), max_size=3),
            "data": st.one_of(rectangles(st.integers(-5, 300)), ragged()),
        }
    ),
)
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab["), inner, max_size=3)
)
STYLES = [{}, {"separators": (",", ":")}, {"indent": 3}, {"indent": "\t"}]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    names = st.sampled_from(["predictions", "labels", "mask", "other"])
    value = {name: draw(TENSORS if name in NAMES else PLAIN) for name in draw(st.lists(names, max_size=4))}
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), **draw(st.sampled_from(STYLES)))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n").replace("predictions", "predic\\u0074ions")
    return text.encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body in which some bytes were taken out, doubled or replaced by others that mean something to JSON."""
    body = draw(bodies())
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(body)))
        piece = draw(
            st.sampled_from([b"", *(bytes([c]) for c in b'[]{},:"\\ 0-.e1tn\x00\x0b\xff'), b"null", b"1[", b"]1"])
        )
        body = body[:position] + piece + body[position + draw(st.integers(0, 2)) :]
    return body


WAYS = st.tuples(st.sampled_from([0, 2, 9]), st.integers(1, 24), st.sampled_from([1 << 20, 1, 7]), st.booleans())


@settings(max_examples=300)
@given(bodies(), WAYS)
def test_both_ways_give_the_same_result(body: bytes, way: tuple[int, int, int, bool]) -> None:
    plain = outcome(body)
    with extracting(*way[:3], quick=way[3]):
        assert outcome(body) == plain
    assert plain[0] == expected(body)


@settings(max_examples=150)
@given(damaged(), WAYS)
@example(b'{"predictions": [[1,2],3[,4]]}', (0, 24, 1, False))
@example(b'{"predictions": [[1,2,]3,[4,5,6]]}', (0, 3, 1, False))
@example(b'{"predictions": [1,2,]}', (0, 2, 1, False))
@example(b'{"\\u0000": [92233720368547758955116, 17\0]}', (0, 2, 1, False))
@example(b"[92233720368547758955116, 17\0]", (0, 2, 1, False))
@example(b'[{"a": 1e551}', (0, 2, 1, False))
def test_both_ways_refuse_the_same_bodies(body: bytes, way: tuple[int, int, int, bool]) -> None:
    plain = outcome(body)
    assert plain[0] == expected(body)
    with extracting(*way[:3], quick=way[3]):
        extracted = outcome(body)
    assert (extracted == plain) if plain[0] == "fields" else extracted[0] == plain[0]


@given(rectangles(NUMBERS), st.integers(1, 24))
def test_numbers_are_those_of_numpy(value: Any, slice_bytes: int) -> None:
    text = json.dumps({"predictions": value}).encode()
    oracle = np.array(json.loads(text)["predictions"])
    if oracle.dtype.kind != "i":
        oracle = oracle.astype(np.float64)
    found = [tensor(text)]
    for quick in (True, False):
        with extracting(0, slice_bytes, quick=quick):
            found.append(tensor(text))
    for each in found:
        assert each.shape == oracle.shape
        assert each.data.tobytes() == oracle.tobytes()


@pytest.mark.parametrize(
    "text",
    [b'{"predictions": [[1.5, -2e3], [true]], "a": "b\\n[", "c": {"d": [null]}}', '{"é€": [[1, 2], [3, 4]]}'.encode()],
)
def test_truncated_bodies_are_malformed_at_every_byte(text: bytes) -> None:
    for end in range(len(text)):
        assert outcome(text[:end])[0] == "MalformedBody"
        with extracting(0, 3):
            assert outcome(text[:end])[0] == "MalformedBody"


@settings(max_examples=100)
@given(st.binary(max_size=60), WAYS)
def test_only_declared_errors_come_out(body: bytes, way: tuple[int, int, int, bool]) -> None:
    outcome(body)
    with extracting(*way[:3], quick=way[3]):
        outcome(body)


# --- answers --------------------------------------------------------------------------------------------------------------


def test_a_long_answer_in_pieces_is_what_it_would_be_in_one() -> None:
    flat = np.random.default_rng(2).standard_normal(200_000).astype(np.float32)
    flat[7] = np.nan
    answer = {"loss": "mse", "sum": float("inf"), "gradients": {"predictions": Tensor(Datatype.FP32, (200_000,), flat)}}
    for base64_ in (False, True):
        pieces = encode(answer, base64=base64_)
        found = json.loads(b"".join(pieces))
        assert found["sum"] is None
        gradient = found["gradients"]["predictions"]
        assert gradient["shape"] == [200_000]
        if base64_:
            assert base64.b64decode(gradient["base64"], validate=True) == flat.tobytes()
        else:
            assert len(pieces) > 3
            assert gradient["data"][7] is None
            assert np.array_equal(np.delete(np.array(gradient["data"], np.float32), 7), np.delete(flat, 7))


def test_the_marks_of_what_was_lifted_cannot_be_guessed() -> None:
    marks = {_extraction.Extracted(b"").mark for _ in range(100)}
    assert len(marks) == 100
    with extracting(0, 4):
        assert decode(b'{"a": ["00000000000000000"], "b": [1, 2]}', NAMES) == {"a": ["00000000000000000"], "b": [1, 2]}


def test_decoding_time_grows_no_faster_than_the_body() -> None:
    """Each of these made an earlier version go over the same bytes again and again."""
    for text in (
        b"[" * 300_000,
        b'{"a": ' + b"[ " * 300_000 + b"1",
        b"[1," * 300_000,
        b'{"predictions": [' + b"[1]," * 100_000 + b'"x"]}',
        b'{"predictions": [' + b'[1],"",' * 60_000 + b"1]}",
        b'{"predictions": [' + b'[1],"",' * 60_000 + b"NaN]}",
        b'{"a": "' + b'\\"' * 300_000,
        b"{" + b",".join(b'"%d":1' % i for i in range(100_000)) + b"}",
    ):
        with pytest.raises(LossmeterError):
            decode(text, NAMES)
