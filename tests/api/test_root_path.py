"""Behind a proxy that serves under a path of its own, everything is where it is without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from lossmeter.api.app import create_app
from lossmeter.api.raw_routes import FastPath
from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.settings import Settings

BODY = {"predictions": [3.0], "labels": [1.0]}


@asynccontextmanager
async def client(app: FastAPI, root_path: str = "") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://lossmeter" + root_path) as opened,
    ):
        yield opened


def test_losses_answer_under_a_root_path() -> None:
    async def main() -> None:
        async with client(create_app(Settings(device="cpu")), "/api") as http:
            answer = await http.post("/v1/losses/mse", json=BODY)
            assert answer.status_code == 200, answer.text
            assert answer.json()["value"] == 4.0
            assert (await http.get("/v1/losses/mse")).json()["name"] == "mse"
            assert 'src="static/console/main.js"' in (await http.get("/docs")).text

    anyio.run(main)


@pytest.mark.parametrize("root_path", ["", "/", "/v1/k", "/api"])
def test_the_door_asks_for_the_scope_of_the_route_that_answers(tmp_path: Path, root_path: str) -> None:
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    database = Database(url)
    key, token = issue("none", [])
    SqlKeys(database).add(key)
    database.close()

    async def main() -> None:
        app = create_app(Settings(device="cpu", store_url=url, auth="required"))
        transport = httpx.ASGITransport(app, root_path=root_path)
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://lossmeter", headers=headers) as http,
        ):
            before = root_path if root_path == "/api" else ""
            for path, scope in (("/v1/keys", "admin"), ("/v1/runs", "runs:read")):
                answer = await http.get(before + path)
                assert answer.status_code == 403, answer.text
                assert answer.json()["detail"] == f"The key {key.id} does not have the scope {scope}."
            assert (await http.get(before + "/v1/losses")).status_code == 200

    anyio.run(main)


def test_the_ordinary_way_leads_to_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ordinary(self: FastPath, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def main() -> None:
        monkeypatch.setattr(FastPath, "__call__", ordinary)
        app = create_app(Settings(device="cpu"))
        async with client(app) as http:
            answer = await http.post("/v1/losses/mse", json=BODY)
            assert answer.status_code == 200, answer.text
            assert answer.json()["value"] == 4.0
            refused = await http.put("/v1/losses/mse", json=BODY)
            assert refused.status_code == 405
            assert refused.json()["code"] == "method_not_allowed"

    anyio.run(main)
