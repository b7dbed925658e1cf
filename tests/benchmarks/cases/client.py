"""What a training step pays for a loss that is computed elsewhere: `RemoteLoss` beside the same loss in process."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.client import Client, RemoteLoss
from tests.benchmarks.payloads import classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, ON_SOCKET, SERVICE, Server, pinned, started

SHAPES = ((64, 10), (1024, 1000))
ROUNDS = 15
REPEATS = 100
PATIENCE_SECONDS = 0.7
WAYS = {SERVICE.name: "over TCP", ON_SOCKET.name: "over a Unix socket"}

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
                    with server.running():
                        seconds = _step(RemoteLoss("cross_entropy", client=client), logits, labels)
                    result.add(_name(WAYS[server.subject.name], shape), "ms", seconds * 1e3)
                result.add(_name("in process", shape), "ms", _step(F.cross_entropy, logits, labels) * 1e3)
            for way in WAYS.values():
                result.compare(_name(f"{way} ÷ in process", shape), _name(way, shape), _name("in process", shape))
        for client in clients.values():
            client.close()
    result.notes.append(
        "float32, safetensors on the wire, one request for both directions; one thread of torch on both sides."
    )
    return result


def _name(way: str, shape: tuple[int, int]) -> str:
    return f"{way}, {list(shape)}"


def _address(server: Server) -> str:
    return f"http+unix://{server.port}" if server.subject.unix else f"http://127.0.0.1:{server.port}"


def _step(criterion: Criterion, logits: Tensor, labels: Tensor) -> float:
    """Seconds of one step, by the median of some."""
    times: list[float] = []
    with pinned(CLIENT_CORE):
        criterion(logits, labels).backward()  # the first one looks up the roles, and connects
        begin = time.perf_counter()
        while len(times) < REPEATS and time.perf_counter() - begin < PATIENCE_SECONDS:
            logits.grad = None
            start = time.perf_counter()
            criterion(logits, labels).backward()
            times.append(time.perf_counter() - start)
    return median(times)
