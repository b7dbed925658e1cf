"""Tensors of torch as they stand on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lossmeter.losses import Loss
from lossmeter.tensors import Datatype, Tensor
from tests.support.inputs import Case

DATATYPES = {
    torch.float16: Datatype.FP16,
    torch.float32: Datatype.FP32,
    torch.float64: Datatype.FP64,
    torch.int64: Datatype.INT64,
    torch.bool: Datatype.BOOL,
}


def wired(tensor: torch.Tensor) -> Tensor:
    """The tensor as a request carries it."""
    if tensor.dtype is torch.bfloat16:
        return Tensor(
            Datatype.BF16, tuple(tensor.shape), tensor.contiguous().view(torch.int16).numpy().reshape(-1).view("<u2")
        )
    return Tensor(DATATYPES[tensor.dtype], tuple(tensor.shape), tensor.contiguous().numpy().reshape(-1))


def unwired(tensor: Tensor) -> torch.Tensor:
    """The tensor of an answer, in torch."""
    return torch.from_numpy(np.array(tensor.data)).reshape(tensor.shape)


def split(loss: Loss, case: Case) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A case as the tensors and the parameters of a call; parameters that are left out have their default."""
    tensors = {name: wired(value) for name, value in case.items() if isinstance(value, torch.Tensor)}
    parameters = {parameter.name: parameter.default for parameter in loss.parameters}
    return tensors, parameters | {name: value for name, value in case.items() if name in parameters}


def request(loss: Loss, case: Case, **fields: Any) -> dict[str, Any]:
    """A case as the JSON of a request."""
    return {**{n: v.tolist() if isinstance(v, torch.Tensor) else v for n, v in case.items()}, **fields}
