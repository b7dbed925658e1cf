"""What shared memory saves a client on the same machine: a large loss with its gradient, beside the same in process."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.client import Client, LossResult, RemoteLoss
from tests.benchmarks.payloads import classification
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, ON_SOCKET, pinned, started

SHAPE = (1024, 1000)
AIM = 1.5
ROUNDS = 15
REPEATS = 60
PATIENCE_SECONDS = 0.5
PROCESS, SHARED, SENT = "in process", "shared memory", "sent over the same socket"
STAGES = ("decode", "compute", "encode")

Criterion = Callable[[Tensor, Tensor], Tensor]


def measure(quick: bool) -> Result:
    result = Result("shared", f"Cross entropy of {list(SHAPE)} with gradient, from a client on the same machine")
    arrays = classification(*SHAPE)
    logits, labels = (torch.from_numpy(arrays[name].copy()) for name in ("predictions", "labels"))
    logits.requires_grad_()
    with started([ON_SOCKET], {"LOSSMETER_SHARED_MEMORY": "1"}) as (server,):
        url = f"http+unix://{server.port}"
        with Client(url) as sharing, Client(url, shared_memory=False) as sending:
            clients = {SHARED: sharing, SENT: sending}
            for _ in range(3 if quick else ROUNDS):
                for way, client in clients.items():
                    with server.running():
                        seconds, spent = _step(RemoteLoss("cross_entropy", client=client), logits, labels)
                    result.add(way, "ms", seconds * 1e3)
                    for stage in STAGES:
                        timed = median(getattr(one.timing, f"{stage}_milliseconds") for one in spent)
                        result.add(f"{way}: {stage}", "ms", timed)
                seconds, _ = _step(F.cross_entropy, logits, labels)
                result.add(PROCESS, "ms", seconds * 1e3)
    result.compare(f"{SHARED} ÷ {PROCESS}", SHARED, PROCESS, AIM, "≤")
    result.compare(f"{SENT} ÷ {PROCESS}", SENT, PROCESS)
    result.notes.append(
        "`RemoteLoss`, forward and backward, float32; one thread of torch on both sides. The service computes in the memory of "
        "the client; what is left of a step is the client's, above all copying the logits there, and the way there and back."
    )
    return result


def _step(criterion: Criterion, logits: Tensor, labels: Tensor) -> tuple[float, list[LossResult]]:
    """Seconds of one step, by the median of some, and what the service said of each."""
    times: list[float] = []
    said: list[LossResult] = []
    with pinned(CLIENT_CORE):
        torch.autograd.backward(criterion(logits, labels))  # the first one looks up the roles, and connects
        begin = time.perf_counter()
        while len(times) < REPEATS and time.perf_counter() - begin < PATIENCE_SECONDS:
            logits.grad = None
            start = time.perf_counter()
            torch.autograd.backward(criterion(logits, labels))
            times.append(time.perf_counter() - start)
            if isinstance(criterion, RemoteLoss) and criterion.result is not None:
                said.append(criterion.result)
    return median(times), said
