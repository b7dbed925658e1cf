"""Runs several workers under one parent: uvicorn's supervisor, with an end that cannot hang, and figures that outlive a worker.

uvicorn's notices a worker that has died, and one that does not answer for a while because it was stopped or because
something holds the interpreter; it kills and replaces it. An event loop that stands still while other threads run is the
business of the worker itself (`telemetry/watchdog.py`).
"""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from lossmeter.serving.listeners import duplicate_listener
from lossmeter.telemetry import snapshots

log = logging.getLogger("uvicorn.error")

MARGIN_SECONDS = 5.0
"""Time that a worker may take to end beyond what it was given."""


class Supervisor(Multiprocess):
    """Starts workers, replaces them, and stops them in time.

    Args:
        config: uvicorn's.
        listener: the socket on which the workers accept connections.
        folder: in which they add up their figures.
        stop_seconds: time that they are given to end; then they are killed.
    """

    def __init__(self, config: Config, listener: socket.socket, folder: Path, stop_seconds: float) -> None:
        super().__init__(config, [listener, *duplicate_listener(listener.fileno())])
        self.folder = folder
        self.stop_seconds = stop_seconds

    def init_processes(self) -> None:
        """Starts the workers."""
        super().init_processes()
        self._close_pipes()

    def keep_subprocess_alive(self) -> None:
        """Replaces the workers that died or hang."""
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        self._close_pipes()
        after = {process.pid for process in self.processes}
        for pid in before:
            if pid is not None and pid not in after:
                snapshots.retire(self.folder, pid)

    def terminate_all(self) -> None:
        """Tells the workers to end, and lets go of their listeners: new clients would wait for what nobody accepts."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def _close_pipes(self) -> None:
        """Closes the workers' ends of the pipes: while the parent has them open, it waits for a ping even of a dead worker."""
        for process in self.processes:
            process.child_conn.close()

    def join_all(self) -> None:
        """Waits for the workers; not for ever, because one may be stopped or hang."""
        deadline = time.monotonic() + self.stop_seconds + MARGIN_SECONDS
        for process in self.processes:
            process.process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                log.error("worker %s did not end, and is killed", process.pid)
                process.process.kill()
                process.process.join()
