"""What a training step pays for a loss that is computed elsewhere: `RemoteLoss` beside the same loss in process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.client import Client, RemoteLoss, calls
from lossmeter.client.codecs import CODECS
from lossmeter.tensors import Array
from tests.benchmarks.load import Connection, Port, request
from tests.benchmarks.payloads import classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, ON_SOCKET, SERVICE, Server, pinned, started

SHAPES = ((64, 10), (1024, 1000))
ROUNDS = 15
REPEATS = 100
PATIENCE_SECONDS = 0.7
WAYS = {SERVICE.name: "over TCP", ON_SOCKET.name: "over a Unix socket"}
SMALL, LARGE = SHAPES
AIMED_MILLISECONDS = {"over TCP": 0.6, "over a Unix socket": 0.5}
"""For a step on the small shape."""
AIMED_RATIO = 2.5
"""For a step on the large shape over a Unix socket, beside one in process."""

Criterion = Callable[[Tensor, Tensor], Tensor]


def measure(quick: bool) -> Result:
    result = Result("client", "Cross entropy, forward and backward, from a training loop in torch")
    with started([SERVICE, ON_SOCKET]) as servers:
        clients = {server: Client(_address(server)) for server in servers}
        for shape in SHAPES:
            arrays = classification(*shape)
            logits, labels = (torch.from_numpy(arrays[name].copy()) for name in ("predictions", "labels"))
            logits.requires_grad_()
            for _ in range(3 if quick else ROUNDS):
                for server, client in clients.items():
                    way, criterion = WAYS[server.subject.name], RemoteLoss("cross_entropy", client=client)
                    with server.running() as port:
                        whole, without_server = _step(criterion, logits, labels)
                        result.add(_name(f"{way}, the same bytes by a bare socket", shape), "ms", _floor(port, arrays))
                    result.add(_name(way, shape), "ms", whole)
                    result.add(_name(f"{way} without what the service reports", shape), "ms", without_server)
                result.add(_name("in process", shape), "ms", _step(F.cross_entropy, logits, labels)[0])
            for way in WAYS.values():
                aim = AIMED_RATIO if (shape, way) == (LARGE, WAYS[ON_SOCKET.name]) else None
                pair = _name(way, shape), _name("in process", shape)
                result.compare(_name(f"{way} ÷ in process", shape), *pair, aim, "≤")
        for way, milliseconds in AIMED_MILLISECONDS.items():
            result.bound(_name(way, SMALL), "ms", milliseconds)
        for client in clients.values():
            client.close()
    result.notes.append(
        "float32, safetensors on the wire, one request for both directions; one thread of torch on both sides. "
        "What the service reports is its Server-Timing: decoding, computing and encoding, but not its part of the socket. "
        "The bare socket sends what the client sends, and reads the answer without looking at it."
    )
    return result


def _name(way: str, shape: tuple[int, int]) -> str:
    return f"{way}, {list(shape)}"


def _address(server: Server) -> str:
    return f"http+unix://{server.port}" if server.subject.unix else f"http://127.0.0.1:{server.port}"


def _step(criterion: Criterion, logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Milliseconds of one step, and of it without what the service says of itself; medians of some."""
    times: list[float] = []
    rests: list[float] = []
    with pinned(CLIENT_CORE):
        criterion(logits, labels).backward()  # the first one looks up the roles, and connects
        begin = time.perf_counter()
        while len(times) < REPEATS and time.perf_counter() - begin < PATIENCE_SECONDS:
            logits.grad = None
            start = time.perf_counter()
            criterion(logits, labels).backward()
            times.append((time.perf_counter() - start) * 1e3)
            rests.append(times[-1] - _reported(criterion))
    return median(times), median(rests)


def _floor(port: Port, arrays: Mapping[str, Array]) -> float:
    """Milliseconds that the same request takes if nothing is made of its answer; the median of some."""
    asked = calls.loss(CODECS["safetensors"], "cross_entropy", ["predictions"], arrays)
    prepared = request(asked.method, asked.path, b"".join(asked.body), asked.headers.items())
    with pinned(CLIENT_CORE), Connection(port) as connection:
        connection.exchange(prepared)
        begin = time.perf_counter()
        times: list[float] = []
        while len(times) < REPEATS and time.perf_counter() - begin < PATIENCE_SECONDS:
            times.append(connection.exchange(prepared).seconds * 1e3)
    return median(times)


def _reported(criterion: Criterion) -> float:
    """Milliseconds that the service says it took for the last step."""
    if not isinstance(criterion, RemoteLoss) or criterion.result is None:
        return 0.0
    timing = criterion.result.timing
    return timing.decode_milliseconds + timing.compute_milliseconds + timing.encode_milliseconds
