"""Batches of a run over HTTP in safetensors, each acknowledged once it is kept, beside scikit-learn."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable

from tests.benchmarks.cases.evaluation import regression
from tests.benchmarks.load import Connection, request
from tests.benchmarks.payloads import Arrays, batch
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, SERVER_CORE, SERVICE, Server, alone, pinned, started

SIZES = {1_000: 200, 100_000: 20}
"""How many batches of each size."""
ROUNDS = 3
QUICK_SHARE = 10
PLAN = {
    "task": "regression",
    "predictions_are": "values",
    "losses": [],
    "metrics": ["mse", "rmse", "mae", "r2"],
    "replicates": 0,
}


def measure(quick: bool) -> Result:
    result = Result("batches", "Batches of a run over HTTP in safetensors, beside scikit-learn's values in process")
    with (
        tempfile.TemporaryDirectory() as folder,
        started([SERVICE], {"LOSSMETER_STORE_URL": f"sqlite:///{folder}/runs.sqlite"}) as (server,),
    ):
        for size, count in SIZES.items():
            subject = regression(size)
            several = count // QUICK_SHARE if quick else count
            for _ in range(1 if quick else ROUNDS):
                _add(result, f"lossmeter, batches of {size:,}", _sent(server, subject.tensors, several), several)
                _add(result, f"scikit-learn, batches of {size:,}", _in_process(subject.reference, several), several)
    result.notes.append(
        "Four usual metrics without replicates; the store is a file of SQLite, which each batch is committed to."
    )
    return result


def _add(result: Result, name: str, took: tuple[float, float], count: int) -> None:
    result.add(name, "ms", took[0] * 1e3 / count, took[1] * 1e3 / count)


def _sent(server: Server, tensors: Arrays, count: int) -> tuple[float, float]:
    """Seconds by the clock, and of the server's processor time, that so many batches of a new run take."""
    with server.running() as port, pinned(CLIENT_CORE), Connection(port) as connection:
        opened = request("POST", "/v1/runs", json.dumps(PLAN).encode(), [("Content-Type", "application/json")])
        run = json.loads(connection.exchange(opened, keep=True).body)["id"]
        address, body = f"/v1/runs/{run}/batches/", batch(tensors)
        batches = [request("PUT", f"{address}{number}", body.body, body.headers) for number in range(count)]
        before, begin = server.processor_seconds(), time.perf_counter()
        for one in batches:
            answer = connection.exchange(one, keep=True)
            if answer.status != 201:
                raise RuntimeError(f"lossmeter answered {answer.status}: {answer.body[:500]!r}")
        return time.perf_counter() - begin, server.processor_seconds() - before


def _in_process(work: Callable[[], object], count: int) -> tuple[float, float]:
    with alone(), pinned(SERVER_CORE):
        before, begin = time.thread_time(), time.perf_counter()
        for _ in range(count):
            work()
        return time.perf_counter() - begin, time.thread_time() - before
