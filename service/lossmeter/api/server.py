"""Runs the application under uvicorn."""

from __future__ import annotations

import logging
import os
import signal

import uvicorn

from lossmeter.api import connections
from lossmeter.settings import Settings

FACTORY = "lossmeter.api.app:create_app"

log = logging.getLogger("uvicorn.error")


def run(settings: Settings, *, access_log: bool = False) -> None:
    """Serves until it is told to stop."""
    # Before the server listens, and once it has shut down, nothing else handles the signal: the first process of a
    # container would not notice it at all, any other one would end with an error. An exception would not do: raised in the
    # middle of an import, it can be swallowed.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(_welcome(settings), flush=True)  # noqa: T201
    uvicorn.run(
        FACTORY,
        factory=True,
        host=settings.host,
        port=settings.port,
        uds=settings.uds or None,
        workers=settings.workers,
        log_level=settings.log_level,
        access_log=access_log,
        **connections.options(settings),
        timeout_graceful_shutdown=30,
    )


def _welcome(settings: Settings) -> str:
    if settings.uds:
        return f"lossmeter: listening on the Unix socket {settings.uds}"
    base = f"http{'s' if settings.tls_certificate else ''}://{settings.host}:{settings.port}"
    return f"lossmeter: API {base}/v1/losses · docs {base}/docs · console {base}/ · OpenAPI {base}/openapi.json"
