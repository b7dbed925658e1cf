"""How long a health probe waits while large bodies are posted without pause."""

from __future__ import annotations

import time

from tests.benchmarks.flood import Flood
from tests.benchmarks.load import Connection, request
from tests.benchmarks.payloads import as_json, classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, ECHO, LITSERVE_APP, NAIVE, SERVICE, Server, pinned, present, started

SHAPE = (1024, 1000)
CLIENTS = 4
INTERVAL_SECONDS = 0.02
ROUNDS = 3


def measure(quick: bool) -> Result:
    payload = as_json("cross_entropy", classification(*SHAPE))
    size = len(payload.body) / 1e6
    result = Result("health", f"GET /healthz while {CLIENTS} clients post {size:.0f} MB JSON bodies without pause, p99")
    with started(present([SERVICE, NAIVE, LITSERVE_APP, ECHO])) as servers:
        for _ in range(1 if quick else ROUNDS):
            for server in servers:
                _round(server, payload.prepared, 4.0 if quick else 20.0, result)
    result.bound(f"{SERVICE.name}, p99", "ms", 100)
    result.notes.append(
        f"A probe is due every {INTERVAL_SECONDS * 1e3:.0f} ms, and waits from when it was due. The echo shows what the "
        "clients themselves add on their core."
    )
    return result


def _round(server: Server, prepared: bytes, seconds: float, result: Result) -> None:
    name = server.subject.name
    with server.running() as port:
        with pinned(CLIENT_CORE):
            flood = Flood(port, prepared, CLIENTS)
        begin = time.perf_counter()
        with flood:
            time.sleep(1.0)
            waits = _probe(port, server.subject.health, seconds)
        posts = flood.statuses["200"] / (time.perf_counter() - begin)
    result.add(f"{name}, p99", "ms", _quantile(waits, 0.99) * 1e3)
    result.add(f"{name}, median", "ms", _quantile(waits, 0.5) * 1e3)
    result.add(f"{name}, posts answered", "1/s", posts)
    others = {status: count for status, count in flood.statuses.items() if status != "200"}
    if others:
        result.notes.append(f"{name}: other answers to the posts: {others}.")


def _probe(port: int, path: str, seconds: float) -> list[float]:
    """Waits of all probes that were due, from when they were due: a stall delays the probes behind it too.

    Those that were not sent by the end have waited at least until then, and count with that.
    """
    prepared = request("GET", path)
    waits: list[float] = []
    with pinned(CLIENT_CORE), Connection(port) as connection:
        begin = time.perf_counter()
        dues = [begin + number * INTERVAL_SECONDS for number in range(round(seconds / INTERVAL_SECONDS))]
        for due in dues:
            if time.perf_counter() > begin + seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            if connection.exchange(prepared).status != 200:
                raise RuntimeError(f"{path} did not answer 200")
            waits.append(time.perf_counter() - due)
        end = time.perf_counter()
        return waits + [end - due for due in dues[len(waits) :]]


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
