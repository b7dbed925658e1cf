"""Sends random valid requests near the limits to a server that may take little memory: `make fuzz-cost`.

Every loss, also as the terms of an objective, and every task, with shapes whose product, pairs or classes lie around what one
request may take. Whatever comes is answered or refused; the server is never killed, never runs out of memory, and computes
small things to the end.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import sys
from collections import Counter
from time import monotonic
from typing import Any

import httpx
import numpy as np
import torch
from safetensors.torch import save

from lossmeter.errors import LossmeterError
from lossmeter.losses import LOSSES
from lossmeter.metrics import METRICS, TASKS
from lossmeter.wire.safetensors_layout import REQUEST
from tests.programs.attacks.target import Target
from tests.support.costs import call_of, names_of
from tests.support.processes import ready, started, wait_until

ADDRESS_SPACE = 6 << 30
"""Bytes of addresses of the server: torch and its threads take two gigabytes of them without using any."""
REQUEST_MEMORY = 256 << 20
SETTINGS = {
    "LOSSMETER_MAX_REQUEST_MEMORY": str(REQUEST_MEMORY),
    "LOSSMETER_MAX_MEMORY_IN_FLIGHT": str(2 * REQUEST_MEMORY),
    "LOSSMETER_MAX_REQUEST_OPERATIONS": str(10**9),
    "LOSSMETER_COMPUTE_SECONDS": "20",
    "LOSSMETER_BODY_SECONDS": "300",  # this client may be slow, where other programs have the cores
}
ANSWERS = {200, 400, 413, 422, 503, 504, 507}
SAFETENSORS = {"content-type": "application/vnd.safetensors"}


def loss_request(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Returns the address and the body of a call of some loss, or of an objective of it, as large as a body may be."""
    loss = LOSSES[dice.choice(list(LOSSES))]
    names = names_of(loss)
    elements = 10 ** dice.uniform(1, 6.3)
    shares = [dice.random() for _ in names]
    sizes = {name: max(1, round(elements ** (share / sum(shares)))) for name, share in zip(names, shares, strict=True)}
    if loss.name == "quantile":
        sizes["Q"] = 1
    try:
        call = call_of(loss, sizes, gradients=dice.random() < 0.7)
    except (AssertionError, LossmeterError):
        return loss_request(dice)  # no valid one of these sizes
    tensors = {name: torch.from_numpy(one.data.copy()).reshape(one.shape) for name, one in call.tensors.items()}
    fields: dict[str, Any] = {"gradients": call.gradients}
    terms = dice.choice([0, 0, 0, dice.randint(1, 32)])
    if terms:
        fields["losses"] = [{"loss": loss.name}] * terms
    body = save(tensors, {REQUEST: json.dumps(fields)})
    return "/v1/objectives" if terms else f"/v1/losses/{loss.name}", {"content": body, "headers": SAFETENSORS}


def evaluation_request(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Returns the address and the body of an evaluation: few samples of many classes, many slices, many replicates."""
    task = dice.choice([*TASKS])
    samples = round(10 ** dice.uniform(0, 3.5))
    classes = max(2, round(10 ** dice.uniform(0.3, 4.5)))
    rng = np.random.default_rng(dice.randrange(1 << 30))
    of_classes = task in ("multiclass", "segmentation")
    known = "classes" if of_classes or task == "clustering" else "scores" if task == "ranking" else "values"
    columns = min(classes, max(1, 20_000 // samples))
    if of_classes or task == "clustering":
        predictions, labels = (rng.integers(0, classes, samples) for _ in range(2))
    elif task == "regression":
        predictions, labels = (rng.normal(size=samples).round(2) for _ in range(2))
    else:
        shape = (samples,) if task == "binary" else (samples, columns)
        known = "scores" if task == "ranking" else "probabilities"
        predictions, labels = rng.random(shape).round(3), rng.integers(0, 2, shape)
    suited = [one.name for one in METRICS.values() if task in one.tasks and one.takes(known)]
    metrics: list[dict[str, Any]] = [
        {"metric": one} for one in {dice.choice(suited) for _ in range(dice.randint(1, 5))}
    ]
    body: dict[str, Any] = {
        "task": task,
        "predictions_are": known,
        "predictions": predictions.tolist(),
        "labels": labels.tolist(),
        "losses": [],
        "metrics": metrics,
        "replicates": dice.choice([0, 50, 200, 2000]),
        "slices": {
            f"c{one}": rng.integers(0, dice.choice([2, 900]), samples).tolist()
            for one in range(dice.choice([0, 0, 1, 20]))
        },
        "curves": {"bins": dice.choice([0, 0, 100, 100_000])},
    }
    if of_classes:
        body["classes"] = classes
    return "/v1/evaluate", {"json": body}


def limit(process: int) -> None:
    """Takes the memory of a running server away, as far as it does not need it."""
    resource.prlimit(process, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def spent(dearest: tuple[float, int]) -> str:
    """Says which request took most of the processor."""
    return f"request {dearest[1]} took {dearest[0]:.1f} s of processor"


def main() -> int:
    """Entry point of `python -m tests.programs.fuzz.cost`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="sends none before this one of the seed")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="ends after so many, however many runs are left"
    )
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    counts: Counter[tuple[str, int]] = Counter()
    wrong: list[str] = []
    dearest, end = (0.0, -1), monotonic() + 60 * asked.minutes
    with started("--workers", "1", **SETTINGS) as service, httpx.Client(base_url=service.url, timeout=300) as client:
        wait_until(lambda: ready(service.url), "ready")
        limit(service.process.pid)
        target = Target(service)
        before = target.memory("VmHWM")
        for number in range(asked.runs):
            if monotonic() > end:
                sys.stdout.write(f"the time is over after {number} requests\n")
                break
            address, request = dice.choice([loss_request, evaluation_request])(dice)
            if number < asked.first:
                continue
            begun = target.processor()
            try:
                answer = client.post(address, **request)
            except httpx.HTTPError as error:
                wrong.append(f"request {number} to {address}: {error!r}")
                break
            dearest = max(dearest, (target.processor() - begun, number))
            counts[address.split("/")[2], answer.status_code] += 1
            if number % 25 == 24:
                sys.stdout.write(f"{number + 1}: {dict(counts)}, {spent(dearest)}\n")
                sys.stdout.flush()
            if answer.status_code not in ANSWERS or answer.status_code == 507:
                wrong.append(f"request {number} to {address}: {answer.status_code} {answer.text[:300]}")
                sys.stdout.write(f"{wrong[-1]}\n{service.output[-3000:]}\n")
        alive = service.process.poll() is None
        if alive:
            small = client.post("/v1/losses/mse", json={"predictions": [1.0], "labels": [0.0]})
            alive = small.status_code == 200
        grown = target.memory("VmHWM") - before if alive else math.nan
    for (kind, status), count in sorted(counts.items()):
        sys.stdout.write(f"{kind} {status}: {count}\n")
    sys.stdout.write(f"grew by {grown:.0f} MB at most, {spent(dearest)}, alive: {alive}\n")
    sys.stdout.writelines(f"{one}\n" for one in wrong)
    return bool(wrong) or not alive


if __name__ == "__main__":
    sys.exit(main())
