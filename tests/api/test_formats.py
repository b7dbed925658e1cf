"""Request and answer formats are chosen independently, by `Content-Type` and `Accept`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
import safetensors.numpy as oracle

from lossmeter.api.app import create_app
from lossmeter.settings import Settings

SAFETENSORS = "application/vnd.safetensors"
PREDICTIONS = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
LABELS = np.array([[1.0, 0.0], [0.0, 3.5]], np.float32)
REQUEST = {"reduction": "none", "gradients": ["predictions"]}
AS_JSON = json.dumps({"predictions": PREDICTIONS.tolist(), "labels": LABELS.tolist(), **REQUEST}).encode()
AS_SAFETENSORS = oracle.save({"predictions": PREDICTIONS, "labels": LABELS}, {"request": json.dumps(REQUEST)})


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(device="cpu", threads=1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as opened,
    ):
        yield opened


async def post(body: bytes, content_type: str | None, accept: str | None) -> httpx.Response:
    headers = {"content-type": content_type, "accept": accept}
    async with client() as opened:
        del opened.headers["accept"]
        given = {name: value for name, value in headers.items() if value is not None}
        return await opened.post("/v1/losses/mse", content=body, headers=given)


def gradient(response: httpx.Response) -> list[float]:
    if response.headers["content-type"] == SAFETENSORS:
        return oracle.load(response.content)["gradients.predictions"].ravel().tolist()
    return response.json()["gradients"]["predictions"]["data"]


@pytest.mark.anyio
@pytest.mark.parametrize(("body", "content_type"), [(AS_JSON, "application/json"), (AS_SAFETENSORS, SAFETENSORS)])
@pytest.mark.parametrize("accept", ["application/json", SAFETENSORS])
async def test_every_pair_of_formats_gives_the_same_bits(body: bytes, content_type: str, accept: str) -> None:
    response = await post(body, content_type, accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == accept
    assert gradient(response) == (2 * (PREDICTIONS - LABELS)).ravel().tolist()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        (f"application/json;q=0.5, {SAFETENSORS}", SAFETENSORS),
        (f"{SAFETENSORS};q=0.5, application/json", "application/json"),
        (f"*/*, {SAFETENSORS};q=0.1", "application/json"),
        ("*/*, application/json;q=0", SAFETENSORS),
        ("Application/VND.safetensors", SAFETENSORS),
    ],
)
async def test_the_most_specific_range_of_accept_decides(accept: str | None, expected: str) -> None:
    response = await post(AS_JSON, None, accept)
    assert (response.status_code, response.headers["content-type"]) == (200, expected)


@pytest.mark.anyio
@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", ""])
async def test_what_cannot_be_produced_is_refused(accept: str) -> None:
    response = await post(AS_JSON, None, accept)
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.anyio
@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "application/json; charset=utf-16"])
async def test_a_format_that_is_not_spoken_is_refused(content_type: str) -> None:
    response = await post(AS_JSON, content_type, None)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_format")


@pytest.mark.anyio
async def test_a_body_in_another_format_than_claimed_is_malformed() -> None:
    for body, claimed in ((AS_JSON, SAFETENSORS), (AS_SAFETENSORS, "application/json")):
        response = await post(body, claimed, None)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


@pytest.mark.anyio
async def test_non_finite_numbers_pass_bit_for_bit() -> None:
    body = oracle.save(
        {"predictions": np.array([np.inf, np.nan, 1], np.float32), "labels": np.zeros(3, np.float32)},
        {"request": json.dumps({"reduction": "none", "non_finite": "allow"})},
    )
    response = await post(body, SAFETENSORS, SAFETENSORS)
    assert np.array_equal(oracle.load(response.content)["values"], [np.inf, np.nan, 1], equal_nan=True)
    length = int.from_bytes(response.content[:8], "little")
    remainder = json.loads(json.loads(response.content[8 : 8 + length])["__metadata__"]["response"])
    assert remainder["sum"] is None
    assert [(w["pointer"], w["index"], w["value"]) for w in remainder["warnings"]] == [
        ("/values", [0], "Infinity"),
        ("/values", [1], "NaN"),
    ]
