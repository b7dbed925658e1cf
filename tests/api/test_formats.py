"""Request and answer formats are chosen independently, by `Content-Type` and `Accept`."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
import safetensors.numpy as oracle

SAFETENSORS = "application/vnd.safetensors"
PREDICTIONS = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
LABELS = np.array([[1.0, 0.0], [0.0, 3.5]], np.float32)
REQUEST = {"reduction": "none", "gradients": ["predictions"]}
AS_JSON = json.dumps({"predictions": PREDICTIONS.tolist(), "labels": LABELS.tolist(), **REQUEST}).encode()
AS_SAFETENSORS = oracle.save({"predictions": PREDICTIONS, "labels": LABELS}, {"request": json.dumps(REQUEST)})


def post(http: httpx.Client, body: bytes, content_type: str | None, accept: str | None) -> httpx.Response:
    request = http.build_request("POST", "/v1/losses/mse", content=body)
    for name, value in (("content-type", content_type), ("accept", accept)):
        request.headers.pop(name, None)
        if value is not None:
            request.headers[name] = value
    return http.send(request)


def gradient(response: httpx.Response) -> list[float]:
    if response.headers["content-type"] == SAFETENSORS:
        return oracle.load(response.content)["gradients.predictions"].ravel().tolist()
    return response.json()["gradients"]["predictions"]["data"]


@pytest.mark.parametrize(("body", "content_type"), [(AS_JSON, "application/json"), (AS_SAFETENSORS, SAFETENSORS)])
@pytest.mark.parametrize("accept", ["application/json", SAFETENSORS])
def test_every_pair_of_formats_gives_the_same_bits(
    http: httpx.Client, body: bytes, content_type: str, accept: str
) -> None:
    response = post(http, body, content_type, accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == accept
    assert gradient(response) == (2 * (PREDICTIONS - LABELS)).ravel().tolist()


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
def test_the_most_specific_range_of_accept_decides(http: httpx.Client, accept: str | None, expected: str) -> None:
    response = post(http, AS_JSON, None, accept)
    assert (response.status_code, response.headers["content-type"]) == (200, expected)


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", ""])
def test_what_cannot_be_produced_is_refused(http: httpx.Client, accept: str) -> None:
    response = post(http, AS_JSON, None, accept)
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "application/json; charset=utf-16"])
def test_a_format_that_is_not_spoken_is_refused(http: httpx.Client, content_type: str) -> None:
    response = post(http, AS_JSON, content_type, None)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_format")


def test_a_body_in_another_format_than_claimed_is_malformed(http: httpx.Client) -> None:
    for body, claimed in ((AS_JSON, SAFETENSORS), (AS_SAFETENSORS, "application/json")):
        response = post(http, body, claimed, None)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


def test_non_finite_numbers_pass_bit_for_bit(http: httpx.Client) -> None:
    body = oracle.save(
        {"predictions": np.array([np.inf, np.nan, 1], np.float32), "labels": np.zeros(3, np.float32)},
        {"request": json.dumps({"reduction": "none", "non_finite": "allow"})},
    )
    response = post(http, body, SAFETENSORS, SAFETENSORS)
    assert np.array_equal(oracle.load(response.content)["values"], [np.inf, np.nan, 1], equal_nan=True)
    length = int.from_bytes(response.content[:8], "little")
    remainder = json.loads(json.loads(response.content[8 : 8 + length])["__metadata__"]["response"])
    assert remainder["sum"] is None
    assert [(w["pointer"], w["index"], w["value"]) for w in remainder["warnings"]] == [
        ("/sum", None, "NaN"),
        ("/values", [0], "Infinity"),
        ("/values", [1], "NaN"),
    ]
