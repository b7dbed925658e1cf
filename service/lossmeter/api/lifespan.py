"""Starts and ends what an application needs while it runs, and tells the server that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TypedDict

from fastapi import FastAPI

from lossmeter.api.direct import DirectWay
from lossmeter.api.express import ExpressWay
from lossmeter.api.resources import Resources
from lossmeter.scheduling import garbage
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.telemetry.collector import Collector
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness, delay_sigterm


class LifespanState(TypedDict):
    """The state of the lifespan protocol of ASGI: by it a server sheds load and answers small requests itself."""

    queue: RequestQueue
    counters: Counters
    limits: Limits
    readiness: Readiness
    direct: DirectWay | None
    express: ExpressWay | None


def lifespan(resources: Resources) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    """Returns the lifespan of an application over these resources: starts them, and closes them whatever happens."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[LifespanState]:
        async with AsyncExitStack() as stack:
            if resources.tracer_provider is not None:
                stack.callback(resources.tracer_provider.shutdown)
            stack.callback(resources.sharing.close)
            stack.callback(resources.database.close)
            stack.callback(resources.store.close)
            stack.callback(resources.reports.close)
            stack.callback(resources.key_thread.close)
            stack.callback(resources.limits.pool.close)
            stack.callback(_publish, resources.collector)
            resources.batcher.engine.warm_up()
            garbage.collect_rarely()
            resources.watchdog.start()
            stack.callback(resources.watchdog.stop)
            stack.enter_context(delay_sigterm(resources.readiness, resources.settings.drain_seconds))
            yield LifespanState(
                queue=resources.queue,
                counters=resources.counters,
                limits=resources.limits,
                readiness=resources.readiness,
                direct=resources.direct,
                express=resources.express,
            )

    return run


def _publish(collector: Collector) -> None:
    """Shows the last figures of this process, if they can be written."""
    with suppress(OSError):
        collector.publish()
