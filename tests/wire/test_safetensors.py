"""safetensors: every rule of the format, with the `safetensors` package as the oracle."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save

from lossmeter.errors import Invalid, LossmeterError, MalformedBody
from lossmeter.tensors import Datatype, Tensor
from lossmeter.wire.safetensors import BITS, DTYPES, decode, encode

NAMES = frozenset({"predictions", "labels", "mask"})
DATATYPES = {name: datatype for name, datatype in DTYPES.items() if name != "BF16"}


def file(header: dict[str, Any] | str, data: bytes = b"", length: int | None = None) -> bytearray:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return bytearray((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def entry(begin: int, end: int, shape: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_tensors_are_views_of_the_body() -> None:
    body = bytearray(oracle.save({"predictions": np.ones((2, 3), np.float32)}))
    found = decode(body, NAMES)["predictions"]
    body[-4:] = np.float32(7).tobytes()
    assert (found.datatype, found.shape, found.data[-1]) == (Datatype.FP32, (2, 3), 7)
    assert found.data.flags.writeable


@pytest.mark.parametrize("dtype", DATATYPES)
def test_each_datatype_arrives_bit_for_bit(dtype: str) -> None:
    datatype = DATATYPES[dtype]
    bits = np.arange(24 * datatype.size, dtype=np.uint8) * (37 if dtype != "BOOL" else 0)
    given = bits.view(datatype.dtype).reshape(2, 3, 4)
    found = decode(bytearray(oracle.save({"labels": given})), NAMES)["labels"]
    assert (found.datatype, found.shape) == (datatype, (2, 3, 4))
    assert found.bits.tobytes() == bits.tobytes()


def test_bfloat16_arrives_as_its_bits() -> None:
    given = torch.tensor([1.5, -2.0, float("nan")], dtype=torch.bfloat16)
    found = decode(bytearray(save({"predictions": given})), NAMES)["predictions"]
    assert found.datatype is Datatype.BF16
    assert found.data.tolist() == given.view(torch.uint16).tolist()


def test_misaligned_tensors_are_read() -> None:
    data = b"\x01" + np.arange(3, dtype=np.float64).tobytes()
    header = {"mask": entry(0, 1, [1], "BOOL"), "predictions": entry(1, 25, [3], "F64")}
    for padding in range(8):
        body = file(json.dumps(header) + " " * padding, data)
        found = decode(body, NAMES)["predictions"].data
        assert found.tolist() == [0, 1, 2]
        assert found.flags.aligned


def test_scalars_and_empty_tensors_are_tensors() -> None:
    body = file({"predictions": entry(0, 4, []), "labels": entry(4, 4, [0, 5], "I64")}, bytes(4))
    found = decode(body, NAMES)
    assert found["predictions"].shape == ()
    assert (found["labels"].shape, len(found["labels"].data)) == ((0, 5), 0)


def test_the_metadata_holds_everything_else() -> None:
    request = json.dumps({"reduction": "sum", "gradients": ["predictions"], "labels": [1, 2]})
    body = bytearray(oracle.save({"predictions": np.ones(2, np.float32)}, {"request": request, "format": "pt"}))
    found = decode(body, NAMES)
    assert list(found) == ["reduction", "gradients", "labels", "predictions"]
    assert found["gradients"] == ["predictions"]
    assert found["labels"].data.tolist() == [1, 2]


def test_a_file_without_metadata_has_tensors_only() -> None:
    assert decode(file("{}"), NAMES) == {}


MALFORMED = [
    (b"", "has 0 bytes; expected at least 8, the length of the header"),
    (bytes(7), "has 7 bytes; expected at least 8, the length of the header"),
    (file("{}", length=100_000_001), "states a header of 100000001 bytes; expected at most 100000000"),
    (file("{}", length=2**63), "states a header of 9223372036854775808 bytes; expected at most 100000000"),
    (file("{}", length=3), "states a header of 3 bytes; 2 follow"),
    (file("", b"{}"), "has a header that does not begin with {"),
    (file(" {}"), "has a header that does not begin with {"),
    (file("[]"), "has a header that does not begin with {"),
    (file('{"a":'), "has a header that is not JSON: "),
    (file('{"\\ud800": 1}'), "has a header that is not JSON: "),
    (file("{}{}"), "has a header that is not JSON: "),
    (file('{"labels": 1}'), "has something other than an object under labels"),
    (file('{"__metadata__": []}'), "has something other than an object under __metadata__"),
    (file('{"__metadata__": {"a": 1}}'), "has something other than a string in __metadata__.a"),
    (file('{"__metadata__": {"a": "", "a": ""}}'), "is wrong: __metadata__.a appears twice"),
    (file('{"__metadata__": {}, "__metadata__": {}}'), "is wrong: header.__metadata__ appears twice"),
    (file(f'{{"labels": {json.dumps(entry(0, 0, [0]))}, "labels": 1}}'), "is wrong: header.labels appears twice"),
    (file('{"labels": {"dtype": "F32", "dtype": "F64"}}'), "is wrong: labels.dtype appears twice"),
    (file({"a\0": entry(0, 0, [0])}), "is wrong: header.a\0 has a zero byte in its name"),
    (file({str(i): 0 for i in range(257)}), "is wrong: header has 257 members; expected at most 256"),
    (file({"labels": {"dtype": "F32", "shape": []}}), "does not state data_offsets of labels"),
    (file({"labels": entry(0, 4, [], "F33")}, bytes(4)), 'states dtype "F33" of labels; the format has '),
    (file({"labels": entry(0, 4, ["1"])}, bytes(4)), "states a shape of labels that is no short array of non-negative"),
    (
        file({"labels": entry(0, 4, [True])}, bytes(4)),
        "states a shape of labels that is no short array of non-negative",
    ),
    (file({"labels": entry(0, 4, [-1, -1])}, bytes(4)), "states a shape of labels that is no short array"),
    (file({"labels": entry(0, 4, [1] * 65)}, bytes(4)), "states a shape of labels that is no short array"),
    (file({"labels": entry(4, 0, [1])}, bytes(4)), "states data_offsets of labels that are not [begin, end]"),
    (file({"labels": entry(0, 4, [2])}, bytes(4)), "gives labels 4 bytes; expected 8 for F32 of shape [2]"),
    (file({"labels": entry(0, 1, [1], "F4")}, bytes(1)), "gives labels 1 bytes; expected 0.5 for F4 of shape [1]"),
    (file({"labels": entry(0, 0, [2**62, 2, 0])}), "has a tensor, labels, that has shape [4611686018427387904, 2, 0]"),
    (file({"labels": entry(1, 5, [1])}, bytes(5)), "has labels at byte 1, which leaves a hole before it; expected 0"),
    (
        file({"labels": entry(0, 4, [1]), "mask": entry(3, 7, [1])}, bytes(7)),
        "has mask at byte 3, which overlaps the tensor before it; expected 4",
    ),
    (
        file({"labels": entry(0, 4, [1]), "mask": entry(0, 4, [1])}, bytes(4)),
        "has mask at byte 0, which overlaps the tensor before it; expected 4",
    ),
    (file({"labels": entry(0, 4, [1])}, bytes(5)), "describes 4 bytes of tensors; 5 follow the header"),
    (file({"labels": entry(0, 4, [1])}, bytes(3)), "describes 4 bytes of tensors; 3 follow the header"),
]


@pytest.mark.parametrize(("body", "problem"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_broken_rule_is_named(body: bytes, problem: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        decode(bytearray(body), NAMES)
    assert caught.value.detail.startswith(f"The safetensors body {problem}")
    assert caught.value.detail.endswith(".")


INVALID = [
    (
        file({"extra": entry(0, 4, [1])}, bytes(4)),
        "/extra",
        "extra is not a tensor of this request; expected one of labels, mask, predictions",
        None,
    ),
    (
        file({"labels": entry(0, 4, [4], "F8_E4M3")}, bytes(4)),
        "/labels",
        "labels has dtype F8_E4M3; expected one of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64",
        None,
    ),
    (
        file({"mask": entry(0, 4, [2, 2], "BOOL")}, b"\0\1\2\0"),
        "/mask",
        "mask[1, 0] is the byte 2; expected 0 or 1 (BOOL)",
        (1, 0),
    ),
    (
        file({"mask": entry(0, 1, [1], "BOOL"), "__metadata__": {"request": '{"mask": [true]}'}}, b"\0"),
        "/mask",
        "mask stands both among the tensors and in __metadata__.request",
        None,
    ),
]


@pytest.mark.parametrize(("body", "pointer", "message", "index"), INVALID)
def test_a_wellformed_file_with_wrong_content_is_invalid(
    body: bytearray, pointer: str, message: str, index: tuple[int, ...] | None
) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body, NAMES)
    (flaw,) = caught.value.flaws
    assert (flaw.pointer, flaw.message, flaw.index) == (pointer, message, index)


def test_a_request_that_is_no_json_is_malformed() -> None:
    with pytest.raises(MalformedBody, match=r"^__metadata__\.request of the safetensors body is not a request: "):
        decode(file({"__metadata__": {"request": "{"}}), NAMES)


def test_an_unknown_dtype_of_the_oracle_would_be_noticed() -> None:
    assert set(DTYPES) < set(BITS)


def answer() -> dict[str, Any]:
    values = Tensor(Datatype.FP32, (2,), np.array([np.nan, -0.0], np.float32))
    gradient = Tensor(Datatype.FP64, (1, 3), np.array([np.inf, 0.1, 5e-324]))
    empty = Tensor(Datatype.FP32, (0, 3), np.empty(0, np.float32))
    warning = {"code": "non_finite", "index": [0]}
    return {
        "loss": "mse",
        "values": values,
        "sum": float("nan"),
        "gradients": {"predictions": gradient, "labels": empty},
        "warnings": [warning],
    }


def test_an_answer_is_read_by_the_oracle_bit_for_bit() -> None:
    given = answer()
    body = b"".join(encode(given))
    found = oracle.load(body)
    assert set(found) == {"values", "gradients.predictions", "gradients.labels"}
    assert found["values"].tobytes() == given["values"].data.tobytes()
    assert found["gradients.predictions"].tobytes() == given["gradients"]["predictions"].data.tobytes()
    assert found["gradients.labels"].shape == (0, 3)


def test_what_is_no_tensor_stands_in_the_metadata() -> None:
    body = b"".join(encode(answer()))
    length = int.from_bytes(body[:8], "little")
    assert length % 8 == 0
    remainder = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["response"])
    assert remainder == {
        "loss": "mse",
        "sum": None,
        "gradients": {},
        "warnings": [{"code": "non_finite", "index": [0]}],
    }


def test_an_answer_is_not_copied() -> None:
    data = np.ones(1000, np.float32)
    _, piece = encode({"values": Tensor(Datatype.FP32, (1000,), data)})
    assert np.shares_memory(np.frombuffer(piece, np.float32), data)


SIZES = st.lists(st.integers(0, 3), max_size=3)


@st.composite
def files(draw: st.DrawFn) -> bytearray:
    """Files that are right, or nearly so."""
    header: dict[str, Any] = {}
    position = 0
    for name in draw(st.lists(st.sampled_from(sorted(NAMES)), unique=True, max_size=3)):
        dtype, shape = draw(st.sampled_from(["F32", "I64", "BF16", "U8"])), draw(SIZES)
        size = int(np.prod(shape, dtype=int)) * BITS[dtype] // 8
        begin = position + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1]))
        end = begin + size + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -4]))
        header[name] = entry(begin, end, shape, dtype)
        position = end
    if draw(st.booleans()):
        header["__metadata__"] = {"request": "{}"}
    names = draw(st.permutations(list(header)))
    text = json.dumps({name: header[name] for name in names}) + " " * draw(st.integers(0, 8))
    data = bytes(max(0, position + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))))
    return file(text, data)


@settings(max_examples=500)
@given(files())
def test_the_oracle_accepts_and_refuses_the_same_files(body: bytearray) -> None:
    try:
        expected = oracle.load(bytes(body))
    except (SafetensorError, OverflowError):
        with pytest.raises(MalformedBody):
            decode(body, NAMES)
        return
    except KeyError:  # numpy has no BF16
        decode(body, NAMES)
        return
    found = decode(body, NAMES)
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in expected.items()}


@settings(max_examples=150)  # and a million by `make fuzz`
@given(files(), st.data())
def test_only_declared_errors_come_out_of_damaged_files(body: bytearray, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (body, body[:cut]):
        with contextlib.suppress(LossmeterError):
            decode(bytearray(damaged), NAMES)
