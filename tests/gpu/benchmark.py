"""What a loss costs on the GPU over HTTP: against torch in process with and without the transfer, and against the CPU.

`python -m tests.gpu.benchmark RESULT [--quick]` writes RESULT as JSON. Everything is measured in turns, round after round, so
that what slows the machine down slows everything down; times are medians, with the least and the most.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.benchmarks.load import Connection, saturate
from tests.benchmarks.payloads import Arrays, Payload, as_json, as_safetensors, classification
from tests.support.devices import DEVICE, NAME
from tests.support.processes import started

SECONDS = 12.0
"""For each of the large cases."""


@dataclass(frozen=True, slots=True)
class Case:
    """A cross entropy with gradient."""

    name: str
    tensors: Arrays


def segmentation() -> Arrays:
    """Logits of 4 classes for each pixel of 8 images, and class indices."""
    random = np.random.default_rng(5)
    logits = random.standard_normal((8, 4, 512, 512), dtype=np.float32)
    return {"predictions": logits, "labels": random.integers(0, 4, (8, 512, 512))}


def synchronize() -> None:
    """Waits for the GPU, where there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def stepped(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The gradient of the mean, and the value read."""
    given = logits.detach().requires_grad_()
    loss = F.cross_entropy(given, labels)
    (gradient,) = torch.autograd.grad(loss, [given])
    loss.item()
    return gradient


def ways(case: Case) -> dict[str, Callable[[], object]]:
    """Torch in process, several ways."""
    logits, labels = (torch.from_numpy(case.tensors[name]) for name in ("predictions", "labels"))
    there = logits.to(DEVICE), labels.to(DEVICE)

    def resident() -> None:
        stepped(*there)
        synchronize()

    def transferred() -> None:
        stepped(logits.to(DEVICE), labels.to(DEVICE)).cpu()

    found: dict[str, Callable[[], object]] = {
        "torch, tensors on the device": resident,
        "torch, with the transfer": transferred,
    }
    if DEVICE.type == "cuda":
        found["torch, with the transfer through pinned memory"] = staged(logits, labels)
        found["torch, from and to memory that is pinned already"] = pinned(logits, labels)
        found["torch on the CPU"] = lambda: stepped(logits, labels)
    return found


def staged(logits: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """Copies what came into pinned memory first, and the gradient out of it."""
    stage, stage_labels = torch.empty_like(logits, pin_memory=True), torch.empty_like(labels, pin_memory=True)
    back, plain = torch.empty_like(logits, pin_memory=True), torch.empty_like(logits)

    def work() -> None:
        stage.copy_(logits)
        first = stage.to(DEVICE, non_blocking=True)
        stage_labels.copy_(labels)
        back.copy_(stepped(first, stage_labels.to(DEVICE, non_blocking=True)), non_blocking=True)
        synchronize()
        plain.copy_(back)

    return work


def pinned(logits: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """What the transfer would be if bodies were read into pinned memory, and answers sent from it."""
    first, second, back = logits.pin_memory(), labels.pin_memory(), torch.empty_like(logits, pin_memory=True)

    def work() -> None:
        gradient = stepped(first.to(DEVICE, non_blocking=True), second.to(DEVICE, non_blocking=True))
        back.copy_(gradient, non_blocking=True)
        synchronize()

    return work


def in_turns(steps: dict[str, Callable[[], object]], seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of each, measured in turns after two rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    deadline = time.perf_counter() + seconds
    number = 0
    while number < 5 or (number < 60 and time.perf_counter() < deadline):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if number > 1:
                times[name].append(1000 * (time.perf_counter() - begin))
        number += 1
    return {
        name: {"median_ms": statistics.median(all_), "least_ms": min(all_), "most_ms": max(all_), "times": len(all_)}
        for name, all_ in times.items()
    }


def exchanged(connection: Connection, payload: Payload) -> Callable[[], object]:
    """A request over HTTP."""
    prepared = payload.prepared

    def work() -> None:
        answer = connection.exchange(prepared, keep=True)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {answer.body[:300]!r}")

    return work


def port(url: str) -> int:
    """The port of a server."""
    return int(url.rpartition(":")[2])


def measure(result: Path, *, quick: bool) -> None:
    """Measures everything, and writes what there is after each case."""
    large = [Case("[1024, 1000]", classification(1024, 1000))]
    if not quick:
        large += [Case("[65536, 1000]", classification(65536, 1000)), Case("[8, 4, 512, 512]", segmentation())]
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "cases": {}, "lines": []}
    lines = found["lines"]
    with ExitStack() as stack:
        urls = {f"lossmeter on {NAME}": stack.enter_context(started(LOSSMETER_DEVICE=NAME)).url}
        if DEVICE.type != "cpu":
            urls["lossmeter on cpu"] = stack.enter_context(started(LOSSMETER_DEVICE="cpu")).url
        connections = {name: stack.enter_context(Connection(port(url))) for name, url in urls.items()}
        for case in large:
            payload = as_safetensors("cross_entropy", case.tensors)
            steps = {f"{name}, safetensors": exchanged(one, payload) for name, one in connections.items()}
            times = in_turns({**steps, **ways(case)}, 2.0 if quick else SECONDS)
            found["cases"][case.name] = times
            lines += [
                f"{case.name}: {name}: {one['median_ms']:.2f} ms ({one['least_ms']:.2f} to {one['most_ms']:.2f})"
                for name, one in times.items()
            ]
            result.write_text(json.dumps(found, indent=1))
        small = as_json("cross_entropy", classification(32, 10))
        for name, url in urls.items():
            # Twice, as programs are recorded in the first.
            rates = [saturate(port(url), small.prepared, 16, 1.0 if quick else 4.0) for _ in range(2)]
            found["cases"][f"[32, 10], 16 connections, {name}"] = {
                "per_second": rates[1].per_second,
                "failures": sum(rate.failures for rate in rates),
            }
            lines.append(f"[32, 10], 16 connections: {name}: {rates[1].per_second:.0f} answers a second")
        found["cases"]["[32, 10] in process"] = times = in_turns(ways(Case("[32, 10]", classification(32, 10))), 1.0)
        lines += [f"[32, 10]: {name}: {one['median_ms']:.3f} ms" for name, one in times.items()]
    result.write_text(json.dumps(found, indent=1))
    found["gathering"] = gathered()
    lines.append(f"computed together with the same bits as alone: {found['gathering']}")
    result.write_text(json.dumps(found, indent=1))


def gathered() -> dict[str, Any]:
    """Whether calls that a CPU computes together would have the same bits on this device, which computes each alone."""
    from lossmeter.engine import Call, Engine, outcome
    from lossmeter.engine.work import run_together
    from tests.engine.test_together import TOGETHER, bits
    from tests.losses.test_losses import converted, differentiable
    from tests.support.inputs import smooth
    from tests.support.wire import split

    host, here = Engine("cpu"), Engine(NAME)
    same, other = 0, []
    for loss in TOGETHER:
        for case in smooth(loss.name):
            tensors, parameters = split(loss, converted(case, torch.float32))
            wanted = tuple(differentiable(loss, case))
            call = Call(loss, tensors, parameters, "none", wanted)
            if host.check(call).batch_key is None:
                continue
            works = [here.check(call) for _ in range(3)]
            alone = bits(here.compute(call))
            if all(bits(outcome(work, done)) == alone for work, done in zip(works, run_together(works), strict=True)):
                same += 1
            else:
                other.append(loss.name)
            break
    return {"same": same, "other": other}


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as a server takes
    measure(Path(sys.argv[1]), quick="--quick" in sys.argv[2:])
