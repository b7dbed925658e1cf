"""Makes connections, and loads what they are made of with the first: the parent of workers needs none of it.

A worker gets this from its parent before it can answer it, and on a busy machine torch loads longer than the parent waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from lossmeter.serving.bounds import Bounds
from lossmeter.serving.monitor import ConnectionMonitor


class Connections:
    """Takes the place of a class of connections for uvicorn.

    Args:
        bounds: of all connections of a process.
        secure: whether they begin with a handshake of TLS.
    """

    def __init__(self, bounds: Bounds, *, secure: bool) -> None:
        self.monitor = ConnectionMonitor(bounds)
        self.secure = secure
        self._make: Callable[..., asyncio.Protocol] | None = None

    def __call__(self, **options: Any) -> asyncio.Protocol:
        if self._make is None:
            from lossmeter.serving.express import ExpressConnection
            from lossmeter.serving.handshakes import Handshake

            self._make = partial(Handshake if self.secure else ExpressConnection, self.monitor)
        return self._make(**options)
