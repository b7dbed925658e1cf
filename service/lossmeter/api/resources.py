"""Builds what lives as long as the application: engine, threads, database, counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lossmeter.api import access, problems, tracing
from lossmeter.api.access import Access
from lossmeter.api.direct import DirectWay
from lossmeter.api.endpoints import Endpoints, tensor_endpoints
from lossmeter.api.envelope import Envelope
from lossmeter.api.express import ExpressWay
from lossmeter.api.shared_memory import Sharing
from lossmeter.budget import Budget
from lossmeter.database import Database
from lossmeter.engine import Engine, advice, devices
from lossmeter.keys import Keyring, SqlKeys
from lossmeter.runs import Ledger, SqlStore
from lossmeter.scheduling.admission import Admission
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.scheduling.pool import Pool
from lossmeter.scheduling.report_threads import ReportThreads
from lossmeter.scheduling.request_queue import RequestQueue
from lossmeter.scheduling.store_threads import StoreThreads
from lossmeter.settings import Settings
from lossmeter.telemetry.collector import Collector
from lossmeter.telemetry.counters import Counters
from lossmeter.telemetry.readiness import Readiness, stop_if_orphaned
from lossmeter.telemetry.snapshots import Snapshots
from lossmeter.telemetry.watchdog import Watchdog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@dataclass(frozen=True)
class Resources:
    """Holds what routes, middleware and connections share in one process.

    Attributes:
        settings: as they were read at the start.
        batcher: computes on the engine, small calls together.
        limits: bounds what requests cost; with the pool that computes, and the admission that counts.
        endpoints: answer tensors at fixed addresses.
        sharing: the shared memory of clients on this machine.
        queue: holds requests until the event loop begins them.
        key_thread: looks keys up and changes them, and does nothing else.
        keyring: knows the keys; None if none are asked for.
        access: asks for them; None likewise.
        envelope: completes and counts every answer.
        direct: answers small requests without ASGI; None where all have to take that way.
        express: answers those of them that are of a known kind; None likewise.
        tracer_provider: makes traces; None if none are wanted.
    """

    settings: Settings
    batcher: MicroBatcher
    limits: Limits
    endpoints: Endpoints
    sharing: Sharing
    queue: RequestQueue
    database: Database
    store: StoreThreads
    reports: ReportThreads
    key_thread: StoreThreads
    ledger: Ledger
    keyring: Keyring | None
    access: Access | None
    envelope: Envelope
    direct: DirectWay | None
    express: ExpressWay | None
    counters: Counters
    readiness: Readiness
    collector: Collector
    watchdog: Watchdog
    tracer_provider: TracerProvider | None


def build(settings: Settings) -> Resources:
    """Builds all resources; nothing of them runs before the lifespan begins, except threads that wait."""
    devices.share_one_heap()
    torch.set_num_threads(settings.torch_threads)
    admission = Admission(settings.max_bytes_in_flight, settings.max_elements_in_flight)
    budget = Budget(
        settings.request_memory, settings.max_request_operations, settings.memory, held=lambda: admission.memory
    )
    engine = Engine(settings.device, settings.chunk_elements, budget)
    devices.share(engine.device, settings.workers)
    database = Database(settings.store_url, settings.store_timeout_seconds)
    store, reports, key_thread = StoreThreads(), ReportThreads(settings.compute_seconds), StoreThreads(1)
    pool = Pool(settings.pool_threads, settings.max_wait_seconds)
    queue, readiness = RequestQueue(settings.max_wait_seconds), Readiness()
    limits = Limits(settings.max_body_bytes, settings.inline_bytes, admission, pool, settings.compute_seconds)
    batcher = MicroBatcher(engine, limits)
    sharing = Sharing(settings.shared_memory, settings.shared_memory_dir, engine.device)
    endpoints = tensor_endpoints(batcher, limits, settings.max_elements, sharing)
    counters = Counters(endpoints, problems.CODES, advice.CODES)
    each_second: list[Callable[[], None]] = [stop_if_orphaned]
    watchdog = Watchdog(each_second, settings.hang_seconds)
    collector = Collector(
        counters,
        readiness,
        engine,
        admission,
        {"requests": queue, "compute": pool, "store": store.pool},
        lambda: watchdog.lag_seconds,
        Snapshots(Path(settings.metrics_dir)) if settings.metrics_dir else None,
    )
    each_second.append(collector.publish)
    keyring = Keyring(SqlKeys(database), settings.key_cache_seconds) if access.requires_keys(settings) else None
    key_check = access.key_check(settings, keyring, key_thread)
    envelope = Envelope(counters, readiness)
    tracer_provider = tracing.tracer_provider()
    direct = DirectWay(endpoints, envelope, key_check) if tracer_provider is None else None
    express = ExpressWay(endpoints, envelope, key_check, engine) if tracer_provider is None else None
    return Resources(
        settings,
        batcher,
        limits,
        endpoints,
        sharing,
        queue,
        database,
        store,
        reports,
        key_thread,
        Ledger(SqlStore(database), engine, settings.retention_days),
        keyring,
        key_check,
        envelope,
        direct,
        express,
        counters,
        readiness,
        collector,
        watchdog,
        tracer_provider,
    )
