"""The application with losses that fail as only hardware, or a bug, makes them fail."""

from __future__ import annotations

import time
from typing import Any

import torch
from fastapi import FastAPI

import lossmeter.api.app
from lossmeter.losses import find

PROGRAM = """
import lossmeter.serving.server as server
server.FACTORY = "tests.support.failing:create_app"
from lossmeter.cli import main
main()
"""
"""For `started`: every worker makes its application with `create_app` below."""


def poisoned(**given: Any) -> torch.Tensor:
    """An assertion that fails in a kernel; without a GPU, what every call raises after one."""
    device = next(iter(given.values())).device
    if device.type == "cuda":
        torch.zeros(1, device=device)[torch.ones(1, dtype=torch.int64, device=device)].cpu()
    raise torch.AcceleratorError("CUDA error: device-side assert triggered")


def stuck(**_: Any) -> torch.Tensor:
    """Never returns, and lets other threads run meanwhile."""
    time.sleep(3600)
    raise AssertionError


def create_app() -> FastAPI:
    """`margin_ranking` loses the device, `hinge_embedding` never ends."""
    app = lossmeter.api.app.create_app()
    object.__setattr__(find("margin_ranking"), "function", poisoned)
    object.__setattr__(find("hinge_embedding"), "function", stuck)
    return app
