"""Sends random calls of every loss to real servers, from many threads, and compares every bit: `make equality`.

Half of the requests go to `lossmeter serve`, which answers small ones without ASGI, gathers what comes at the same time and
replays recorded programs; half to the same application under plain uvicorn. Both are held to autograd, each call alone in this
process.
"""

from __future__ import annotations

import argparse
import base64
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import httpx
import numpy as np
import orjson
import torch
from safetensors.numpy import load
from safetensors.torch import save

from lossmeter.engine import Call, Engine, Outcome
from lossmeter.losses import LOSSES
from tests.losses.test_losses import differentiable
from tests.support.inputs import Case, make_smooth
from tests.support.open_inference import body, outputs
from tests.support.processes import started
from tests.support.wire import split

THREADS = 32
SEEDS = 4
"""As many tensors of each kind: the service knows kinds again, and numbers never."""
UVICORN = (
    "import sys, uvicorn; "
    "uvicorn.run('lossmeter.api.app:create_app', factory=True, port=int(sys.argv[3]), log_level='warning')"
)
SAFETENSORS = "application/vnd.safetensors"

Format = Literal["numbers", "base64", "safetensors", "open inference"]
FORMATS: tuple[Format, ...] = get_args(Format)
Bits = dict[str, bytes]
"""Everything of an answer that is a number, by name."""


@dataclass(frozen=True)
class Wanted:
    """A call, and how it is sent."""

    loss: str
    seed: int
    case: int
    reduction: str
    precision: Literal["float32", "float64"]
    format: Format


@cache
def cases_of(loss: str, seed: int) -> list[Case]:
    return make_smooth(loss, seed)


def chosen(rng: random.Random) -> Wanted:
    """A random call; half of them take the mean, as most people do."""
    loss = rng.choice(sorted(LOSSES))
    seed = rng.randrange(SEEDS)
    case = rng.randrange(len(cases_of(loss, seed)))
    return Wanted(
        loss,
        seed,
        case,
        rng.choice(["mean", "mean", "sum", "none"]),
        rng.choice(["float32", "float64"]),
        rng.choice(FORMATS),
    )


def in_process(engine: Engine, wanted: Wanted) -> Bits:
    """The numbers of the call by autograd."""
    loss, case = LOSSES[wanted.loss], cases_of(wanted.loss, wanted.seed)[wanted.case]
    tensors, parameters = split(loss, case)
    gradients = tuple(differentiable(loss, case))
    outcome: Outcome = engine.compute(
        Call(loss, tensors, parameters, wanted.reduction, gradients, precision=wanted.precision)
    )
    found = {f"gradient of {name}": gradient.data.tobytes() for name, gradient in outcome.gradients.items()}
    if outcome.values is not None:
        found["values"] = outcome.values.data.tobytes()
    if outcome.value is not None:
        found["value"] = np.float64(outcome.value).tobytes()
    return found | {"sum": np.float64(outcome.sum).tobytes(), "normalizer": np.float64(outcome.normalizer).tobytes()}


def answered(http: httpx.Client, wanted: Wanted) -> Bits:
    """The numbers that the service gives."""
    loss, case = LOSSES[wanted.loss], cases_of(wanted.loss, wanted.seed)[wanted.case]
    send = by_open_inference if wanted.format == "open inference" else by_own_routes
    return send(http, wanted, case, differentiable(loss, case))


def by_own_routes(http: httpx.Client, wanted: Wanted, case: Case, gradients: list[str]) -> Bits:
    tensors = {name: value for name, value in case.items() if isinstance(value, torch.Tensor)}
    fields = {name: value for name, value in case.items() if name not in tensors}
    fields |= {"reduction": wanted.reduction, "gradients": gradients, "precision": wanted.precision}
    if wanted.format == "safetensors":
        content = save(
            {name: value.contiguous() for name, value in tensors.items()}, {"request": orjson.dumps(fields).decode()}
        )
        headers = {"content-type": SAFETENSORS, "accept": SAFETENSORS}
    else:
        encoding = "base64" if wanted.format == "base64" else "data"
        fields |= {name: value.tolist() for name, value in tensors.items()} | {"tensor_encoding": encoding}
        content, headers = orjson.dumps(fields), {"content-type": "application/json"}
    answer = http.post(f"/v1/losses/{wanted.loss}", content=content, headers=headers)
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    if wanted.format == "safetensors":
        length = int.from_bytes(answer.content[:8], "little")
        rest = orjson.loads(orjson.loads(answer.content[8 : 8 + length])["__metadata__"]["response"])
        found = {name.replace("gradients.", "gradient of "): a.tobytes() for name, a in load(answer.content).items()}
    else:
        rest = answer.json()
        found = {f"gradient of {name}": bits_of(tensor) for name, tensor in rest["gradients"].items()}
        if "values" in rest:
            found["values"] = bits_of(rest["values"])
    scalars = ["sum", "normalizer"] + ["value"] * (wanted.reduction != "none")
    return found | {name: np.float64(rest[name]).tobytes() for name in scalars}


def bits_of(tensor: dict[str, Any]) -> bytes:
    if "base64" in tensor:
        return base64.b64decode(tensor["base64"])
    return np.array(tensor["data"], {"FP32": np.float32, "FP64": np.float64}[tensor["datatype"]]).tobytes()


def by_open_inference(http: httpx.Client, wanted: Wanted, case: Case, gradients: list[str]) -> Bits:
    tensors = {name: value.numpy() for name, value in case.items() if isinstance(value, torch.Tensor)}
    parameters = {name: value for name, value in case.items() if name not in tensors}
    parameters |= {"reduction": wanted.reduction, "precision": wanted.precision}
    value = "values" if wanted.reduction == "none" else "value"
    names = [value, "sum", "normalizer", *(f"gradient_{name}" for name in gradients)]
    content, headers = body(
        tensors,
        binary=True,
        parameters=parameters,
        outputs=[{"name": name, "parameters": {"binary_data": True}} for name in names],
    )
    answer = http.post(f"/v2/models/{wanted.loss}/infer", content=content, headers=headers)
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    found = {}
    for name, array in outputs(answer.content, answer.headers).items():
        scalar = name in ("value", "sum", "normalizer")
        found[name.replace("gradient_", "gradient of ", 1)] = (
            np.float64(array[0]).tobytes() if scalar else array.tobytes()
        )
    return found


def differences(urls: list[str], requests: int, seed: int, count: Callable[[Wanted], None]) -> Iterator[str]:
    """What is not equal to the last bit."""
    engine = Engine("cpu")
    engine.programs.record_after = 0  # autograd alone
    rng = random.Random(seed)
    calls = [(rng.choice(range(len(urls))), chosen(rng)) for _ in range(requests)]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                httpx.Client(
                    base_url=url, timeout=120, limits=httpx.Limits(max_connections=THREADS, keepalive_expiry=2)
                )
            )
            for url in urls
        ]

        def difference(call: tuple[int, Wanted]) -> str | None:
            where, wanted = call
            try:
                given = answered(clients[where], wanted)
            except (RuntimeError, httpx.HTTPError) as error:
                return f"{urls[where]} {wanted}: {error}"
            expected = in_process(engine, wanted)
            count(wanted)
            wrong = [name for name in given.keys() | expected.keys() if given.get(name) != expected.get(name)]
            return f"{urls[where]} {wanted}: {', '.join(sorted(wrong))}" if wrong else None

        with ThreadPoolExecutor(THREADS) as pool:
            yield from filter(None, pool.map(difference, calls))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.equality", description=__doc__)
    parser.add_argument("requests", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    equal: Counter[str] = Counter()
    with started("--workers", "1") as served, started(program=UVICORN) as plain:
        wrong = 0
        for found in differences(
            [served.url, plain.url], arguments.requests, arguments.seed, lambda each: equal.update([each.format])
        ):
            sys.stdout.write(f"{found}\n")
            wrong += 1
    sys.stdout.write(f"{sum(equal.values()):,} requests answered ({dict(equal)}), {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
