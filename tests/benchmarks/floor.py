"""What a request cannot cost less than: the parse, torch and the dump, in this process and nothing around them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import simdjson
import torch
from torch.nn.functional import cross_entropy

from tests.benchmarks.payloads import NUMPY, Arrays

PARSER = simdjson.Parser()


def from_json(body: bytes, shape: tuple[int, ...]) -> bytes:
    """simdjson, torch, orjson; the parser is reused and nothing is checked."""
    document = PARSER.parse(body)
    predictions = np.frombuffer(document["predictions"].as_buffer(of_type="d"), np.float64)
    labels = np.frombuffer(document["labels"].as_buffer(of_type="i"), np.int64)
    del document
    value, gradient = differentiate(torch.from_numpy(predictions).float().view(shape), torch.from_numpy(labels))
    answer = {
        "value": value,
        "gradients": {"predictions": {"datatype": "FP32", "shape": shape, "data": gradient.view(-1).numpy()}},
    }
    return orjson.dumps(answer, option=NUMPY)


def differentiate(predictions: torch.Tensor, labels: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Torch alone."""
    predictions = predictions.detach().requires_grad_()
    loss = cross_entropy(predictions, labels)
    loss.backward()
    assert predictions.grad is not None
    return loss.item(), predictions.grad


def tensors_of(arrays: Arrays) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(arrays["predictions"].copy()), torch.from_numpy(arrays["labels"].copy())


def seconds(work: Callable[[], Any]) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
