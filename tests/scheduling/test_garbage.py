"""No request leaves anything that only the collector of garbage could find: it looks rarely (`scheduling/garbage.py`)."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Scope

from lossmeter.api.app import create_app
from lossmeter.settings import Settings

EACH = 20
ROWS = {"predictions": [[1.0, 0.5, -1.0], [0.2, 0.1, 0.4]], "labels": [0, 2]}
LARGE = {"predictions": [[0.5] * 1000] * 100, "labels": [1] * 100, "gradients": ["predictions"]}
"""For the pool."""
PLAN = {"task": "multiclass", "predictions_are": "logits"}
EVALUATION = {**PLAN, **ROWS, "metrics": [{"metric": "accuracy"}], "replicates": 20}
INFERENCE = {
    "inputs": [
        {"name": name, "datatype": "FP32", "shape": [2], "data": [1.0, 2.0]} for name in ("predictions", "labels")
    ]
}


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        (200, "/v1/losses/cross_entropy", {**ROWS, "gradients": ["predictions"]}),
        (200, "/v1/losses/cross_entropy", LARGE),
        (200, "/v1/evaluate", EVALUATION),
        (200, "/v2/models/mse/infer", INFERENCE),
        (201, "/v1/runs", PLAN),
        (400, "/v1/losses/mse", '{"predictions": ['),
        (400, "/v1/losses/mse", '{"predictions": [' + "1.5," * 300_000),
        (422, "/v1/losses/mse", '{"predictions": [1e999' + ",1.5" * 300_000 + "]}"),
        (404, "/v1/losses/none", ROWS),
        (405, "/healthz", {}),
        (422, "/v1/losses/cross_entropy", {**ROWS, "labels": [0, 3]}),
        (422, "/v1/losses/cross_entropy", {**LARGE, "labels": [-1] * 100}),
        (422, "/v1/losses/cross_entropy", {**ROWS, "reduction": "most"}),
        (422, "/v1/evaluate", {**EVALUATION, "labels": [0, 3]}),
        (422, "/v2/models/mse/infer", {}),
    ],
)
def test_a_request_leaves_no_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, path: str, body: Any
) -> None:
    monkeypatch.setattr("lossmeter.api.express.LEARN_SECONDS", 0)  # each may be of a kind that is learned
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    app = create_app(Settings(device="cpu", store_url=f"sqlite:///{tmp_path}/runs.sqlite"))

    async def some() -> set[int]:
        return {await posted(app, path, content) for _ in range(EACH)}

    async def left() -> int:
        assert await some() == {status}
        gc.collect()
        gc.disable()
        try:
            await some()
            return gc.collect()
        finally:
            gc.enable()

    async def least() -> int:
        # Other threads of the tests may leave something meanwhile.
        async with app.router.lifespan_context(app):
            count = await left()
            for _ in range(2):
                count = count if count < EACH else await left()
            return count

    assert asyncio.run(least()) < EACH


async def posted(app: ASGIApp, path: str, content: bytes) -> int:
    """The status of the answer."""
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]
