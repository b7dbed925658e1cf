"""Runs the application under uvicorn."""

from __future__ import annotations

import logging

import uvicorn

from lossmeter.settings import Settings

FACTORY = "lossmeter.api.app:create_app"

log = logging.getLogger("uvicorn.error")


def run(settings: Settings, *, access_log: bool = False) -> None:
    """Serves until it is told to stop."""
    address = f"http://{settings.host}:{settings.port}"
    print(  # noqa: T201
        f"lossmeter: API {address}/v1/losses · docs {address}/docs · console {address}/ · OpenAPI {address}/openapi.json",
        flush=True,
    )
    uvicorn.run(
        FACTORY,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=30,
    )
