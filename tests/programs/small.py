"""Sends small requests that ask for as much as they may: `make small` lists the dearest of them.

For every loss, by itself and as all terms of an objective, for every metric of every task, in JSON and in files, and graphs:
bodies of less than 4 kB on the wire, also compressed, that ask for many classes, slices, replicates, bins, columns, samples or
nodes; one that is refused asks for a third of it, until it is computed. No request may take more than 2 s of processor time or
256 MB unless it is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from safetensors.torch import save

from lossmeter.engine import Call, Engine
from lossmeter.errors import LossmeterError
from lossmeter.losses import LOSSES, Loss
from lossmeter.metrics import METRICS, Metric
from lossmeter.wire.safetensors_layout import REQUEST
from tests.programs.attacks.target import Target
from tests.support.costs import call_of, names_of
from tests.support.processes import ready, started, wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WIRE_BYTES = 4096
HOPELESS_BYTES = 8 * WIRE_BYTES
MOST_ELEMENTS = 2e6
"""As many as a small body may become; zeros compress to nothing."""
MOST_ROWS = 3e7
SECONDS, MEGABYTES = 2.0, 256.0
REPORTED = 20
PROGRESS = 50
SETTINGS = {"LOSSMETER_COMPUTE_SECONDS": "30"}
SAFETENSORS = {"content-type": "application/vnd.safetensors"}
PARQUET = {"content-type": "application/vnd.apache.parquet"}
ENGINE = Engine("cpu", chunk_elements=1 << 40)


@dataclass(frozen=True)
class Request:
    """A request, and its name."""

    name: str
    address: str
    content: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Measured:
    """What a request took."""

    request: Request
    status: int
    seconds: float
    megabytes: float

    @property
    def over(self) -> bool:
        return self.status == 200 and (self.seconds > SECONDS or self.megabytes > MEGABYTES)


def packed(name: str, address: str, content: bytes, headers: dict[str, str]) -> Request | None:
    """The request, compressed if it is too large as it is; None if it is too large all the same."""
    if len(content) > WIRE_BYTES:
        if (
            len(zstd.compress(content, 1)) > HOPELESS_BYTES
        ):  # the best compression of what does not repeat takes seconds
            return None
        content = zstd.compress(content, 19)
        headers = {**headers, "content-encoding": "zstd"}
    return None if len(content) > WIRE_BYTES else Request(name, address, content, headers)


def as_json(name: str, address: str, fields: dict[str, Any]) -> Request | None:
    return packed(name, address, json.dumps(fields, separators=(",", ":")).encode(), {})


def of_loss(loss: Loss, size: float, shape: str, terms: int = 0) -> Request | None:
    """A call of the loss of about so many elements, most of them in one dimension, or in all; with all gradients.

    With `terms` an objective that has the loss so many times.
    """
    names = names_of(loss)
    for _ in range(6):
        share = 1 / len(names)
        sizes = {name: max(1, round(size**share)) for name in names}
        if shape in names:
            sizes = dict.fromkeys(names, 2) | {shape: max(1, round(size))}
        if loss.name == "quantile":
            sizes["Q"] = 1
        try:
            call = repeating(call_of(loss, sizes))
        except (AssertionError, LossmeterError):
            size /= 4
            continue
        tensors = {name: torch.from_numpy(one.data.copy()).reshape(one.shape) for name, one in call.tensors.items()}
        fields: dict[str, Any] = {"gradients": call.gradients}
        if terms:
            fields["losses"] = [{"loss": loss.name}] * terms
        body = save(tensors, {REQUEST: json.dumps(fields)})
        address = "/v1/objectives" if terms else f"/v1/losses/{loss.name}"
        request = packed(f"{loss.name} {sizes}{f' {terms} times' if terms else ''}", address, body, SAFETENSORS)
        if request is not None:
            return request
        size /= 4
    return None


def repeating(call: Call) -> Call:
    """The call with the same number, or the same row, again and again in each tensor: that compresses well."""
    for repeated in (0, 1):
        tensors = {}
        for name, tensor in call.tensors.items():
            row = math.prod(tensor.shape[1:]) if repeated else 1
            times = tensor.data.size // row if row else 0
            tensors[name] = replace(tensor, data=np.tile(tensor.data[:row], times))
        with contextlib.suppress(LossmeterError):
            ENGINE.check(changed := replace(call, tensors=tensors))
            return changed
    return call


def of_metric(metric: Metric, task: str, amount: float, kind: str) -> Request | None:
    """An evaluation by one metric, which asks for an amount of classes, slices and replicates, bins, or samples."""
    dice = random.Random(0)
    samples = {"classes": 2, "samples": round(amount), "bins": 20}.get(kind, 150)
    columns = round(amount) if kind == "columns" else 2
    classes = round(amount) if kind == "classes" else columns
    of_classes = task in ("multiclass", "segmentation", "clustering")
    wide = task in ("multilabel", "ranking") or (kind == "columns" and task == "multiclass")
    are = "values" if task == "regression" else "scores" if task == "ranking" else "probabilities"
    if kind == "columns":
        samples = 4
    rows: list[Any]
    labels: list[Any]
    if task == "segmentation":
        rows, labels = ([[[dice.randrange(2)]] for _ in range(samples)] for _ in range(2))
    elif wide and task != "multiclass":
        rows = [[0.25, 0.75] * (columns // 2)] * samples
        labels = [[0, 1] * (columns // 2)] * samples
    elif wide:
        rows, labels = [[1 / columns] * columns] * samples, [0, 1] * (samples // 2)
    elif of_classes:
        rows, labels = ([0, 1] * (samples // 2 or 1) for _ in range(2))
    else:
        rows, labels = [0.25, 0.75] * (samples // 2 or 1), [0, 1] * (samples // 2 or 1)
    if of_classes and not (wide and task == "multiclass"):
        are = "classes"
    if not metric.takes(are):
        return None
    fields: dict[str, Any] = {"task": task, "predictions_are": are, "predictions": rows, "labels": labels, "losses": []}
    choice: dict[str, Any] = {"metric": metric.name}
    if any(one.name == "bins" for one in metric.parameters) and kind == "bins":
        choice["bins"] = min(1000, round(amount))
    fields["metrics"] = [choice]
    if task in ("multiclass", "segmentation") and not wide:
        fields["classes"] = max(2, classes)
    if kind == "bins":
        fields["curves"] = {"bins": min(1_000_000, round(amount))}
    fields["replicates"] = 2000 if kind in ("replicates", "slices") else 0 if kind == "classes" else 200
    if kind == "slices":
        fields["slices"] = {
            f"c{one}": [str(place % 99) for place in range(len(labels))] for one in range(max(1, round(amount)))
        }
        fields["replicates"] = 200
    return as_json(f"{task} {metric.name} {kind} {round(amount)}", "/v1/evaluate", fields)


FILES = {
    "regression": ("values", 0.25, 0.75),
    "binary": ("probabilities", 0.25, 1),
    "multiclass": ("classes", 1, 0),
    "clustering": ("classes", 1, 0),
}
"""What predictions are in a file, and what stands in each of its rows."""


def of_file(metric: Metric, task: str, rows: int) -> Request | None:
    """An evaluation of a file whose rows are all the same."""
    are, prediction, label = FILES[task]
    if not metric.takes(are):
        return None
    table = pa.table({"p": np.full(rows, prediction), "y": np.full(rows, label)})
    once = {"row_group_size": rows, "max_rows_per_page": rows, "write_batch_size": rows}
    parquet.write_table(table, content := io.BytesIO(), compression="zstd", **once)
    wanted = f"task={task}&predictions_are={are}&metric={metric.name}&predictions=p&labels=y"
    wanted += "&classes=2" if task == "multiclass" else ""
    return packed(f"{task} {metric.name} file of {rows} rows", f"/v1/evaluate?{wanted}", content.getvalue(), PARQUET)


STEPS = "exp digamma logcumsumexp sort softmax square sum matmul cdist"
"""Operations of graphs: cheap ones and dear ones."""


def of_graph(step: str, size: float, times: int) -> Request | None:
    """A graph that makes a tensor of nothing, and computes with it again and again."""
    pairs = step in ("matmul", "cdist")
    made = [round(math.sqrt(size))] * 2 if pairs else [round(size)]
    nodes = [("n0", "operator.mul", [{"ref": "one"}, {"ref": "x"}])]
    for number in range(times):
        last = {"ref": f"n{number}"}
        more: list[Any] = [last] if pairs else [0] if step in ("logcumsumexp", "softmax") else []
        name = f"s{number}" if step == "sort" else f"n{number + 1}"
        nodes.append((name, f"torch.{step}", [last, *more]))
        if step == "sort":
            nodes.append((f"n{number + 1}", "operator.getitem", [{"ref": name}, 0]))
    nodes.append(("end", "torch.sum", [{"ref": f"n{times}"}]))
    graph = [
        {"op": "placeholder", "name": "x", "target": "x"},
        {"op": "call_function", "name": "one", "target": "torch.ones", "args": [made]},
        *({"op": "call_function", "name": name, "target": target, "args": args} for name, target, args in nodes),
        {"op": "output", "name": "output", "target": "output", "args": [{"ref": "end"}]},
    ]
    body = {"graph": {"format": 1, "nodes": graph}, "x": [0.5], "gradients": ["x"]}
    return as_json(f"graph {step} {times} times {made}", "/v1/losses/custom", body)


AMOUNTS = {"classes": 1e7, "slices": 60, "replicates": 1, "bins": 1e6, "samples": 1e6, "columns": 3e5}


def ladders(only: str) -> Iterator[Iterator[Request | None]]:
    """For each thing that can be asked for, requests that ask for less and less of it."""
    for loss in LOSSES.values():
        if only in loss.name:
            for shape in ("all", *names_of(loss)):
                yield (of_loss(loss, MOST_ELEMENTS / 3**step, shape) for step in range(8))
                yield (of_loss(loss, size, shape) for size in (900, 300))
            yield (of_loss(loss, MOST_ELEMENTS / 3**step, "all", terms=32) for step in range(10))
    for metric in METRICS.values():
        if only in metric.name:
            yield from of_tasks(metric)
    for step in STEPS.split():
        for times in (1, 20, 150):
            if only in f"graph {step}":
                yield (of_graph(step, MOST_ROWS / 3**part, times) for part in range(12))


def of_tasks(metric: Metric) -> Iterator[Iterator[Request | None]]:
    """The same for one metric."""
    for task in metric.tasks:
        for kind, most in AMOUNTS.items():
            if kind == "classes" and task not in ("multiclass", "segmentation"):
                continue
            yield (of_metric(metric, task, most / 3**step, kind) for step in range(10))
        if task in FILES:
            yield (of_file(metric, task, round(MOST_ROWS / 3**step)) for step in range(10))


def measured(target: Target, client: httpx.Client, request: Request) -> Measured:
    """Sends a request, and says what it took the server."""
    target.forget()
    memory, processor = target.memory(), target.processor()
    answer = client.post(request.address, content=request.content, headers=request.headers)
    return Measured(
        request, answer.status_code, target.processor() - processor, max(0.0, target.memory("VmHWM") - memory)
    )


def main() -> int:
    """Entry point of `python -m tests.programs.small`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="of losses and metrics that have this in their names")
    asked = parser.parse_args()
    found: list[Measured] = []
    with started("--workers", "1", **SETTINGS) as service, httpx.Client(base_url=service.url, timeout=300) as client:
        wait_until(lambda: ready(service.url), "ready")
        target = Target(service)
        for number, requests in enumerate(ladders(asked.only), start=1):
            if number % PROGRESS == 0:
                sys.stdout.write(f"{number} things asked for, {len(found)} requests\n")
                sys.stdout.flush()
            for request in requests:
                if request is None:
                    continue
                one = measured(target, client, request)
                found.append(one)
                if one.over or one.status not in (200, 413):
                    sys.stdout.write(f"{line(one)}\n")
                    sys.stdout.flush()
                if one.status not in (413, 503, 504):
                    break
    counts = {status: sum(one.status == status for one in found) for status in sorted({one.status for one in found})}
    sys.stdout.write(f"{len(found)} requests: {counts}\nthe dearest by processor time, then by memory:\n")
    for key in (lambda one: one.seconds, lambda one: one.megabytes):
        sys.stdout.writelines(f"{line(one)}\n" for one in sorted(found, key=key, reverse=True)[:REPORTED])
    return any(one.over for one in found)


def line(one: Measured) -> str:
    return f"{one.seconds:6.2f} s {one.megabytes:6.0f} MB  {one.status} {len(one.request.content):5d} B  {one.request.name}"


if __name__ == "__main__":
    sys.exit(main())
