"""Wires the application together; defines nothing of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

import torch
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import lossmeter
from lossmeter.api import access, openapi, problems
from lossmeter.api.access import Access
from lossmeter.api.envelope import Frame
from lossmeter.api.lifespan import LifespanState
from lossmeter.api.routes import evaluate, losses, metrics, open_inference, runs, service, watching
from lossmeter.api.tensor_routes import Express
from lossmeter.api.tracing import add_tracing
from lossmeter.database import Database
from lossmeter.engine import Engine, devices
from lossmeter.errors import LossmeterError
from lossmeter.keys import Keyring, SqlKeys
from lossmeter.runs import Ledger, SqlStore
from lossmeter.scheduling import garbage
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.settings import Settings
from lossmeter.telemetry.collector import Collector
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness, delay_sigterm, stop_if_orphaned
from lossmeter.telemetry.snapshots import Snapshots
from lossmeter.telemetry.watchdog import Watchdog

NONE_OF_ITS_OWN: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's telemetry would not know the stages, nor the routes of the express way; see `api/tracing.py`."""
STORE_THREADS = 4
"""Threads that wait for the database of runs."""


class Application(FastAPI):
    """FastAPI with our own frame as the outermost layer, and the express way right behind it."""

    express: Mapping[str, ASGIApp] = MappingProxyType({})
    collector: Collector
    guarded: Callable[[ASGIApp], ASGIApp] = staticmethod(lambda app: app)
    origins: tuple[str, ...] = ()
    ended: Callable[[], None] = staticmethod(lambda: None)

    def build_middleware_stack(self) -> ASGIApp:
        routed = self.guarded(Express(super().build_middleware_stack(), self.express))
        framed = access.shared(Frame(routed, self.collector.counters, self.collector.readiness), self.origins)
        stack, self.ended = add_tracing(framed)
        return stack


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
    readiness = Readiness()
    pool = Pool(settings.pool_threads, settings.max_wait_seconds)
    queue = RequestQueue()
    watchdog = Watchdog([stop_if_orphaned, lambda: app.collector.publish()], settings.hang_seconds)
    admission = Admission(settings.max_bytes_in_flight, settings.max_elements_in_flight)
    limits = Limits(settings.max_body_bytes, settings.inline_bytes, admission, pool, settings.compute_seconds)

    store_pool = Pool(STORE_THREADS)
    database = Database(settings.store_url, settings.store_timeout_seconds)
    ledger = Ledger(SqlStore(database), engine, settings.retention_days)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        engine.warm_up()
        garbage.collect_rarely()
        watchdog.start()
        with delay_sigterm(readiness, settings.drain_seconds):
            yield LifespanState(queue=queue, counters=app.collector.counters, limits=limits, readiness=readiness)
        watchdog.stop()
        with suppress(OSError):
            app.collector.publish()
        pool.close()
        store_pool.close()
        database.close()
        app.ended()

    app = Application(
        title="lossmeter",
        version=lossmeter.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=NONE_OF_ITS_OWN,
    )
    batcher = MicroBatcher(engine)
    loss_routes, express = losses.router(batcher, limits, settings.max_elements)
    evaluate_route, evaluate_express = evaluate.router(engine, limits, settings.max_elements)
    infer_routes, infer_express = open_inference.router(batcher, limits, settings.max_elements, readiness)
    app.express = express | evaluate_express | infer_express
    app.collector = Collector(
        Counters(app.express, problems.CODES),
        readiness,
        engine,
        admission,
        {"requests": queue, "compute": pool, "store": store_pool},
        lambda: watchdog.lag_seconds,
        Snapshots(Path(settings.metrics_dir)) if settings.metrics_dir else None,
    )
    app.include_router(service.router(readiness))
    app.include_router(watching.router(app.collector))
    app.include_router(loss_routes)
    app.include_router(metrics.router())
    app.include_router(evaluate_route)
    app.include_router(infer_routes)
    app.include_router(runs.router(ledger, limits, settings.max_elements, store_pool))
    app.mount("/static", service.static_files())
    app.add_exception_handler(LossmeterError, problems.on_error)
    app.add_exception_handler(HTTPException, problems.on_http)
    if access.asks(settings):
        keyring, local = Keyring(SqlKeys(database), settings.key_cache_seconds), access.trusts_this_machine(settings)
        reads = partial(store_pool.run, 0)
        app.guarded = lambda inner: Access(inner, keyring, reads, local=local, origins=settings.origins)
    app.origins = settings.origins
    app.openapi = cache(lambda: openapi.document(app))  # type: ignore[method-assign]
    return app


def rendered_document() -> str:
    """The OpenAPI document as it is committed: stable, readable, with a newline at the end."""
    document = create_app(Settings(device="cpu")).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
