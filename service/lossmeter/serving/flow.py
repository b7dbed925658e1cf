"""Decides when a connection reads."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reads nothing while requests wait that were read already, or while it rests.

    Attributes:
        resting_since: by the clock of the loop; infinite while it does not rest.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self.resting_since = math.inf

    @property
    def resting(self) -> bool:
        """True until it is woken."""
        return self.resting_since < math.inf

    def resume_reading(self) -> None:
        if not (self._waiting or self.resting):
            super().resume_reading()

    def rest(self, now: float) -> None:
        """Reads nothing until it is woken."""
        self.resting_since = now
        self.pause_reading()

    def wake(self) -> None:
        """Reads again."""
        self.resting_since = math.inf
        if not self._transport.is_closing():
            self.resume_reading()
