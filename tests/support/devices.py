"""The device that tests compute on: that of `LOSSMETER_DEVICE`, as for a server; without it the CPU."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

NAME = os.environ.get("LOSSMETER_DEVICE", "cpu")
DEVICE = torch.device(NAME)

on_cuda = pytest.mark.skipif(DEVICE.type != "cuda", reason="needs an NVIDIA GPU, and LOSSMETER_DEVICE=cuda")


def placed(case: dict[str, Any]) -> dict[str, Any]:
    """The case with its tensors on that device."""
    return {name: value.to(DEVICE) if isinstance(value, torch.Tensor) else value for name, value in case.items()}
