"""Counts connections from the moment they are accepted, and gives their TLS handshake its time.

asyncio tells a protocol of a connection when its handshake is done: one that never began would be in no limit.
"""

from __future__ import annotations

import asyncio
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

    def __init__(self, monitor: ConnectionMonitor, **options: Any) -> None:
        self.monitor = monitor
        self.options = options
        self.connections: set[object] = options["server_state"].connections
        self.loop = asyncio.get_running_loop()
        self.begin = self.loop.time()
        self.transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._data = bytearray()  # what comes with the last message of the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)
        if len(self.connections) > self.monitor.bounds.max_connections and not make_room(
            self.connections, self, self.loop.time()
        ):
            self.transport.abort()
        elif self._task is None:
            self.transport.pause_reading()
            self._task = self.loop.create_task(self._shake_hands())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._data += data

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
