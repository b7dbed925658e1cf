"""A server in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

from tests.support.ports import reserve_port

ROOT = Path(__file__).parents[2]
STARTED_SECONDS = 120


class ServerProcess:
    """`lossmeter serve` on a port and a database that stay the same over its restarts."""

    def __init__(self, folder: Path) -> None:
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._store = f"sqlite:///{folder}/runs.sqlite"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once."""
        command = [sys.executable, "-c", "from lossmeter.cli import main; main()", "serve", "--device", "cpu"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "service"), "LOSSMETER_STORE_URL": self._store}
        options = ["--port", str(self.port), "--log-level", "warning"]
        self._process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.DEVNULL)

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
