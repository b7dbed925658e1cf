"""Cross entropy with gradient on [1024, 1000], one request at a time, in every format."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from tests.benchmarks import floor
from tests.benchmarks.load import Connection
from tests.benchmarks.payloads import Payload, as_inference, as_json, as_safetensors, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import (
    CLIENT_CORE,
    ECHO,
    LITSERVE_APP,
    NAIVE,
    SERVER_CORE,
    SERVICE,
    Server,
    alone,
    pinned,
    present,
    started,
)
from tests.benchmarks.support import served

SHAPE = (1024, 1000)
ROUNDS = 15
REPEATS = 7
PATIENCE_SECONDS = 0.7
"""A subject is asked again within a round until this much time has passed: slow ones once, fast ones `REPEATS` times."""

Step = Callable[[], tuple[float, float]]
"""Seconds, and seconds of processor time, of one request."""


def measure(quick: bool) -> Result:
    result = Result("large", "Cross entropy with gradient, [1024, 1000] FP32, one request at a time")
    tensors = classification(*SHAPE)
    payloads = [form("cross_entropy", tensors) for form in (as_json, as_safetensors, as_inference)]
    small = classification(2, 3)
    samples = [form("cross_entropy", small) for form in (as_json, as_safetensors, as_inference)]
    arguments = floor.tensors_of(tensors)
    with started(present([SERVICE, NAIVE, LITSERVE_APP, ECHO])) as servers:
        by_name = {server.subject.name: server for server in servers}
        service, echo = by_name[SERVICE.name], by_name[ECHO.name]
        steps: list[tuple[str, Step]] = []
        for payload, sample in zip(payloads, samples, strict=True):
            if served(service, sample, result):
                size = _size(service, payload)
                result.notes.append(f"{payload.form}: {len(payload.body):,} bytes in, {size:,} bytes out.")
                steps.append((f"lossmeter, {payload.form}", _over_http(service, payload)))
                steps.append((f"ASGI echo, {payload.form}", _over_http(echo, payload)))
        if not quick:
            unannotated = replace(payloads[0], path="/unannotated")
            steps.append(
                (f"{NAIVE.name} without a return annotation, JSON", _over_http(by_name[NAIVE.name], unannotated))
            )
        rivals = [by_name[rival.name] for rival in (NAIVE, LITSERVE_APP) if rival.name in by_name]
        steps += [(f"{rival.subject.name}, JSON", _over_http(rival, payloads[0])) for rival in rivals]
        steps.append(
            ("simdjson + torch + orjson in process", _in_process(lambda: floor.from_json(payloads[0].body, SHAPE)))
        )
        steps.append(("torch in process", _in_process(lambda: floor.differentiate(*arguments))))
        for _, step in steps:
            step()
        for _ in range(4 if quick else ROUNDS):
            for name, step in steps:
                wall, processor = step()
                result.add(name, "ms", wall * 1e3, processor * 1e3)
    result.compare("naive FastAPI ÷ lossmeter, JSON", "naive FastAPI, JSON", "lossmeter, JSON", 10)
    result.compare("LitServe ÷ lossmeter, JSON", "LitServe, JSON", "lossmeter, JSON")
    below = ("ASGI echo, JSON", "simdjson + torch + orjson in process")
    result.compare("lossmeter, JSON ÷ floor (echo + simdjson + torch + orjson)", "lossmeter, JSON", below, 1.15, "≤")
    for form in ("safetensors", "Open Inference"):
        name = f"lossmeter, {form}"
        result.compare(f"naive FastAPI (JSON) ÷ {name}", "naive FastAPI, JSON", name, 45)
        result.compare(f"{name} ÷ (echo + torch)", name, (f"ASGI echo, {form}", "torch in process"), 1.2, "≤")
    return result


def _size(server: Server, payload: Payload) -> int:
    with server.running() as port, Connection(port) as connection:
        return connection.exchange(payload.prepared).size


def _over_http(server: Server, payload: Payload) -> Step:
    prepared = payload.prepared

    def step() -> tuple[float, float]:
        times: list[float] = []
        begin, before = time.perf_counter(), server.processor_seconds()
        with server.running() as port, pinned(CLIENT_CORE), Connection(port) as connection:
            while len(times) < REPEATS and (not times or time.perf_counter() - begin < PATIENCE_SECONDS):
                answer = connection.exchange(prepared)
                if answer.status != 200:
                    raise RuntimeError(f"{server.subject.name} answered {answer.status}")
                times.append(answer.seconds)
        return median(times), (server.processor_seconds() - before) / len(times)

    return step


def _in_process(work: Callable[[], object]) -> Step:
    def step() -> tuple[float, float]:
        before = time.thread_time()
        with alone(), pinned(SERVER_CORE):
            wall = median(floor.seconds(work) for _ in range(REPEATS))
        return wall, (time.thread_time() - before) / REPEATS

    return step
