"""The application on a GPU of which it may use little, so that memory runs out as it does on a full one."""

from __future__ import annotations

import torch
from fastapi import FastAPI

import lossmeter.api.app

BYTES = 256 << 20
PROGRAM = """
import lossmeter.serving.server as server
server.FACTORY = "tests.gpu.bounded:create_app"
from lossmeter.cli import main
main()
"""
"""For `started`."""


def bound() -> None:
    """Leaves this process so much memory of the GPU."""
    torch.cuda.set_per_process_memory_fraction(BYTES / torch.cuda.get_device_properties(0).total_memory)


def create_app() -> FastAPI:
    """The application, bounded."""
    bound()
    return lossmeter.api.app.create_app()
