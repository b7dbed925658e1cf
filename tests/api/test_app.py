"""An application stands alone, and closes what it opened."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from lossmeter.api.app import create_app
from lossmeter.database import Database
from lossmeter.settings import Settings

PLAN = {"task": "regression", "predictions_are": "values"}


def app_in(folder: Path, name: str) -> FastAPI:
    return create_app(Settings(device="cpu", store_url=f"sqlite:///{folder}/{name}.sqlite"))


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lossmeter")


def test_applications_in_one_process_share_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = app_in(tmp_path, "first"), app_in(tmp_path, "second")
        async with first.router.lifespan_context(first), client_of(first) as http:
            async with second.router.lifespan_context(second), client_of(second) as other:
                assert (await other.post("/v1/runs", json=PLAN)).status_code == 201
            opened = await http.post("/v1/runs", json=PLAN)
            assert opened.status_code == 201, opened.text
            batch = {"predictions": [1.0], "labels": [2.0]}
            added = await http.put(f"{opened.headers['location']}/batches/b", json=batch)
            assert added.status_code == 201, added.text
            assert [run["id"] for run in (await http.get("/v1/runs")).json()["runs"]] == [opened.json()["id"]]

    anyio.run(main)


def test_what_an_application_opened_is_closed_even_if_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Database] = []
    monkeypatch.setattr(Database, "close", lambda database: closed.append(database))

    async def main() -> None:
        app = app_in(tmp_path, "one")
        async with app.router.lifespan_context(app):
            assert not closed
            raise RuntimeError("while it serves")

    with pytest.raises(RuntimeError, match="while it serves"):
        anyio.run(main)
    assert len(closed) == 1
