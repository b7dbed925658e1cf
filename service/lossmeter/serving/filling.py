"""Reads the rest of a body straight from the socket into the memory of its request, past the parser.

On the ordinary way each byte is copied four times before it lies where tensors are made of it: out of the buffer of the event
loop, by the parser, into the message of ASGI and out of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from lossmeter.api.body import ClientGone
from lossmeter.errors import LossmeterError

MISSED_BYTES = 1 << 18
"""Bytes that a parser is told at a time of what it has missed."""


class Host(Protocol):
    """A connection whose place is taken for a while."""

    transport: asyncio.Transport

    def connection_lost(self, exc: Exception | None) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def count_filled(self, size: int) -> None:
        """Counts bytes of the body that came."""

    def take_over(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands everything that the socket brings to another protocol, or back to itself."""

    def end_filled(self) -> None:
        """Called once the body is whole."""

    def tell_missed(self, piece: memoryview) -> None:
        """Tells the parser what was read past it, as the body will not be whole."""


class Filling(asyncio.BufferedProtocol):
    """Takes the place of a connection until memory for the rest of a body is full.

    Args:
        host: the connection.
        memory: as long as the rest of the body.
        arrived: told how many bytes came, each time; may raise, which ends the filling.
    """

    def __init__(self, host: Host, memory: memoryview, arrived: Callable[[int], None]) -> None:
        self._host = host
        self._memory = memory
        self._arrived = arrived
        self._position = 0
        self._lost = False
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Fills the memory.

        Raises:
            ClientGone: if the client hangs up.
            LossmeterError: that of `arrived`, or of `fail`.
        """
        self._host.take_over(self)
        try:
            await self._done
        finally:
            self._give_back()
            self._memory.release()

    def fail(self, error: Exception) -> None:
        """Ends the filling."""
        if not self._done.done():
            self._done.set_exception(error)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._memory[self._position :]

    def buffer_updated(self, nbytes: int) -> None:
        self._position += nbytes
        self._host.count_filled(nbytes)
        try:
            if not self._done.done():
                self._arrived(nbytes)
        except LossmeterError as error:
            self.fail(error)
        if self._position == len(self._memory):
            self._host.take_over(self._host)  # type: ignore[arg-type]
            self._host.end_filled()
            if not self._done.done():
                self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._host.connection_lost(exc)
        self.fail(ClientGone())

    def eof_received(self) -> bool | None:
        return self._host.eof_received()

    def pause_writing(self) -> None:
        self._host.pause_writing()

    def resume_writing(self) -> None:
        self._host.resume_writing()

    def _give_back(self) -> None:
        """Leaves the socket to the connection again, if there is one and the body did not come whole."""
        if self._lost or self._position == len(self._memory):
            return
        self._host.take_over(self._host)  # type: ignore[arg-type]
        for start in range(0, self._position, MISSED_BYTES):
            self._host.tell_missed(self._memory[start : min(start + MISSED_BYTES, self._position)])
