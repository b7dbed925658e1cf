"""A server in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

import httpx

from tests.support.forks import Fork, fork
from tests.support.ports import reserve_port
from tests.support.processes import PROGRAM

STARTED_SECONDS = 120


class ServerProcess:
    """`lossmeter serve` on a port and a database that stay the same over its restarts."""

    def __init__(self, folder: Path) -> None:
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._store = f"sqlite:///{folder}/runs.sqlite"
        self._process: Fork | None = None

    def start(self) -> None:
        """Returns at once."""
        arguments = ["serve", "--device", "cpu", "--port", str(self.port), "--log-level", "warning"]
        self._process = fork(PROGRAM, arguments, {**os.environ, "LOSSMETER_STORE_URL": self._store}, os.devnull)

    def wait(self) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + STARTED_SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/readyz")
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reserved.close()
