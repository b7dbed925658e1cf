"""Small requests that were dear, and clients that hold what others need."""

from __future__ import annotations

import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic, sleep
from typing import Any

import httpx

from tests.programs.attacks.bodies import EVALUATE, LOSS
from tests.programs.attacks.connections import GET, POST, counted, drained
from tests.programs.attacks.target import MSE, Target, said, send

RUNS = "/v1/runs"
FILE = f"{EVALUATE}?task=binary&predictions_are=probabilities&predictions=p&labels=y"
PLAN: dict[str, Any] = {"task": "regression", "predictions_are": "values"}
DATA: dict[str, Any] = {"predictions": [0.0, 1.0], "labels": [1.0, 1.0]}
CLASSES: dict[str, Any] = {
    "task": "multiclass",
    "predictions_are": "classes",
    "predictions": [0, 1],
    "labels": [0, 1],
    "losses": [],
}
HOST = b"Host: localhost\r\n"


def announced_bodies(target: Target) -> str:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connection()) for _ in range(4)]
        for connection in connections:
            send(connection, [POST + b"Content-Length: 268435456\r\n\r\n"])
        begin, size = monotonic(), 0
        while (elapsed := monotonic() - begin) < 5:  # however late this is, on average so many a second
            due, size = round(1100 * (elapsed + 0.5)) - size, round(1100 * (elapsed + 0.5))
            for connection in connections:
                send(connection, [b" " * due])
            sleep(0.1)
        return "4 × " + counted([said(connection, 0.1) for connection in connections])


def _everywhere(target: Target, piece: bytes) -> str:
    with ExitStack() as stack:
        connections = []
        for _ in range(1000):
            connection = stack.enter_context(target.connection())
            send(connection, [piece])
            connections.append(connection)
        sleep(1.5)
        return target.raw(GET + b"\r\n", seconds=10)


def slow_bodies_everywhere(target: Target) -> str:
    return _everywhere(target, POST + b"Content-Length: 100000\r\n\r\n ")


def slow_heads_everywhere(target: Target) -> str:
    return _everywhere(target, GET)


def flood_of_connections(target: Target) -> str:
    for _ in range(2000):
        with target.connection():
            pass
    return target.raw(GET + b"\r\n")


def pipeline(target: Target) -> str:
    with target.connection() as connection:
        send(connection, [(GET + b"\r\n") * 1000])
        text = drained(connection)
    return f"429 after {text.count(b'HTTP/1.1 200')} answers" if b"HTTP/1.1 429" in text else "closed"


def half_closed(target: Target) -> str:
    with target.connection() as connection:
        send(connection, [POST + b"Content-Length: %d\r\n\r\n" % len(MSE) + MSE])
        connection.shutdown(socket.SHUT_WR)
        return said(connection)


def half_a_request(target: Target) -> str:
    with target.connection() as connection:
        send(connection, [POST + b"Content-Length: 100000\r\n\r\n" + MSE])
        connection.shutdown(socket.SHUT_WR)
        return said(connection)


def _run(http: httpx.Client) -> str:
    plan = {**PLAN, "replicates": 200, "slices": ["group"]}
    path: str = http.post(RUNS, json=plan).headers["location"]
    for number in range(10):
        rows = [float(row % 17) for row in range(1000)]
        batch = {"predictions": rows, "labels": rows[::-1], "slices": {"group": [row % 20 for row in range(1000)]}}
        http.put(f"{path}/batches/{number}", json=batch)
    return path


def reports_at_once(target: Target) -> str:
    with httpx.Client(base_url=target.url, timeout=120) as http, ThreadPoolExecutor(32) as threads:
        path = _run(http)
        return counted([str(one.status_code) for one in threads.map(lambda _: http.get(path), range(32))])


def repeated_batch(target: Target) -> str:
    with httpx.Client(base_url=target.url, timeout=60) as http:
        path = http.post(RUNS, json=PLAN).headers["location"]
        http.put(f"{path}/batches/0", json=DATA)
        return counted([str(http.put(f"{path}/batches/0", json=DATA).status_code) for _ in range(100)])


def tls_silence(target: Target) -> str:
    """Against a server that speaks TLS."""
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(target.connection())
        sleep(7)
    return "closed or served"


def sent_raw(pieces: list[bytes], target: Target) -> str:
    return target.raw(*pieces, seconds=15)


def sent_body(path: str, body: bytes, headers: tuple[str, ...], target: Target) -> str:
    return target.post(path, body, *headers)


def _json(path: str, **fields: Any) -> tuple[str, bytes, tuple[str, ...]]:
    return path, json.dumps(fields).encode(), ()


def _step(name: str, target: str, *more: Any) -> dict[str, Any]:
    return {"op": "call_function", "name": name, "target": target, "args": [{"ref": "a"}, *more]}


def _ones(size: int) -> dict[str, Any]:
    return {"op": "call_function", "name": "a", "target": "torch.ones", "args": [[size]]}


def _graph(*steps: dict[str, Any]) -> tuple[str, bytes, tuple[str, ...]]:
    ends = {"op": "placeholder", "name": "x", "target": "x"}, {"op": "output", "name": "output", "target": "output"}
    nodes = [ends[0], *steps, {**ends[1], "args": [{"ref": "b"}]}]
    return _json("/v1/losses/custom", graph={"format": 1, "nodes": nodes}, x=[1.0])


_WIDE: dict[str, Any] = {"predictions": [[0.25] * 8000], "labels": [[0] * 8000], "gradients": ["predictions"]}
_WHOLE = b"Content-Length: %d\r\n" % len(MSE)
RAW: list[tuple[str, list[bytes], str]] = [
    ("an offer of HTTP/2 with a body", [POST, b"Connection: Upgrade\r\nUpgrade: h2c\r\n", _WHOLE, b"\r\n", MSE], "200"),
    ("an offer of a WebSocket", [GET, b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], "200"),
    ("CONNECT to somewhere else", [b"CONNECT example.org:443 HTTP/1.1\r\n", HOST, b"\r\n"], "400 malformed_request"),
    ("HTTP/1.1 without a host", [b"GET /healthz HTTP/1.1\r\n\r\n"], "400 malformed_request"),
    ("two hosts", [GET, b"Host: example.org\r\n\r\n"], "400 malformed_request"),
    ("the preface of HTTP/2", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], "400 malformed_request"),
    ("a TLS handshake where none is spoken", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)], "400"),
    ("a method that nobody knows", [b"TRACE /healthz HTTP/1.1\r\n", HOST, b"\r\n"], "405 method_not_allowed"),
    ("an address of 100 kB", [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n", HOST, b"\r\n"], "431 header_too_large"),
    (
        "a body that waits for 100 Continue and never comes",
        [POST, b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n"],
        "100",
    ),
    ("a request id of 10 kB", [GET, b"X-Request-ID: " + b"x" * 10_000 + b"\r\n\r\n"], "200"),
    (
        "ten thousand formats that are accepted",
        [POST, b"Accept: " + b"a/b," * 5000 + b"*/*\r\n", _WHOLE, b"\r\n", MSE],
        "200",
    ),
    (
        "a thousand ranges of a file",
        [b"GET /static/console/main.js HTTP/1.1\r\n", HOST, b"Range: bytes=" + b"0-1," * 5000 + b"0-1\r\n\r\n"],
        "200",
    ),
    ("a page of 100,000 runs", [b"GET /v1/runs?limit=100000 HTTP/1.1\r\n", HOST, b"\r\n"], "422 invalid"),
]
"""What is sent, and the beginning of what is answered."""
_WEIGHTS = b'{"task":"binary","predictions_are":"logits","losses":[{"loss":"mse","weight":[%s0]}]}' % (
    b"0," * 2_000_000
)
_NAN = {"datatype": "FP32", "shape": [1], "base64": "AADAfw=="}
_EMPTY = {"datatype": "FP32", "shape": [0, 1 << 62], "data": []}
MANY_ROWS = (
    FILE,
    gzip.compress(gzip.compress(b"p,y\n" + b"0.5,1\n" * 1_000_000)),
    ("Content-Type: text/csv", "Content-Encoding: gzip, gzip"),
)
BODIES: list[tuple[str, tuple[str, bytes, tuple[str, ...]], str]] = [
    (
        "a run whose plan has 2 million weights, in 4 kB",
        (RUNS, gzip.compress(_WEIGHTS), ("Content-Encoding: gzip",)),
        "413 too_large",
    ),
    (
        "a run whose plan has 60,000 weights",
        _json(
            RUNS,
            task="multiclass",
            predictions_are="logits",
            losses=[{"loss": "cross_entropy", "weight": [0.125] * 60_000}],
        ),
        "413 too_large",
    ),
    (
        "a run with a million losses",
        (RUNS, b'{"task":"binary","predictions_are":"logits","losses":[%s"x"]}' % (b'"x",' * 1_000_000), ()),
        "413 too_large",
    ),
    ("a run with a tag of 500 kB", _json(RUNS, **PLAN, tags=["x" * 500_000]), "422 invalid"),
    ("a run with a column of 500 kB", _json(RUNS, **PLAN, slices=["x" * 500_000]), "422 invalid"),
    ("a run that is 0.9999999999999999 sure", _json(RUNS, **PLAN, confidence=0.9999999999999999), "422 invalid"),
    ("a comparison of 2 MB", ("/v1/comparisons", b" " * 2_000_000, ()), "413 too_large"),
    ("a sample with an id of 1 MB", _json(EVALUATE, **PLAN, **DATA, sample_ids=["x" * 1_000_000, "b"]), "422 invalid"),
    ("a group with a name of 1 MB", _json(EVALUATE, **PLAN, **DATA, groups=["x" * 1_000_000, "b"]), "422 invalid"),
    (
        "a slice with a value of 1 MB",
        _json(EVALUATE, **PLAN, **DATA, slices={"a": ["x" * 1_000_000, "b"]}),
        "422 invalid",
    ),
    (
        "a kappa of 30,000 classes",
        _json(EVALUATE, **CLASSES, classes=30_000, metrics=["cohen_kappa"], replicates=0),
        "200",
    ),
    (
        "three metrics of a million classes",
        _json(EVALUATE, **CLASSES, classes=1_000_000, metrics=["f1", "jaccard", "matthews"]),
        "413 too_large",
    ),
    ("objects among the values of slices", _json(EVALUATE, **PLAN, **DATA, slices={"a": [{}, "b"]}), "422 invalid"),
    ("an empty tensor of shape [0, 2⁶²]", _json(LOSS, predictions=_EMPTY, labels=_EMPTY), "422 invalid"),
    (
        "NaN among probabilities, allowed",
        _json("/v1/losses/binary_cross_entropy", predictions=_NAN, labels=[1.0], non_finite="allow"),
        "422 invalid",
    ),
    (
        "an objective of 32 dear terms, in 4 kB",
        (
            "/v1/objectives",
            gzip.compress(json.dumps({**_WIDE, "losses": [{"loss": "multilabel_margin"}] * 32}).encode()),
            ("Content-Encoding: gzip",),
        ),
        "413 too_large",
    ),
    (
        "a graph that makes 60 million numbers of nothing",
        _graph(_ones(60_000_000), _step("b", "torch.sum")),
        "413 too_large",
    ),
    ("a graph that takes 3 million rows apart", _graph(_ones(3_000_000), _step("b", "torch.split", 1)), "422 invalid"),
    (
        "a graph that takes differences 3,000 times",
        _graph(_ones(3_000), _step("b", "torch.diff", 3_000)),
        "422 invalid",
    ),
    (
        "a Parquet file that is none",
        (FILE, b"PAR1" * 300, ("Content-Type: application/vnd.apache.parquet",)),
        "422 invalid",
    ),
    ("an NPZ file that is none", (FILE, b"PK\x03\x04" * 300, ("Content-Type: application/x-npz",)), "422 invalid"),
    (
        "shared memory of 8 EB, where there is none",
        _json("/v2/systemsharedmemory/region/x/register", key="/x", offset=0, byte_size=1 << 62),
        "404",
    ),
    ("vectors of a loss that there is not", ("/v1/losses/x/vectors", b"", ()), "405"),
    ("a name of a loss of 30 kB", ("/v1/losses/" + "x" * 30_000, MSE, ()), "404 not_found"),
    ("a content type of 30 kB", (LOSS, MSE, ("Content-Type: " + "x" * 30_000,)), "415 unsupported_format"),
]
"""Path, body and headers, and the beginning of what is answered."""
