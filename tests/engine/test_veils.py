"""Veiled tensors can be computed with, and never read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.engine.veils import on_shapes_alone

NAMED = {"x": torch.arange(6.0).reshape(2, 3), "y": torch.tensor([0, 1])}
COMPUTING: list[Callable[..., Any]] = [
    lambda x, y: y != 3,  # noqa: ARG005
    lambda x, y: ((y != 3) & (y != 2)).any(),  # noqa: ARG005
    lambda x, y: torch.where(y > 0, y, 0).sum(),  # noqa: ARG005
    lambda x, y: (x.shape, x.dim(), len(y), x.dtype),
    lambda x, y: x.max(dim=1).values,  # noqa: ARG005
]
READING: list[Callable[..., Any]] = [
    lambda x, y: bool((y != 3).any()),  # noqa: ARG005
    lambda x, y: x.sum().item(),  # noqa: ARG005
    lambda x, y: y.tolist(),  # noqa: ARG005
    lambda x, y: np.count_nonzero((y > 0).numpy()),  # noqa: ARG005
    lambda x, y: np.isfinite(np.asarray(x)).all(),  # noqa: ARG005
    lambda x, y: float(x[0, 0]),  # noqa: ARG005
    lambda x, y: range(y[0]),  # noqa: ARG005
    lambda x, y: x[x > 1],  # noqa: ARG005
    lambda x, y: torch.equal(x, x),  # noqa: ARG005
    lambda x, y: torch.unique(y),  # noqa: ARG005
    lambda x, y: 1 in y,  # noqa: ARG005
    lambda x, y: sorted(y),  # noqa: ARG005
    lambda x, y: f"{x[0, 0]}",  # noqa: ARG005
    lambda x, y: repr(x),  # noqa: ARG005
    lambda x, y: memoryview(x.numpy()),  # noqa: ARG005
    lambda x, y: x.untyped_storage()[0],  # noqa: ARG005
]


@pytest.mark.parametrize("hook", COMPUTING)
def test_what_computes_gives_its_result(hook: Callable[..., Any]) -> None:
    assert on_shapes_alone(lambda given: hook(**given), NAMED) is not None


@pytest.mark.parametrize("hook", READING)
def test_what_reads_numbers_gives_nothing(hook: Callable[..., Any]) -> None:
    assert hook(**NAMED) is not None
    assert on_shapes_alone(lambda given: hook(**given), NAMED) is None
