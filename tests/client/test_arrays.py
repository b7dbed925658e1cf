"""Arrays of every dtype reach the wire with their bits, whatever their memory looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.client.arrays import array_of, tensor_of
from lossmeter.tensors import Datatype, Tensor

TORCH = {
    Datatype.BOOL: torch.bool,
    Datatype.UINT8: torch.uint8,
    Datatype.INT8: torch.int8,
    Datatype.INT16: torch.int16,
    Datatype.INT32: torch.int32,
    Datatype.INT64: torch.int64,
    Datatype.FP16: torch.float16,
    Datatype.BF16: torch.bfloat16,
    Datatype.FP32: torch.float32,
    Datatype.FP64: torch.float64,
}


def sent(value: Any) -> Tensor:
    tensor = tensor_of("predictions", value)
    assert tensor is not None
    return tensor


def test_every_datatype_has_a_counterpart() -> None:
    assert set(TORCH) == set(Datatype)


@pytest.mark.parametrize("datatype", Datatype)
def test_a_tensor_of_torch_comes_back_as_it_was(datatype: Datatype) -> None:
    tensor = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=TORCH[datatype])
    for given in (tensor, tensor.T, tensor[:, 1:], tensor[0, 0], tensor[:0]):
        wired = sent(given)
        assert (wired.datatype, wired.shape) == (datatype, tuple(given.shape))
        back = array_of(wired, like=given)
        assert back.dtype is given.dtype
        assert torch.equal(back, given)


@pytest.mark.parametrize("datatype", [datatype for datatype in Datatype if datatype is not Datatype.BF16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_array_of_numpy_comes_back_as_it_was(datatype: Datatype, order: Any) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(datatype.dtype.newbyteorder(order))
    for given in (array, array.T, array[:, 1:], array[:0], np.asarray(array[0, 0])):
        wired = sent(given)
        assert (wired.datatype, wired.shape) == (datatype, given.shape)
        assert bytes(wired.bits) == given.astype(datatype.dtype).tobytes()
        np.testing.assert_array_equal(array_of(wired), given)


def test_bfloat16_keeps_its_bits_and_widens_exactly() -> None:
    numbers = torch.tensor([1.0, -2.5, 3e38, float("inf")], dtype=torch.bfloat16)
    np.testing.assert_array_equal(array_of(sent(numbers)), numbers.float().numpy(), strict=True)


def test_memory_in_order_is_not_copied() -> None:
    array = np.zeros((3, 4), np.float32)
    tensor = torch.zeros(3, 4)
    assert np.shares_memory(sent(array).data, array)
    assert np.shares_memory(sent(tensor).data, tensor.numpy())


def test_gradients_are_left_behind() -> None:
    assert sent(torch.ones(2, requires_grad=True) * 2).data.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("value", [1.5, 3, True, "mean", None, [1.0, 2.0], np.float32(2.0), np.int64(3)])
def test_numbers_and_lists_are_no_arrays(value: Any) -> None:
    assert tensor_of("gamma", value) is None


@pytest.mark.parametrize("value", [np.zeros(2, np.uint32), np.array(["a"]), torch.zeros(2, dtype=torch.complex64)])
def test_other_dtypes_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"predictions has dtype .*; expected one of bool, .*, bfloat16"):
        tensor_of("predictions", value)
