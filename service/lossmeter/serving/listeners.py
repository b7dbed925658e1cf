"""Opens several listeners for each socket, because uvloop accepts one connection for each in a turn of its event loop.

Under load a turn takes tens of milliseconds. With one listener, clients that open a connection for each request get no more
answers than there are turns, and a hundred that come at once wait for a hundred turns.
"""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import math
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn

from lossmeter.scheduling import garbage

LISTENERS_PER_SOCKET = 8
"""Each that has nothing to accept costs about four microseconds for each connection."""

FORCED_SECONDS = 2.0
"""Time to end after a second signal."""


def duplicate_listener(fileno: int) -> list[socket.socket]:
    """Opens the other listeners of the socket with this number."""
    return [socket.socket(fileno=os.dup(fileno)) for _ in range(LISTENERS_PER_SOCKET - 1)]


def check_address(host: str, port: int, uds: str) -> None:
    """Does nothing where one can listen.

    Raises:
        OSError: the address is none of this machine, or somebody else listens there.
    """
    if uds:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(uds) == 0:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        if not os.access(Path(uds).parent, os.W_OK):
            code = errno.EACCES if Path(uds).parent.exists() else errno.ENOENT
            raise OSError(code, os.strerror(code))
        return
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


class Config(uvicorn.Config):
    """uvicorn's configuration, by which listeners speak no TLS: connections begin it themselves.

    Attributes:
        tls: the context of TLS; None where it is not spoken.
    """

    tls: ssl.SSLContext | None = None

    def load(self) -> None:
        """Imports the application, which begins to collect garbage once it starts: a worker is told so here first."""
        garbage.pause_collection()
        super().load()
        self.tls, self.ssl = self.ssl, None


class Server(uvicorn.Server):
    """uvicorn's server, with several listeners for each socket, and an end that no thread can hold up.

    Args:
        config: uvicorn's.
        stop_seconds: time that it is given to end once it is told to; then the process ends, whatever its threads do.
    """

    def __init__(self, config: uvicorn.Config, stop_seconds: float = math.inf) -> None:
        super().__init__(config)
        self.stop_seconds = stop_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop; a second signal cuts that short."""
        again = self.should_exit
        super().handle_exit(sig, frame)
        self.force_exit = self.force_exit or again
        seconds = FORCED_SECONDS if again else self.stop_seconds
        if seconds < math.inf:
            # By a thread of C: one of Python would wait for whoever holds the interpreter.
            faulthandler.dump_traceback_later(seconds, exit=True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop, config = asyncio.get_running_loop(), self.config
        for listener in [listener for server in self.servers for listener in server.sockets]:
            for copy in duplicate_listener(listener.fileno()):
                create = loop.create_unix_server if copy.family == socket.AF_UNIX else loop.create_server
                self.servers.append(await create(self._connection, sock=copy, backlog=config.backlog))

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        config = cast(Config, self.config)
        config.ssl = config.tls  # what is spoken is a part of the message
        super()._log_started_message(listeners)
        config.ssl = None

    def _connection(self) -> asyncio.Protocol:
        create = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return create(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
