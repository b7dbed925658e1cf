"""Compressed requests are understood on all routes that carry tensors; answers are compressed where that is asked for."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy as oracle

from lossmeter.wire.compression import EXPANDERS, compress, expand
from tests.support.service import serving

MSE = "/v1/losses/mse"
VALUES = np.linspace(0, 1, 3000)
REQUEST = json.dumps({"predictions": VALUES.tolist(), "labels": [0.5] * 3000, "gradients": ["predictions"]}).encode()
SMALL = b'{"predictions": [1, 2], "labels": [3, 3], "gradients": ["predictions"]}'


def ask(http: httpx.Client, path: str, content: bytes, method: str = "POST", **headers: str) -> httpx.Response:
    """The answer, with its content as it came over the wire."""
    request = http.build_request(method, path, content=content)
    request.headers.pop("accept-encoding")
    request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    answer = http.send(request, stream=True)
    answer._content = b"".join(answer.iter_raw())
    return answer


def squeezed(body: bytes, *codings: str) -> bytes:
    for coding in codings:
        pieces = compress([body], coding)
        assert pieces is not None
        body = b"".join(pieces)
    return body


@pytest.mark.parametrize("coding", EXPANDERS)
@pytest.mark.parametrize("path", [MSE, "/v1/losses/l1", "/v1/evaluate"])
def test_compressed_requests_are_understood(http: httpx.Client, path: str, coding: str) -> None:
    task = {"task": "regression", "predictions_are": "values"} if path == "/v1/evaluate" else {}
    body = json.dumps({**task, "predictions": [1.0] * 500, "labels": [3.0] * 500}).encode()
    plain = ask(http, path, body)
    answer = ask(http, path, squeezed(body, coding), content_encoding=coding.upper())
    assert (plain.status_code, answer.status_code) == (200, 200)
    assert answer.content == plain.content


def test_batches_of_runs_may_be_compressed(http: httpx.Client) -> None:
    opened = json.dumps({"task": "regression", "predictions_are": "values"}).encode()
    run = ask(http, "/v1/runs", gzip.compress(opened), content_encoding="gzip").json()["id"]
    body = json.dumps({"predictions": [1.0] * 500, "labels": [3.0] * 500}).encode()
    path = f"/v1/runs/{run}/batches/1"
    assert ask(http, path, squeezed(body, "gzip"), "PUT", content_encoding="gzip").status_code == 201
    assert ask(http, path, body, "PUT").status_code == 200
    assert http.get(f"/v1/runs/{run}").json()["samples"] == 500


def test_codings_are_undone_in_the_order_of_the_header(http: httpx.Client) -> None:
    body = gzip.compress(zlib.compress(SMALL))
    assert ask(http, MSE, body, content_encoding="deflate, gzip").status_code == 200
    assert ask(http, MSE, body, content_encoding="deflate, identity, x-gzip").status_code == 200
    assert ask(http, MSE, body, content_encoding="gzip, deflate").status_code == 400


@pytest.mark.parametrize("given", ["br", "gzip, br", "gzip, gzip, gzip, gzip, gzip"])
def test_an_unknown_coding_is_refused(http: httpx.Client, given: str) -> None:
    answer = ask(http, MSE, SMALL, content_encoding=given)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_format")


@pytest.mark.parametrize("coding", EXPANDERS)
def test_a_body_that_is_not_what_its_coding_says_is_malformed(http: httpx.Client, coding: str) -> None:
    for body in (SMALL, b"", squeezed(bytes(99), coding)[:-1]):
        answer = ask(http, MSE, body, content_encoding=coding)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


@pytest.mark.parametrize("coding", EXPANDERS)
def test_the_limit_holds_for_what_comes_out(coding: str) -> None:
    with serving(max_body_bytes=1 << 20) as url, httpx.Client(base_url=url) as http:
        fits = ask(http, MSE, squeezed(SMALL.ljust(1 << 20), coding), content_encoding=coding)
        bomb = ask(http, MSE, squeezed(SMALL.ljust(1 << 26), coding), content_encoding=coding)
        assert fits.status_code == 200
        assert (bomb.status_code, bomb.json()["code"]) == (413, "too_large")
        assert bomb.json()["detail"].startswith("The body, expanded, is larger than 1048576 bytes, the limit")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, zstd;q=0.5", "gzip"),
        ("GZIP;Q=0.1", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("gzip;q=x", None),
        ("", None),
        (None, None),
    ],
)
def test_an_answer_is_compressed_as_the_client_prefers(
    http: httpx.Client, accepted: str | None, coding: str | None
) -> None:
    plain = ask(http, MSE, REQUEST)
    answer = ask(http, MSE, REQUEST, **({} if accepted is None else {"accept_encoding": accepted}))
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "accept, accept-encoding"
    assert int(answer.headers["content-length"]) == len(answer.content)
    if coding is not None:
        assert len(answer.content) < len(plain.content) / 2
        answer._content = bytes(expand(bytearray(answer.content), (coding,), 1 << 20, lambda _: None))
    assert answer.content == plain.content


def test_short_answers_and_those_that_hardly_shrink_are_sent_as_they_are(http: httpx.Client) -> None:
    answer = ask(http, MSE, SMALL, accept_encoding="gzip")
    assert "content-encoding" not in answer.headers
    noise = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    request = {"reduction": "none", "gradients": ["predictions"]}
    body = oracle.save({"predictions": noise, "labels": 0 * noise}, {"request": json.dumps(request)})
    media: dict[str, Any] = {"content_type": "application/vnd.safetensors", "accept": "application/vnd.safetensors"}
    answer = ask(http, MSE, body, accept_encoding="gzip", **media)
    assert "content-encoding" not in answer.headers
    assert oracle.load(answer.content)["gradients.predictions"].shape == (9000,)


def test_the_open_inference_protocol_answers_in_codings_that_its_clients_know(http: httpx.Client) -> None:
    inputs = [
        {"name": n, "datatype": "FP32", "shape": [3000], "data": VALUES.tolist()} for n in ("predictions", "labels")
    ]
    body = json.dumps({"inputs": inputs, "outputs": [{"name": "gradient_predictions"}]}).encode()
    for accepted, coding in (("zstd, gzip", "gzip"), ("zstd", None), ("deflate", "deflate")):
        answer = ask(
            http, "/v2/models/mse/infer", squeezed(body, "zstd"), content_encoding="zstd", accept_encoding=accepted
        )
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == coding
