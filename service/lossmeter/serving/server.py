"""Runs the application under uvicorn, in one process or several."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from lossmeter.scheduling import garbage
from lossmeter.scheduling.pool import CLOSE_SECONDS
from lossmeter.serving.bounds import Bounds
from lossmeter.serving.connecting import Connections
from lossmeter.serving.listeners import Config, Server
from lossmeter.serving.supervisor import MARGIN_SECONDS, Supervisor
from lossmeter.settings import Settings
from lossmeter.telemetry import logs

FACTORY = "lossmeter.api.app:create_app"

PING_SECONDS = 15
"""Time without an answer after which a worker is replaced."""


def run(settings: Settings) -> None:
    """Serves until the process is told to stop."""
    # Before the server listens, and once it has shut down, nothing else handles the signal: the first process of a
    # container would not notice it at all, any other one would end with an error. An exception would not do: raised in the
    # middle of an import, it can be swallowed.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    config = Config(
        FACTORY,
        factory=True,
        host=settings.host,
        port=settings.port,
        uds=settings.uds or None,
        workers=settings.workers,
        log_config=logs.configuration(settings),
        access_log=False,  # ours tells more
        **protocol_options(settings),
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_worker_healthcheck=PING_SECONDS,
    )
    if settings.log_format == "text":
        print(_welcome_line(settings), flush=True)  # noqa: T201
    else:
        logging.getLogger("lossmeter").info("%s", _welcome_line(settings))
    try:
        if settings.workers == 1:
            _serve_alone(config, settings)
        else:
            _serve_together(config, settings)
    finally:
        if settings.uds:
            Path(settings.uds).unlink(missing_ok=True)


def protocol_options(settings: Settings) -> dict[str, Any]:
    """The options of uvicorn that concern connections."""
    return {
        "http": Connections(Bounds.of(settings), secure=bool(settings.tls_certificate)),
        "ws": "none",
        "server_header": False,
        "ssl_certfile": settings.tls_certificate or None,
        "ssl_keyfile": settings.tls_key or None,
    }


def _serve_alone(config: uvicorn.Config, settings: Settings) -> None:
    server = Server(config, settings.grace_seconds + MARGIN_SECONDS + CLOSE_SECONDS)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_together(config: uvicorn.Config, settings: Settings) -> None:
    garbage.collect_rarely()
    with (
        tempfile.TemporaryDirectory(prefix="lossmeter-metrics-") as own,
        tempfile.TemporaryDirectory(prefix="lossmeter-regions-") as regions,
    ):
        folder = Path(settings.metrics_dir or own)
        # The workers read the settings for themselves.
        os.environ["LOSSMETER_METRICS_DIR"] = str(folder)
        os.environ["LOSSMETER_SHARED_MEMORY_DIR"] = settings.shared_memory_dir or regions
        stop_seconds = settings.drain_seconds + settings.grace_seconds
        Supervisor(config, config.bind_socket(), folder, stop_seconds).run()


def _welcome_line(settings: Settings) -> str:
    if settings.uds:
        return f"lossmeter: listening on the Unix socket {settings.uds}"
    base = f"http{'s' if settings.tls_certificate else ''}://{settings.host}:{settings.port}"
    return f"lossmeter: API {base}/v1/losses · docs {base}/docs · console {base}/ · OpenAPI {base}/openapi.json"
