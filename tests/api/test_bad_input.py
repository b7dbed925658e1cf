"""Whatever is wrong with a request, the answer says what, where and what was expected, and the next request works."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.service import answer_of, connected, serving

GOOD = {"predictions": [[2.0, -1.0, 0.3]], "labels": [0]}
CE = "/v1/losses/cross_entropy"
JSON = {"Content-Type": "application/json"}

MALFORMED = {
    "cut short": (b'{"predictions": [1', "JSON"),
    "not JSON": (b"predictions=1", "JSON"),
    "NaN": (b'{"predictions": [[1, NaN]], "labels": [0]}', r"predictions\[0, 1\] is NaN"),
    "Infinity": (b'{"predictions": [[1, -Infinity]], "labels": [0]}', r"predictions\[0, 1\] is -Infinity"),
    "not UTF-8": (b'{"predictions": "\xff"}', "UTF-8"),
    "two commas": (b'{"predictions": [1,,2], "labels": [0]}', r"predictions\[1\] is missing"),
}

INVALID: dict[str, tuple[str, bytes | dict[str, Any], str, str, list[int] | None]] = {
    "not an object": (CE, b"[1, 2]", "", "not an object", None),
    "ragged": (CE, b'{"predictions": [[1,2],[3]], "labels": [0]}', "/predictions", "expected 2", [1]),
    "ragged, same total": (
        CE,
        b'{"predictions": [[1,2],[3],[4,5,6]], "labels": [0]}',
        "/predictions",
        "expected 2",
        [1],
    ),
    "mixed depth": (
        CE,
        b'{"predictions": [[1,[2]],[3,4]], "labels": [0]}',
        "/predictions",
        "expected a number",
        [0, 1],
    ),
    "string": (CE, b'{"predictions": [[1,"2"]], "labels": [0]}', "/predictions", 'is "2"; expected a number', [0, 1]),
    "null": (CE, b'{"predictions": [[1,null]], "labels": [0]}', "/predictions", "is null; expected a number", [0, 1]),
    "object": (CE, b'{"predictions": [[1,{}]], "labels": [0]}', "/predictions", "expected a number", [0, 1]),
    "1e400": (CE, b'{"predictions": [[1,1e400]], "labels": [0]}', "/predictions", "1e400; expected a number", [0, 1]),
    "1e39": (CE, b'{"predictions": [[1,1e39]], "labels": [0]}', "/predictions", "1e[+]?39; expected a finite", [0, 1]),
    "2 ** 70": (CE, b'{"predictions": [[1,1180591620717411303424]], "labels": [0]}', "/predictions", "64 bits", [0, 1]),
    "a scalar beyond FP64": (
        CE,
        b'{"predictions": [[1]], "labels": [0], "label_smoothing": 1e999}',
        "",
        "the body holds 1e999; expected a number within the range of FP64",
        None,
    ),
    "deep": (CE, b'{"predictions":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "", "nested deeper than", None),
    "twice": (CE, b'{"predictions": [[1,2]], "predictions": [[1,2]]}', "/predictions", "appears twice", None),
    "missing": (CE, {"labels": [0]}, "/predictions", "predictions is missing", None),
    "unknown field": (CE, GOOD | {"lables": [0]}, "/lables", "lables is not a field; expected one of", None),
    "wrong shape": (CE, GOOD | {"labels": [0, 1]}, "/labels", r"labels has shape \[2\]; expected \[1\]", None),
    "broadcast": (
        "/v1/losses/mse",
        {"predictions": [[1.0, 2.0]], "labels": [[1.0]]},
        "/labels",
        r"labels has shape \[1, 1\]; expected \[1, 2\]",
        None,
    ),
    "class index": (
        CE,
        GOOD | {"labels": [3]},
        "/labels",
        r"labels\[0\] is 3; expected class indices in \[0, 2\]",
        [0],
    ),
    "negative index": (CE, GOOD | {"labels": [-1]}, "/labels", r"labels\[0\] is -1; expected", [0]),
    "fraction as index": (CE, GOOD | {"labels": [0.5]}, "/labels", r"labels\[0\] is 0.5; expected an integer", [0]),
    "booleans as numbers": (CE, GOOD | {"predictions": [[True, False]]}, "/predictions", "expected numbers", None),
    "floats as datatype": (
        CE,
        GOOD | {"labels": {"datatype": "FP32", "shape": [1], "data": [0]}},
        "/labels",
        "labels has datatype FP32; expected an integer datatype",
        None,
    ),
    "integers as predictions": (
        CE,
        GOOD | {"predictions": {"datatype": "INT32", "shape": [1, 3], "data": [1, 2, 3]}},
        "/predictions",
        "predictions has datatype INT32; expected a floating datatype",
        None,
    ),
    "unknown datatype": (
        CE,
        GOOD | {"labels": {"datatype": "INT128", "shape": [1], "data": [0]}},
        "/labels",
        'datatype "INT128"; expected one of BOOL',
        None,
    ),
    "does not fit": (
        CE,
        GOOD | {"labels": {"datatype": "INT8", "shape": [1], "data": [300]}},
        "/labels",
        r"labels\[0\] is 300; expected an integer that fits INT8",
        [0],
    ),
    "shape against data": (
        CE,
        GOOD | {"labels": {"datatype": "INT64", "shape": [2], "data": [0]}},
        "/labels",
        "has 1 numbers in data; expected 2",
        None,
    ),
    "base64 too short": (
        CE,
        GOOD | {"labels": {"datatype": "INT64", "shape": [1], "base64": "AAAA"}},
        "/labels",
        "has 3 bytes in base64; expected 8",
        None,
    ),
    "not base64": (
        CE,
        GOOD | {"labels": {"datatype": "INT64", "shape": [1], "base64": "?"}},
        "/labels",
        "is not base64",
        None,
    ),
    "both forms": (
        CE,
        GOOD | {"labels": {"datatype": "INT64", "shape": [0], "base64": "", "data": []}},
        "/labels",
        "either data or base64",
        None,
    ),
    "probability above 1": (
        "/v1/losses/binary_cross_entropy",
        {"predictions": [0.5, 1.5], "labels": [0, 1]},
        "/predictions",
        r"predictions\[1\] is 1.5; expected probabilities in \[0, 1\]",
        [1],
    ),
    "label above 1": (
        "/v1/losses/binary_cross_entropy_with_logits",
        {"predictions": [[0.5, 1.5]], "labels": [[0, 2]]},
        "/labels",
        r"labels\[0, 1\] is 2; expected probabilities in \[0, 1\]",
        [0, 1],
    ),
    "not a sign": (
        "/v1/losses/soft_margin",
        {"predictions": [0.5, 1.5], "labels": [1, 0]},
        "/labels",
        r"labels\[1\] is 0; expected -1 or 1",
        [1],
    ),
    "negative weight": (CE, GOOD | {"weight": [1, -1, 1]}, "/weight", r"weight\[1\] is -1; expected", [1]),
    "negative sample weight": (
        CE,
        GOOD | {"sample_weight": [-1]},
        "/sample_weight",
        r"sample_weight\[0\] is -1; expected weights of at least 0",
        [0],
    ),
    "sample weight of wrong shape": (
        CE,
        GOOD | {"sample_weight": [1, 1]},
        "/sample_weight",
        r"sample_weight has shape \[2\]; expected \[1\]",
        None,
    ),
    "mask of numbers": (CE, GOOD | {"mask": [2]}, "/mask", r"mask\[0\] is 2; expected true or false, or 1 or 0", [0]),
    "parameter out of bounds": (CE, GOOD | {"label_smoothing": 1.5}, "/label_smoothing", "at most 1", None),
    "parameter of wrong type": (CE, GOOD | {"label_smoothing": "0.1"}, "/label_smoothing", "expected a number", None),
    "unknown reduction": (CE, GOOD | {"reduction": "average"}, "/reduction", "'mean', 'sum' or 'none'", None),
    "unknown gradient": (CE, GOOD | {"gradients": ["logits"]}, "/gradients/0", "is 'logits'; expected", None),
    "gradient of indices": (CE, GOOD | {"gradients": ["labels"]}, "/gradients", "there is no gradient", None),
    "gradient of nothing": (CE, GOOD | {"gradients": ["weight"]}, "/gradients", "does not give", None),
    "upstream of wrong shape": (CE, GOOD | {"upstream": [1.0]}, "/upstream", r"shape \[1\]; expected \[\]", None),
    "normalizer of zero": (CE, GOOD | {"normalizer": 0}, "/normalizer", "greater than 0", None),
    "nothing counts": (CE, GOOD | {"labels": [-100], "empty": "error"}, "", "nothing counts", None),
    "too many dimensions": (
        "/v1/losses/mse",
        {"predictions": json.loads("[" * 20 + "1" + "]" * 20), "labels": json.loads("[" * 20 + "1" + "]" * 20)},
        "/predictions",
        "20 dimensions",
        None,
    ),
}


def works(http: httpx.Client) -> None:
    answer = http.post(CE, json=GOOD)
    assert answer.status_code == 200
    assert answer.json()["count"] == 1


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("padding", [0, 300_000], ids=["small", "large"])
def test_malformed_bodies_are_400(http: httpx.Client, name: str, padding: int) -> None:
    body, message = MALFORMED[name]
    problem = assert_problem(http.post(CE, content=b" " * padding + body, headers=JSON), 400)
    assert re.search(message, problem["detail"])
    works(http)


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("padding", [0, 300_000], ids=["small", "large"])
def test_invalid_requests_are_422_and_name_the_place(http: httpx.Client, name: str, padding: int) -> None:
    path, body, pointer, message, index = INVALID[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = http.post(path, content=b" " * padding + content, headers=JSON)
    problem = assert_problem(answer, 422)
    assert problem["errors"][0]["pointer"] == pointer
    assert re.search(message, problem["errors"][0]["message"])
    assert problem["errors"][0]["index"] == index
    assert problem["errors"][0]["message"] in problem["detail"]
    works(http)


def test_an_empty_body_is_400(http: httpx.Client) -> None:
    assert "empty" in assert_problem(http.post(CE, content=b"", headers=JSON), 400)["detail"]
    works(http)


def test_all_flaws_are_reported_at_once(http: httpx.Client) -> None:
    problem = assert_problem(http.post(CE, json=GOOD | {"label_smoothing": 2, "reduction": "x", "typo": 1}), 422)
    assert [flaw["pointer"] for flaw in problem["errors"]] == ["/label_smoothing", "/reduction", "/typo"]


def test_other_content_types_are_415(http: httpx.Client) -> None:
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-16"):
        problem = assert_problem(http.post(CE, content=b"{}", headers={"Content-Type": content_type}), 415)
        assert content_type in problem["detail"]
    works(http)


def test_a_json_type_with_charset_is_accepted(http: httpx.Client) -> None:
    for content_type in ("application/json; charset=UTF-8", "application/merge-patch+json", "Application/JSON"):
        answer = http.post(CE, content=json.dumps(GOOD), headers={"Content-Type": content_type})
        assert answer.status_code == 200


def test_an_answer_that_nobody_accepts_is_406(http: httpx.Client) -> None:
    assert_problem(http.post(CE, json=GOOD, headers={"Accept": "text/html"}), 406)
    assert http.post(CE, json=GOOD, headers={"Accept": "text/html, */*;q=0.1"}).status_code == 200


def test_unknown_losses_are_404_with_the_nearest_name(http: httpx.Client) -> None:
    problem = assert_problem(http.post("/v1/losses/cross_entropi", json=GOOD), 404)
    assert "cross_entropy" in problem["detail"]
    assert_problem(http.get("/v1/losses/cross_entropi"), 404)
    assert_problem(http.get("/nowhere"), 404)


def test_other_methods_are_405(http: httpx.Client) -> None:
    problem = assert_problem(http.delete(CE), 405)
    assert problem["code"] == "method_not_allowed"
    assert "expected GET or HEAD or POST" in problem["detail"]


def test_a_parameter_that_the_precision_cannot_hold_is_named(http: httpx.Client) -> None:
    request = {"predictions": [0.5], "labels": [1.0], "margin": -1e226}
    problem = assert_problem(http.post("/v1/losses/hinge_embedding", json=request), 422)
    expected = "margin is -1e+226; expected a number of at most 3.40282e+38 either way, that of float32"
    assert problem["errors"] == [{"pointer": "/margin", "message": expected, "index": None}]
    assert http.post("/v1/losses/hinge_embedding", json={**request, "precision": "float64"}).status_code == 200


@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
def test_a_gradient_beyond_the_precision_is_infinite(http: httpx.Client, reduction: str) -> None:
    request = {
        "predictions": [[-1.0, -0.5]],
        "labels": [[0.5, 0.5]],
        "gradients": ["predictions"],
        "normalizer": 1e-186,
    }
    answer = http.post("/v1/losses/kl_div", json={**request, "reduction": reduction}).json()
    assert answer["gradients"]["predictions"]["data"] == [None, None]
    found = {warning["pointer"]: warning["value"] for warning in answer["warnings"]}
    assert found["/gradients/predictions"] == "-Infinity"
    precise = {**request, "reduction": reduction, "precision": "float64"}
    assert http.post("/v1/losses/kl_div", json=precise).json()["gradients"]["predictions"]["data"][0] < -1e185


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", CE, "GET, HEAD, POST"),
        ("PUT", "/v1/runs", "GET, HEAD, POST"),
        ("POST", "/v1/runs/01a2044b-5f23-71cc-b0c4-65bcf97893af", "GET, HEAD, PATCH, DELETE"),
        ("GET", "/v1/runs/a/batches/b", "PUT"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/static/console/style.css", "GET, HEAD"),
    ],
)
def test_a_405_names_all_methods_of_the_address(http: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_limits_on_bytes_and_elements_are_413() -> None:
    with serving(max_body_bytes=1000, max_elements=10) as url, httpx.Client(base_url=url) as http:
        problem = assert_problem(http.post(CE, content=b" " * 1001, headers=JSON), 413)
        assert "1000 bytes" in problem["detail"]
        problem = assert_problem(http.post(CE, json={"predictions": [[0.0] * 10], "labels": [0]}), 413)
        assert "11 elements" in problem["detail"]

        def endless() -> Any:
            for _ in range(100):
                yield b" " * 100

        problem = assert_problem(http.post(CE, content=endless(), headers=JSON), 413)
        works(http)


def test_a_chunked_body_without_length_is_read(http: httpx.Client) -> None:
    def pieces() -> Any:
        text = json.dumps(GOOD).encode()
        for i in range(0, len(text), 7):
            yield text[i : i + 7]

    assert http.post(CE, content=pieces(), headers=JSON).json()["count"] == 1


def test_a_client_that_hangs_up_in_the_middle_harms_nobody(url: str, http: httpx.Client) -> None:
    for sent in (b"", b'{"predictions":'):
        with connected(url) as connection:
            head = b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n"
            connection.sendall(head + sent)
    works(http)


def test_a_lying_content_length_is_refused(url: str, http: httpx.Client) -> None:
    with connected(url) as connection:
        connection.sendall(b"POST /v1/losses/mse HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n{}")
        assert answer_of(connection).startswith(b"HTTP/1.1 400")
    works(http)


def test_request_ids_are_the_clients_if_they_are_clean(http: httpx.Client) -> None:
    assert http.get("/healthz", headers={"X-Request-ID": "abc-123"}).headers["x-request-id"] == "abc-123"
    ugly = http.get("/healthz", headers={"X-Request-ID": "a b" + "x" * 200}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", ugly)
    assert http.get("/nowhere", headers={"X-Request-ID": "me"}).json()["request_id"] == "me"


def test_every_answer_says_how_long_it_took(http: httpx.Client) -> None:
    for answer in (http.get("/healthz"), http.post(CE, json=GOOD), http.post(CE, json={}), http.get("/nowhere")):
        assert re.fullmatch(
            r"decode;dur=[\d.]+, compute;dur=[\d.]+, encode;dur=[\d.]+", answer.headers["server-timing"]
        )


@pytest.mark.parametrize(
    ("loss", "shapes", "message"),
    [
        (
            "huber",
            {"predictions": (4, 5), "labels": (4, 3)},
            "labels has shape [4, 3]; expected [4, 5], the shape of predictions",
        ),
        (
            "triplet_margin",
            {"anchor": (2, 3), "positive": (2, 3), "negative": (2, 4)},
            "negative has shape [2, 4]; expected [2, 3], the shape of anchor",
        ),
        ("cross_entropy", {"predictions": (2, 3), "labels": (4,)}, "labels has shape [4]; expected [2], (N, …d)"),
    ],
)
def test_a_shape_is_refused_with_the_one_that_would_do(
    http: httpx.Client, loss: str, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    answer = http.post(
        f"/v1/losses/{loss}", json={name: np.zeros(shape, int).tolist() for name, shape in shapes.items()}
    )
    assert answer.status_code == 422
    assert [flaw["message"] for flaw in answer.json()["errors"]] == [message]


@pytest.mark.parametrize("path", ["/healthz", "/v1/losses", "/v1/runs", "/", "/v1/losses/none", "/v2/models/mse"])
def test_head_is_answered_as_get_without_the_body(http: httpx.Client, path: str) -> None:
    found, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (found.status_code, b"")
    assert head.headers["content-type"] == found.headers["content-type"]
    assert head.headers["content-length"] == found.headers["content-length"]
    assert http.head("/v1/evaluate").headers["allow"] == "POST"


ODD_AND_EVEN = ([0.5, float("nan")], [0.5, 1.0])


def test_nan_among_probabilities_is_refused_where_other_numbers_that_are_not_finite_are_allowed(
    http: httpx.Client,
) -> None:
    for size in (1, 20_000):
        odd, even = (b64encode(np.tile(np.array(pair, np.float32), size).tobytes()).decode() for pair in ODD_AND_EVEN)
        for role, other in (("predictions", "labels"), ("labels", "predictions")):
            tensors = {
                name: {"datatype": "FP32", "shape": [2 * size], "base64": text}
                for name, text in ((role, odd), (other, even))
            }
            request = {**tensors, "non_finite": "allow", "gradients": ["predictions"]}
            answer = http.post("/v1/losses/binary_cross_entropy", json=request)
            (flaw,) = answer.json()["errors"]
            assert (answer.status_code, flaw["pointer"], flaw["index"]) == (422, f"/{role}", [1])
