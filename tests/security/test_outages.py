"""Whoever has a key is let in, and the service says how it is, whatever its database and its reports are doing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from lossmeter.api.routes import runs
from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.scheduling.report_threads import THREADS
from tests.support.postgres import Postgres
from tests.support.runs import SMALL, numbers
from tests.support.service import serving

MSE = {"predictions": [1.0], "labels": [0.0]}


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL that may be stopped."""
    with Postgres() as found:
        yield found


def made(database: Database) -> dict[str, str]:
    """The header of a new key that may do everything."""
    key, token = issue("all", ["admin"])
    SqlKeys(database).add(key)
    return {"authorization": f"Bearer {token}"}


def test_keys_known_and_new_do_not_wait_for_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = threading.Semaphore(0), threading.Event()

    encode = runs._encode_report

    def last(*arguments: Any) -> Any:
        begun.release()
        assert over.wait(60)
        return encode(*arguments)

    monkeypatch.setattr(runs, "_encode_report", last)
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    database = Database(url)
    known = made(database)
    with (
        serving(store_url=url, auth="required", key_cache_seconds=0.01) as base,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        path = httpx.post(base + "/v1/runs", json=SMALL, headers=known).headers["location"]
        reports = [threads.submit(httpx.get, base + path, headers=known, timeout=60) for _ in range(THREADS)]
        for _ in reports:
            assert begun.acquire(timeout=20)
        try:
            for headers in (known, made(database)):
                for address in ("/healthz", "/readyz", "/metrics"):
                    assert httpx.get(base + address, headers=headers, timeout=10).status_code == 200
                time.sleep(0.02)
                assert httpx.post(base + "/v1/losses/mse", json=MSE, headers=headers, timeout=10).status_code == 200
        finally:
            over.set()
        assert [report.result().status_code for report in reports] == [200] * THREADS
    database.close()


def test_keys_do_not_wait_for_a_database_that_stands_still(server: Postgres) -> None:
    database = Database(server.url)
    database.upgrade()
    known = made(database)
    unknown = {"authorization": f"Bearer {issue('nobody', [])[1]}"}
    with (
        serving(store_url=server.url, auth="required", key_cache_seconds=0.01, store_timeout_seconds=60.0) as base,
        ThreadPoolExecutor(8) as threads,
        httpx.Client(base_url=base, headers=known, timeout=5) as http,
    ):
        path = http.post("/v1/runs", json=SMALL).headers["location"]
        server.signal(signal.SIGSTOP)
        try:
            waiting = [threads.submit(_put, base + path, known, number) for number in range(8)]
            for _ in range(3):
                time.sleep(0.05)
                for address in ("/healthz", "/readyz", "/metrics"):
                    assert http.get(address).status_code == 200
                assert http.post("/v1/losses/mse", json=MSE).status_code == 200
            refused = http.post("/v1/losses/mse", json=MSE, headers=unknown)
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        finally:
            server.signal(signal.SIGCONT)
        assert {one.result().status_code for one in waiting} <= {200, 201, 503}
        assert http.post("/v1/losses/mse", json=MSE).status_code == 200
        for _ in range(200):  # until the keys have been read
            refused = http.post("/v1/losses/mse", json=MSE, headers=unknown)
            if refused.status_code == 401:
                break
            time.sleep(0.05)
        assert refused.status_code == 401
    database.close()


def _put(path: str, headers: dict[str, str], number: int) -> httpx.Response:
    return httpx.put(f"{path}/batches/{number}", json=numbers(1.0), headers=headers, timeout=60)
