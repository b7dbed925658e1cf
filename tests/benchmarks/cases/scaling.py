"""Time per element from small tensors to very large ones, beside the same in process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import torch
from torch.nn import functional as F

from tests.benchmarks import floor, payloads
from tests.benchmarks.load import Connection
from tests.benchmarks.payloads import FORMS, Arrays
from tests.benchmarks.results import Curve, Result
from tests.benchmarks.servers import CLIENT_CORE, SERVER_CORE, SERVICE, Server, alone, pinned, started
from tests.benchmarks.support import served

CLASSES = 100
JSON_ELEMENTS = 10**7
"""Above this the JSON texts of the two tensors take gigabytes."""
ROUNDS = 5
REPEATS = 50
PATIENCE_SECONDS = 0.25
LIMITS = {"LOSSMETER_MAX_BODY_BYTES": str(1 << 33), "LOSSMETER_MAX_ELEMENTS": str(10**10)}
IN_PROCESS = "torch in process"

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def binary_focal(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As its authors write it, gamma 2 and alpha 0.25 (arXiv:1708.02002)."""
    cross_entropy = F.binary_cross_entropy_with_logits(predictions, labels, reduction="none")
    probability = torch.exp(-cross_entropy)
    weight = 0.25 * labels + 0.75 * (1 - labels)
    return (weight * (1 - probability) ** 2 * cross_entropy).mean()


LOSSES: dict[str, tuple[Function, Callable[[int], Arrays]]] = {
    "mse": (F.mse_loss, payloads.regression),
    "cross_entropy": (F.cross_entropy, lambda size: payloads.classification(max(1, size // CLASSES), CLASSES)),
    "binary_focal": (binary_focal, payloads.detection),
}


def measure(quick: bool) -> Result:
    result = Result("scaling", "Time per element of the predictions, value and gradient, by size")
    last = 5 if quick else 8 if os.environ.get("LOSSMETER_BENCH_FULL") else 7
    sizes = [10**power for power in range(2, last + 1)]
    with started([SERVICE], LIMITS) as (server,):
        sample = payloads.classification(2, 3)
        forms = tuple(
            form for form in ("JSON", "safetensors") if served(server, FORMS[form]("cross_entropy", sample), result)
        )
        for loss, (function, make) in LOSSES.items():
            curves = {name: Curve(loss, name, {}) for name in (*(f"lossmeter, {form}" for form in forms), IN_PROCESS)}
            result.curves += curves.values()
            for size in sizes:
                for name, seconds in _size(server, loss, function, make(size), forms, 2 if quick else ROUNDS).items():
                    curves[name].points[size] = seconds / size * 1e9
    result.notes.append(f"cross_entropy has {CLASSES} classes. JSON ends at {JSON_ELEMENTS:,} elements.")
    return result


def _size(
    server: Server, loss: str, function: Function, tensors: Arrays, forms: tuple[str, ...], rounds: int
) -> dict[str, float]:
    """Seconds of one call by each way, the ways taken in turns."""
    ways: dict[str, Callable[[], float]] = {}
    for form in forms:
        if form != "JSON" or tensors["predictions"].size <= JSON_ELEMENTS:
            ways[f"lossmeter, {form}"] = _over_http(server, FORMS[form](loss, tensors).prepared)
    ways[IN_PROCESS] = _in_process(function, tensors)
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    return {name: median(found) for name, found in times.items()}


def _over_http(server: Server, prepared: bytes) -> Callable[[], float]:
    def way() -> float:
        with server.running() as port, pinned(CLIENT_CORE), Connection(port) as connection:

            def once() -> float:
                answer = connection.exchange(prepared)
                if answer.status != 200:
                    raise RuntimeError(f"{server.subject.name} answered {answer.status}")
                return answer.seconds

            return _repeated(once)

    return way


def _in_process(function: Function, tensors: Arrays) -> Callable[[], float]:
    predictions, labels = floor.tensors_of(tensors)

    def once() -> float:
        begin = time.perf_counter()
        leaf = predictions.detach().requires_grad_()
        value = function(leaf, labels)
        value.backward()
        value.item()
        return time.perf_counter() - begin

    def way() -> float:
        with alone(), pinned(SERVER_CORE):
            return _repeated(once)

    return way


def _repeated(once: Callable[[], float]) -> float:
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < REPEATS and (not times or time.perf_counter() - begin < PATIENCE_SECONDS):
        times.append(once())
    return median(times)
