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


def poisoned(**_: Any) -> torch.Tensor:
    """What every call raises after an assertion has failed in a kernel; this machine has no GPU to do it with."""
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
