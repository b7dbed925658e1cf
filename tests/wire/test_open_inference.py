"""Open Inference Protocol: tensors behind the JSON arrive bit for bit, wherever they stand."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmeter.errors import Invalid, LossmeterError, MalformedBody
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire.open_inference import decode, encode

NAMES = frozenset("abcdef")
CHOSEN = st.lists(st.tuples(st.sampled_from(Datatype), st.integers(0, 40)), min_size=1, max_size=6)


def put_together(tensors: dict[str, Tensor], padding: int = 0, **fields: Any) -> tuple[bytearray, int]:
    inputs = [
        {
            "name": name,
            "datatype": tensor.datatype.name,
            "shape": tensor.shape,
            "parameters": {"binary_data_size": tensor.bits.nbytes},
        }
        for name, tensor in tensors.items()
    ]
    text = json.dumps({"inputs": inputs, **fields}).encode() + b" " * padding
    return bytearray(text + b"".join(tensor.bits.tobytes() for tensor in tensors.values())), len(text)


@given(CHOSEN, st.integers(0, 16))
@settings(max_examples=200, deadline=None)
def test_tensors_arrive_bit_for_bit_and_aligned(chosen: list[tuple[Datatype, int]], padding: int) -> None:
    tensors = {}
    for number, (name, (datatype, size)) in enumerate(zip("abcdef", chosen, strict=False)):
        bits = np.arange(number, number + size * datatype.size, dtype=np.uint8) * (datatype is not Datatype.BOOL)
        tensors[name] = Tensor(datatype, (size,), bits.view(datatype.dtype))
    found = decode(*put_together(tensors, padding), NAMES).tensors
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert (found[name].datatype, found[name].shape) == (tensor.datatype, tensor.shape)
        assert found[name].bits.tobytes() == tensor.bits.tobytes()
        assert found[name].data.flags.aligned
        assert found[name].data.flags.writeable


@pytest.mark.parametrize("padding", range(8))
def test_no_tensor_is_copied_wherever_it_stands(padding: int) -> None:
    tensor = Tensor(Datatype.FP64, (3,), np.array([1.0, 2.0, 3.0]))
    body, length = put_together({"a": tensor, "b": tensor}, padding)
    found = decode(body, length, NAMES).tensors
    memory = np.frombuffer(body, np.uint8)
    assert all(np.shares_memory(memory, part.data) for part in found.values())
    assert all(part.data.tolist() == [1.0, 2.0, 3.0] for part in found.values())


def test_an_answer_is_read_as_it_was_written() -> None:
    tensors = {
        "a": Tensor(Datatype.FP32, (2,), np.float32([1.5, np.nan])),
        "b": Tensor(Datatype.INT64, (1,), np.array([7])),
    }
    answer = encode({"model_name": "x"}, tensors, {"a"})
    assert answer.json_bytes == len(answer.pieces[0])
    assert orjson.loads(answer.pieces[0])["outputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "INT64", "shape": [1], "data": [7]},
    ]
    assert bytes(answer.pieces[1]) == np.float32([1.5, np.nan]).tobytes()
    plain = encode({"model_name": "x"}, tensors, set())
    assert plain.json_bytes is None
    assert orjson.loads(b"".join(plain.pieces))["outputs"][0]["data"] == [1.5, None]


def test_the_bytes_have_to_fill_the_body() -> None:
    tensor = Tensor(Datatype.FP32, (2,), np.float32([1, 2]))
    body, length = put_together({"a": tensor})
    with pytest.raises(MalformedBody, match="has 1 bytes behind the last input"):
        decode(body + b"\0", length, NAMES)
    with pytest.raises(MalformedBody, match="is to hold 8 bytes of a; 7 are left"):
        decode(body[:-1], length, NAMES)
    with pytest.raises(MalformedBody, match="no header states where the JSON ends"):
        decode(body[:length], None, NAMES)
    with pytest.raises(Invalid, match="a has binary_data_size 8; expected 16 for FP64 of shape \\[2\\]"):
        decode(body.replace(b'"FP32"', b'"FP64"'), length, NAMES)


def test_a_message_names_the_element() -> None:
    request = {"inputs": [{"name": "a", "datatype": "INT8", "shape": [2, 2], "data": [[1, 2], [3, 300]]}]}
    with pytest.raises(Invalid, match=r"a\[1, 1\] is 300; expected an integer that fits INT8"):
        decode(bytearray(json.dumps(request).encode()), None, NAMES)


def test_a_number_beyond_the_range_of_its_datatype_is_infinite() -> None:
    request = {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1], "data": [1e300]}]}
    assert decode(bytearray(json.dumps(request).encode()), None, NAMES).tensors["a"].data.tolist() == [np.inf]


def test_a_number_that_is_not_json_is_named() -> None:
    text = b'{"inputs": [{"name": "a", "datatype": "FP32", "shape": [2], "data": [1, NaN]}]}'
    with pytest.raises(MalformedBody, match=r"a\[1\] is NaN"):
        decode(bytearray(text), None, NAMES)


def test_what_is_not_json_weighs_more_than_a_field_that_is_unknown() -> None:
    text = b'{"unknown": 1, "inputs": [{"name": "a", "datatype": "FP32", "shape": [2], "data": [1, NaN]}]}'
    with pytest.raises(MalformedBody, match=r"an array\[1\] is NaN"):
        decode(bytearray(text), None, NAMES)
    with pytest.raises(Invalid, match="unknown field"):
        decode(bytearray(text.replace(b"NaN", b"2")), None, NAMES)


@given(st.data())
@settings(max_examples=100, deadline=None)  # and a million by `make fuzz`
def test_damaged_bytes_raise_nothing_but_our_errors(data: st.DataObject) -> None:
    tensor = Tensor(Datatype.FP32, (3,), np.float32([1, 2, 3]))
    body, length = put_together({"a": tensor}, id="x", outputs=[{"name": "value"}], parameters={"gamma": 1.5})
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(LossmeterError):
        decode(body, data.draw(st.none() | st.integers(0, len(body) + 2) | st.just(length)), NAMES)
