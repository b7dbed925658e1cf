"""Wires the application together; defines nothing of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from types import MappingProxyType

import torch
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import lossmeter
from lossmeter.api import openapi, problems
from lossmeter.api.admission import Admission
from lossmeter.api.frame import Frame
from lossmeter.api.pool import Pool
from lossmeter.api.routes import evaluate, losses, metrics, open_inference, runs, service
from lossmeter.api.tensor_routes import Express, Limits
from lossmeter.engine import Engine, devices
from lossmeter.errors import LossmeterError
from lossmeter.runs import Database, Ledger, SqlStore
from lossmeter.settings import Settings

STORE_THREADS = 4
"""Threads that wait for the database of runs."""


class Application(FastAPI):
    """FastAPI with our own frame as the outermost layer, and the express way right behind it."""

    express: Mapping[str, ASGIApp] = MappingProxyType({})

    def build_middleware_stack(self) -> ASGIApp:
        return Frame(Express(super().build_middleware_stack(), self.express))


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, ready to be served.

    Args:
        settings: read from the environment if not given.
    """
    settings = settings or Settings()
    devices.share_one_heap()
    torch.set_num_threads(settings.torch_threads)
    engine = Engine(settings.device, settings.chunk_elements)
    devices.share(engine.device, settings.workers)
    pool = Pool(settings.pool_threads)
    admission = Admission(settings.max_bytes_in_flight, settings.max_elements_in_flight)
    limits = Limits(settings.max_body_bytes, settings.inline_bytes, admission, pool)

    store_pool = Pool(STORE_THREADS)
    database = Database(settings.store_url, settings.store_timeout_seconds)
    ledger = Ledger(SqlStore(database), engine, settings.retention_days)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.warm_up()
        yield
        pool.close()
        store_pool.close()
        database.close()

    app = Application(
        title="lossmeter", version=lossmeter.__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    loss_routes, express = losses.router(engine, limits, settings.max_elements)
    evaluate_route, evaluate_express = evaluate.router(engine, limits, settings.max_elements)
    infer_routes, infer_express = open_inference.router(engine, limits, settings.max_elements)
    app.include_router(service.router())
    app.include_router(loss_routes)
    app.include_router(metrics.router())
    app.include_router(evaluate_route)
    app.include_router(infer_routes)
    app.include_router(runs.router(ledger, limits, settings.max_elements, store_pool))
    app.mount("/static", service.static_files())
    app.add_exception_handler(LossmeterError, problems.on_error)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.express = express | evaluate_express | infer_express
    app.openapi = cache(lambda: openapi.document(app))  # type: ignore[method-assign]
    return app


def rendered_document() -> str:
    """The OpenAPI document as it is committed: stable, readable, with a newline at the end."""
    document = openapi.document(create_app(Settings(device="cpu")))
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
