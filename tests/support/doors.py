"""A connection in front of an application that answers everything alike, and a queue that is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from lossmeter.api.lifespan import LifespanState
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.serving.bounds import Bounds
from lossmeter.serving.monitor import ConnectionMonitor
from lossmeter.serving.shedding import SheddingConnection
from lossmeter.settings import Settings
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness
from lossmeter.telemetry.request import request_state

BODY = b'{"predictions": [1.0], "labels": [0.0]}'
HEAD = b"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
WHOLE = HEAD + b"X-Request-ID: mine\r\n\r\n" + BODY


class Late(RequestQueue):
    """A queue that is a second late."""

    def lateness(self) -> float:
        return 1.0


class Holding(Late):
    """A late queue that keeps whom it was told to have listened to again later."""

    def __init__(self, max_wait_seconds: float) -> None:
        super().__init__(max_wait_seconds)
        self.held: list[Callable[[], None]] = []

    def rest(self, wake: Callable[[], None]) -> None:
        self.held.append(wake)


class Recorder(asyncio.Transport):
    """Keeps what is written, and whether anything is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = self.open = True

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return not self.open

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.open = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Door:
    """A connection to an application that answers everything alike; to be made in a loop.

    Args:
        queue: the kind of its queue.
        pool: the kind of its pool.
        code: of the error that it answers with 503; empty where it answers 204.

    Attributes:
        asked: the paths that reached the application.
    """

    def __init__(self, queue: type[RequestQueue] = Late, pool: type[Pool] = Pool, code: str = "") -> None:
        self.code = code
        self.asked: list[str] = []
        self.state = LifespanState(
            queue=queue(1.0),
            counters=Counters(["/v1/losses/mse"], ["busy"]),
            limits=Limits(2000, 1000, Admission(100, 100), pool(0), 5.0),
            readiness=Readiness(),
            direct=None,
        )
        config = uvicorn.Config(self._answer, interface="asgi3", log_level="critical")
        config.load()
        monitor, server = ConnectionMonitor(Bounds.of(Settings())), ServerState()
        server.default_headers = [(b"date", b"today")]
        self.connection = SheddingConnection(monitor, config, server, dict(self.state))
        self.transport = Recorder()
        self.connection.connection_made(self.transport)

    async def _answer(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        request_state(scope).error_code = self.code
        head = [(b"content-length", b"0")] if self.code else []
        await send({"type": "http.response.start", "status": 503 if self.code else 204, "headers": head})
        await send({"type": "http.response.body"})

    async def send(self, *pieces: bytes) -> bytes:
        """What the connection writes in answer."""
        before = len(self.transport.written)
        for piece in pieces:
            self.connection.data_received(piece)
        for _ in range(20):  # turns of the loop, more than an answer takes
            await asyncio.sleep(0)
        return self.transport.written[before:]
