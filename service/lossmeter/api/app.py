"""Wires the application together; defines nothing of it."""

from __future__ import annotations

from functools import cache, partial
from typing import cast

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

import lossmeter
from lossmeter.api import access, problems, resources
from lossmeter.api.express_layer import ExpressLayer
from lossmeter.api.lifespan import lifespan
from lossmeter.api.openapi.document import document
from lossmeter.api.raw_routes import FastPath
from lossmeter.api.routes import (
    evaluate,
    keys,
    losses,
    metrics,
    objectives,
    open_inference,
    runs,
    service,
    service_metrics,
    shared_memory,
)
from lossmeter.api.tracing import Tracing
from lossmeter.errors import LossmeterError
from lossmeter.settings import Settings

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own would not know the stages, nor the routes of the fast path; see `api/tracing.py`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Returns the application, ready to be served.

    Args:
        settings: read from the environment if not given.
    """
    settings = settings or Settings()
    shared = resources.build(settings)
    app = FastAPI(
        title="lossmeter",
        version=lossmeter.__version__,
        lifespan=lifespan(shared),
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    for module in (
        service,
        service_metrics,
        losses,
        objectives,
        metrics,
        evaluate,
        open_inference,
        shared_memory,
        runs,
        keys,
    ):
        app.include_router(module.router(shared))
    app.mount("/static/guides", service.guides())
    app.mount("/static", service.static_files())
    app.add_exception_handler(LossmeterError, problems.on_error)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.openapi = cache(partial(document, app))  # type: ignore[method-assign]

    middleware = [
        *([Middleware(Tracing, shared.tracer_provider)] if shared.tracer_provider else []),
        *([Middleware(ExpressLayer, shared.express)] if shared.express else []),
        *access.cross_origin(settings.origins),
        Middleware(shared.envelope.around),
        *([Middleware(shared.access.around)] if shared.access else []),
        Middleware(FastPath, shared.endpoints),
    ]
    # Around FastAPI's own, so that the fast path leads past them too; without the outermost of those, which would answer bugs
    # in its own way before the envelope hears of them.
    app.middleware_stack = cast(ServerErrorMiddleware, app.build_middleware_stack()).app
    for layer, arguments, options in reversed(middleware):
        app.middleware_stack = layer(app.middleware_stack, *arguments, **options)
    return app
