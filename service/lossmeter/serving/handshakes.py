"""Counts connections from the moment they are accepted, and gives their TLS handshake its time.

asyncio tells a protocol of a connection when its handshake is done: one that never began would be in no limit.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

from lossmeter.serving.crowding import make_room
from lossmeter.serving.express import ExpressConnection
from lossmeter.serving.monitor import ConnectionMonitor


class Handshake(asyncio.Protocol):
    """A connection whose handshake is under way; a connection for HTTP takes its place afterwards.

    Args:
        monitor: of connections, and their bounds.
        options: of the connection that follows, as uvicorn gives them.
    """

    idle = False
    resting_since = math.inf

    def __init__(self, monitor: ConnectionMonitor, **options: Any) -> None:
        self.monitor = monitor
        self.options = options
        self.connections: set[object] = options["server_state"].connections
        self.loop = asyncio.get_running_loop()
        self.begin = self.loop.time()
        self.transport: asyncio.Transport
        self._silent: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._data = bytearray()  # what comes with the last message of the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)
        if len(self.connections) > self.monitor.bounds.max_connections and not make_room(
            self.connections, self, self.loop.time()
        ):
            self.transport.abort()
        else:
            self._silent = self.loop.call_later(self.monitor.bounds.header_seconds, self.give_way)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.connections.discard(self)
        if self._silent is not None:
            self._silent.cancel()

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self._data += data
            return
        # The client speaks first. Pausing any earlier is undone by uvloop, which begins to read after `connection_made`.
        self.transport.pause_reading()
        if self._silent is not None:
            self._silent.cancel()
        self._task = self.loop.create_task(self._shake_hands())
        self.loop.call_soon(self.loop.call_soon, self._pass_on, data)  # behind what the handshake does first

    def _pass_on(self, data: bytes) -> None:
        """Gives the handshake what came before it began, while nothing more is read yet."""
        handshake: Any = self.transport.get_protocol()
        rest = memoryview(data)
        while rest and handshake is not self:
            buffer = memoryview(handshake.get_buffer(len(rest)))
            taken = min(len(buffer), len(rest))
            buffer[:taken] = rest[:taken]
            handshake.buffer_updated(taken)
            rest = rest[taken:]

    def silence(self, now: float) -> float:
        """Returns for how long the handshake has not been complete."""
        return now - self.begin

    def give_way(self) -> None:
        """Ends the connection: without a handshake nothing can be said."""
        self.transport.abort()

    def shutdown(self) -> None:
        """Called by the server when it ends."""
        self.transport.abort()

    async def _shake_hands(self) -> None:
        context, seconds = self.options["config"].tls, self.monitor.bounds.header_seconds
        try:
            secure = await self.loop.start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=seconds
            )
        except OSError:  # which errors of TLS and timeouts are
            self.transport.abort()
            return
        finally:
            self.connections.discard(self)
        assert secure is not None
        connection = ExpressConnection(self.monitor, **self.options)
        secure.set_protocol(connection)
        connection.connection_made(secure)
        if self._data:
            connection.data_received(bytes(self._data))
