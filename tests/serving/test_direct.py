"""Both ways to an answer, by the connection itself and by ASGI, give the same bytes and count the same."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy
import torch

from lossmeter.api.direct import DirectWay
from lossmeter.api.express import ExpressWay
from lossmeter.database import Database
from lossmeter.keys import SqlKeys, issue
from lossmeter.losses import find
from lossmeter.telemetry.readiness import Readiness
from tests.support.service import connected, serving

RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(size=(7, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 7)
PLAIN = {"predictions": LOGITS.tolist(), "labels": LABELS.tolist(), "gradients": ["predictions"]}
ROUTE = "/v1/losses/cross_entropy"
BINARY = "application/vnd.safetensors"
FILE = safetensors.numpy.save(
    {"predictions": LOGITS, "labels": LABELS}, {"request": json.dumps({"gradients": ["predictions"]})}
)
INFER = {
    "inputs": [
        {"name": "predictions", "datatype": "FP32", "shape": [7, 5], "data": LOGITS.ravel().tolist()},
        {"name": "labels", "datatype": "INT64", "shape": [7], "data": LABELS.tolist()},
    ],
    "outputs": [{"name": "value"}, {"name": "gradient_predictions"}],
}
LONG = {"predictions": RANDOM.normal(size=2000).round(6).tolist(), "labels": [0.0] * 2000, "gradients": ["predictions"]}

OTHER_WAY = b"Origin: http://localhost\r\n"
"""A header that changes nothing but the way."""


def request(path: str, content: Any, **headers: str) -> bytes:
    """A request that names itself."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = {"Host": "localhost", "X-Request-ID": "mine", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def by_asgi(data: bytes) -> bytes:
    """The same request, on the other way."""
    return data.replace(b"Host: ", OTHER_WAY + b"Host: ", 1)


def exchange(url: str, *pieces: bytes, pause: float = 0.0, answers: int = 1) -> bytes:
    """All that the server says to some bytes."""
    with connected(url) as connection:
        for number, piece in enumerate(pieces):
            time.sleep(pause if number else 0.0)
            connection.sendall(piece)
        return read_answers(connection, answers)


def read_answers(connection: socket.socket, number: int) -> bytes:
    """So many answers, or all until the connection ends."""
    connection.settimeout(20)
    whole = rest = b""
    while number:
        head, separator, content = rest.partition(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head)
        if separator and size and len(content) >= int(size[1]):
            rest, number = content[int(size[1]) :], number - 1
            continue
        if separator and head.endswith(b"100 Continue"):
            rest = content
            continue
        piece = connection.recv(1 << 16)
        if not piece:
            break
        whole, rest = whole + piece, rest + piece
    return whole


def timeless(answer: bytes) -> bytes:
    """An answer without what differs from one time to the next."""
    return re.sub(rb"(date|server-timing): [^\r]*", rb"\1", answer)


class Directly:
    """Counts the requests that the direct way answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = 0
        genuine = DirectWay.answer

        def counted(*arguments: Any) -> bool:
            self.answered += 1  # before the client has its answer
            answered = genuine(*arguments)
            self.answered -= not answered
            return answered

        monkeypatch.setattr(DirectWay, "answer", counted)


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> Directly:
    """Counts from here on, and leaves nothing to the express way, which takes what came often."""
    monkeypatch.setattr(ExpressWay, "take", lambda *_: False)
    return Directly(monkeypatch)


REQUESTS = {
    "json": request(ROUTE, PLAIN),
    "sum": request(ROUTE, {**PLAIN, "reduction": "sum", "label_smoothing": 0.1}),
    "values": request(ROUTE, {**PLAIN, "reduction": "none", "sample_weight": [0.5] * 7}),
    "base64": request(ROUTE, {**PLAIN, "tensor_encoding": "base64"}),
    "an alias": request("/v1/losses/l1", {"predictions": [1.5], "labels": [0.0]}),
    "a query": request(ROUTE + "?x=1", PLAIN),
    "an escaped address": request("/v1/losses/cross%5Fentropy", PLAIN),
    "not finite": request("/v1/losses/mse", {"predictions": [1e30], "labels": [-1e30], "gradients": ["predictions"]}),
    "nothing counts": request(
        "/v1/losses/mse", {"predictions": [1.0], "labels": [1.0], "mask": [False], "empty": "error"}
    ),
    "alone": request("/v1/losses/smooth_l1", {"predictions": [1.5], "labels": [0.0]}),
    "safetensors": request(ROUTE, FILE, Content_Type=BINARY, Accept=BINARY),
    "safetensors to json": request(ROUTE, FILE, Content_Type=BINARY),
    "json to safetensors": request(ROUTE, PLAIN, Accept=BINARY),
    "infer": request("/v2/models/cross_entropy/infer", INFER),
    "infer, binary": request(
        "/v2/models/cross_entropy/versions/1/infer", {**INFER, "parameters": {"binary_data_output": True}}
    ),
    "infer, wrong": request("/v2/models/cross_entropy/infer", {"inputs": []}),
    "infer, wrong header": request("/v2/models/cross_entropy/infer", INFER, Inference_Header_Content_Length="x"),
    "compressed": request("/v1/losses/mse", LONG, Accept_Encoding="gzip"),
    "long": request("/v1/losses/mse", LONG),
    "no content": request(ROUTE, b""),
    "no json": request(ROUTE, b'{"predictions": [1.0,]}'),
    "no object": request(ROUTE, b"[1]"),
    "no number": request(ROUTE, b'{"predictions": [[NaN, 1]], "labels": [0]}'),
    "ragged": request(ROUTE, {"predictions": [[1, 2], [3]], "labels": [0, 1]}),
    "twice": request(ROUTE, b'{"labels": [0], "labels": [0], "predictions": [[1, 2]]}'),
    "out of range": request(ROUTE, {**PLAIN, "labels": [5] * 7}),
    "unknown": request(ROUTE, {**PLAIN, "what": 1}),
    "wrong format": request(ROUTE, PLAIN, Content_Type="text/plain"),
    "wrong answer": request(ROUTE, PLAIN, Accept="text/html"),
    "another id": request(ROUTE, PLAIN, X_Request_ID='w"ö'.encode().decode("latin-1")),
    "close": request(ROUTE, PLAIN, Connection="close"),
    "http 1.0": request(ROUTE, PLAIN).replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_give_the_same_bytes(url: str, directly: Directly, name: str) -> None:
    data = REQUESTS[name]
    direct = exchange(url, data)
    assert directly.answered == 1
    asgi = exchange(url, by_asgi(data))
    assert directly.answered == 1
    if name == "another id":
        direct, asgi = (re.sub(rb"x-request-id: \w{16}\r", b"", answer) for answer in (direct, asgi))
    assert timeless(direct) == timeless(asgi)
    assert b"x-request-id: mine" in direct or name == "another id"


@pytest.mark.parametrize(
    "data",
    [
        request(ROUTE, PLAIN, Expect="100-continue"),
        request(ROUTE, PLAIN, Content_Encoding="identity"),
        request(ROUTE, b"10\r\n", Content_Length="", Transfer_Encoding="chunked")
        + b'{"predictions": '
        + b"\r\n0\r\n\r\n",
        request(ROUTE, {**LONG, "x": "x" * 40_000}),
        request("/v1/evaluate", {}),
        request("/v1/losses/nothing", PLAIN),
    ],
)
def test_what_is_unusual_takes_the_way_of_asgi(url: str, directly: Directly, data: bytes) -> None:
    assert exchange(url, data).startswith(b"HTTP/1.1 ")
    assert directly.answered == 0


def test_requests_that_came_together_are_answered_in_order(url: str, directly: Directly) -> None:
    kinds = [request(ROUTE, PLAIN), by_asgi(request(ROUTE, PLAIN)), request(ROUTE, {}), request("/v1/losses/none", {})]
    data = [kinds[n % 4].replace(b"ID: mine", b"ID: n%d" % n) for n in range(90)]
    answer = exchange(url, b"".join(data), answers=90)
    assert re.findall(rb"x-request-id: (\w+)", answer) == [b"n%d" % n for n in range(90)]
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answer)[:4]] == [200, 200, 422, 404]
    assert directly.answered == 45


@pytest.mark.parametrize("cut", [20, -200, -1])
def test_a_body_may_come_in_pieces(url: str, directly: Directly, cut: int) -> None:
    data = request(ROUTE, PLAIN)
    assert timeless(exchange(url, data[:cut], data[cut:], pause=0.05)) == timeless(exchange(url, data))
    assert directly.answered == 2


def test_a_body_that_takes_long_takes_the_way_of_asgi(url: str, directly: Directly) -> None:
    data = request(ROUTE, PLAIN)
    answer = exchange(url, data[:-1], data[-1:], pause=3.5)
    assert directly.answered == 0
    assert timeless(answer) == timeless(exchange(url, data))


def test_a_bug_ends_one_request(url: str, directly: Directly, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> torch.Tensor:
        raise ZeroDivisionError("secret")

    loss = find("cosine_embedding")
    data = request("/v1/losses/cosine_embedding", {"input1": [[0.5]], "input2": [[1.5]], "labels": [1]})
    genuine = loss.function
    object.__setattr__(loss, "function", broken)
    try:
        direct, asgi = exchange(url, data), exchange(url, by_asgi(data))
    finally:
        object.__setattr__(loss, "function", genuine)
    assert direct.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in direct
    assert timeless(direct) == timeless(asgi)
    assert directly.answered == 1


def test_connections_end_while_the_server_drains(directly: Directly, monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[Readiness] = []
    genuine = Readiness.__init__
    monkeypatch.setattr(Readiness, "__init__", lambda self: (genuine(self), shared.append(self))[0])
    with serving() as url:
        shared[0].draining = True
        data = request(ROUTE, PLAIN)
        direct, asgi = exchange(url, data, answers=2), exchange(url, by_asgi(data), answers=2)
    assert b"\r\nconnection: close\r\n" in direct
    assert timeless(direct) == timeless(asgi)
    assert directly.answered == 1


def test_both_ways_count_and_log_the_same(directly: Directly, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossmeter.access")
    seen = []
    with serving() as url:
        for turn in (bytes, by_asgi):
            caplog.clear()
            before = figures(url)
            for name in ("json", "safetensors", "not finite", "infer", "ragged", "wrong format", "compressed"):
                exchange(url, turn(REQUESTS[name]))
            after = figures(url)
            lines = [plain(vars(record)["fields"]) for record in caplog.records if "POST" in record.getMessage()]
            seen.append(({name: after[name] - before.get(name, 0.0) for name in after}, lines))
    assert directly.answered == 7
    assert seen[0] == seen[1]
    assert len(seen[0][1]) == 7
    good = 'lossmeter_requests_total{loss="cross_entropy",method="POST",route="/v1/losses/{loss}",status="200"}'
    assert seen[0][0][good] == 2


def figures(url: str) -> dict[str, float]:
    """What is counted, without times and without what asking for it counts."""
    lines = httpx.get(url + "/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    told = {name: float(value) for name, value in pairs}
    kept = re.compile(
        r"lossmeter_(requests|elements|errors|warnings|request_bytes|response_bytes|\w+_in_flight|\w+_count)"
    )
    return {name: value for name, value in told.items() if kept.match(name) and "/metrics" not in name}


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line without times."""
    return {name: value for name, value in fields.items() if "milliseconds" not in name}


@pytest.mark.parametrize("kind", ["none", "unknown", "wrong", "scope", "size", "good"])
def test_keys_hold_on_both_ways(guarded: tuple[str, dict[str, str]], directly: Directly, kind: str) -> None:
    url, tokens = guarded
    header = {} if kind == "none" else {"Authorization": f"Bearer {tokens[kind]}"}
    data = request(ROUTE, PLAIN, **header)
    exchange(url, data)  # the first reads the keys
    answered = directly.answered
    direct = exchange(url, data)
    assert directly.answered == answered + 1
    assert timeless(direct) == timeless(exchange(url, by_asgi(data)))
    expected = {"none": 401, "unknown": 401, "wrong": 401, "scope": 403, "size": 413, "good": 200}
    assert direct.startswith(b"HTTP/1.1 %d " % expected[kind])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A server that asks for keys, and some."""
    store_url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/keys.sqlite"
    database = Database(store_url)
    keys = SqlKeys(database)
    keys.all()
    limits: dict[str, tuple[str, dict[str, int]]] = {
        "scope": ("runs:read", {}),
        "size": ("evaluate", {"max_body_bytes": 100}),
        "good": ("evaluate", {}),
    }
    tokens = {"unknown": issue("nobody", ["admin"])[1]}
    for name, (scope, more) in limits.items():
        key, tokens[name] = issue(name, [scope], **more)
        keys.add(key)
    tokens["wrong"] = tokens["good"][:-3] + "AAA"
    with serving(auth="required", store_url=store_url, key_cache_seconds=60) as url:
        yield url, tokens
    database.close()
