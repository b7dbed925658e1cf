"""Mutated graphs: none may crash the process, raise what is no refusal, or go beyond its limits."""

from __future__ import annotations

import copy
import random
import resource
import sys
import time
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.client import trace
from lossmeter.engine import Call, Engine, outcome
from lossmeter.engine.graphs import custom_work, read_graph, run
from lossmeter.engine.graphs.operations import FUNCTIONS, METHODS
from lossmeter.errors import DoesNotFit, Invalid, LossmeterError, TookTooLong, TooLarge
from lossmeter.losses import find
from tests.support.wire import wired

ENGINE = Engine("cpu")
MOST = 1 << 14
SECONDS = 10.0
REFUSALS = (Invalid, TooLarge, TookTooLong, DoesNotFit)


def _focal(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    logs = x.log_softmax(dim=1)
    chosen = torch.gather(logs, 1, i.unsqueeze(1)).squeeze(1)
    return -((1 - chosen.exp()) ** 2) * chosen + 0.0 * y.sum()


def _pairs(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    similarity = F.normalize(x, dim=1) @ F.normalize(y, dim=1).transpose(0, 1)
    return F.cross_entropy(similarity / 0.07, i, reduction="none", label_smoothing=0.1)


def _shapes(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    parts = torch.cat([x, y], dim=1).reshape(x.size(0), 2, -1).unbind(1)
    return (parts[0] - parts[1])[:, 1:3].flatten().clamp(-1, 1).square() + x[i].mean()


def _losses(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    chance = torch.sigmoid(x)
    base = F.binary_cross_entropy(chance, torch.sigmoid(y), reduction="none")
    return base + F.kl_div(x.log_softmax(1), y.softmax(1), reduction="none") + F.one_hot(i, 6)[:, :4]


def _order(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    top, where = x.topk(2, dim=1)
    return top.cumsum(1) - y.take_along_dim(where, 1) + x.sort(dim=1, descending=True)[0][:, :2] - x.std(0).amax()


def _wheres(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    kept = ~(x > 0.5) & (y <= x)
    return torch.where(kept, x.abs() ** 0.5, torch.logaddexp(x, y)).masked_fill(kept, 1.0) + torch.arange(4)


SEEDS = [trace(function) for function in (_focal, _pairs, _shapes, _losses, _order, _wheres)]
TARGETS = [*FUNCTIONS, "os.system", "torch.load", "builtins.eval", "torch.Tensor.apply_"]
METHOD_TARGETS = [*METHODS, "__class__", "backward", "item", "share_memory_"]
SCALARS: list[Any] = [
    *(0, 1, -1, 2, 3, 7, 64, -64, 1 << 20, 1 << 31, 1 << 53, -(1 << 62), 1 << 80, 0.5, -0.0, 1e300, 1e-300),
    *(None, True, False, "mean", "none", "x", "", "shape", "__dict__", [], [0], [0, 1], [-1, 2], [1 << 40], {}),
    *({"float": "nan"}, {"float": "inf"}, {"ellipsis": True}, {"slice": [None, None, None]}, {"slice": [2, 0, -1]}),
    *({"tuple": [0, {"ref": "i"}]}, {"dtype": "int64"}, {"dtype": "bool"}, {"ref": "missing"}, {"dtype": "object"}),
]  # fmt: skip


def mutate(graph: dict[str, Any], source: random.Random) -> dict[str, Any]:  # noqa: C901 - a case for each change
    """Changes a graph in one to four places."""
    graph = copy.deepcopy(graph)
    nodes: list[Any] = graph["nodes"]
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        number = source.randrange(len(nodes))
        node = nodes[number]
        if not isinstance(node.get("args", []), list) or not isinstance(node.get("kwargs", {}), dict):
            return graph
        if not all(isinstance(one["name"], str) for one in nodes):
            return graph
        names = [one["name"] for one in nodes[: number + 1]]
        match source.randrange(9):
            case 0:
                node["target"] = source.choice(METHOD_TARGETS if node["op"] == "call_method" else TARGETS)
            case 1 if node.get("args"):
                node["args"][source.randrange(len(node["args"]))] = source.choice(SCALARS)
            case 2 if node.get("args"):
                node["args"][source.randrange(len(node["args"]))] = {"ref": source.choice(names)}
            case 3:
                node.setdefault("args", []).append(source.choice(SCALARS))
            case 4 if node.get("args"):
                del node["args"][source.randrange(len(node["args"]))]
            case 5:
                key = source.choice(["dim", "keepdim", "reduction", "out", "dtype", "input", "k", "size", "weight"])
                node.setdefault("kwargs", {})[key] = source.choice(SCALARS)
            case 6:
                nodes.insert(number, copy.deepcopy(source.choice(nodes)))
                nodes[number]["name"] += f"_{source.randrange(99)}"
            case 7:
                target = source.choice(TARGETS)
                args = [{"ref": source.choice(names)}, *source.sample(SCALARS, source.randint(0, 2))]
                added = {"op": "call_function", "name": f"n{source.randrange(999)}", "target": target, "args": args}
                nodes.insert(min(number + 1, len(nodes) - 1), added)
                if number + 2 < len(nodes) and nodes[-1].get("args") and source.random() < 0.5:
                    nodes[-1]["args"] = [{"ref": added["name"]}]
            case 8:
                node[source.choice(["op", "name", "target", "args", "kwargs"])] = source.choice(SCALARS)
    return graph


def tensors(source: random.Random) -> dict[str, Tensor]:
    """Makes inputs, some of them strange."""
    made = torch.Generator().manual_seed(source.randrange(1 << 30))
    rows = source.choice([4, 4, 4, 1, 0])
    found = {
        "x": torch.randn(rows, 4, generator=made),
        "y": torch.randn(rows, 4, generator=made),
        "i": torch.randint(4, (rows,), generator=made),
    }
    if source.random() < 0.1:
        found["i"] = found["i"] - source.choice([1, 1 << 40, 100])
    if source.random() < 0.1:
        found["x"] = torch.full((rows, 4), source.choice([1e30, -1e30, 0.0]))
    return found


def attack(seed: int) -> str:
    """Sends one mutated graph through; returns how it ended.

    Raises:
        AssertionError: if it took too long.
        Exception: whatever is no refusal.
    """
    source = random.Random(seed)
    graph: dict[str, Any] = mutate(dict(source.choice(SEEDS).graph), source)
    given = {name: wired(value) for name, value in tensors(source).items()}
    wanted = source.choice([(), ("x",), ("x", "y")])
    reduction = source.choice(["mean", "sum", "none"])
    call = Call(find("mse"), given, {}, reduction=reduction, gradients=wanted)
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a spread of one number, say
            work, _, sizes = custom_work(ENGINE, read_graph(graph), call, MOST, SECONDS)
            assert sizes.largest <= MOST
            outcome(work, run(ENGINE, work))
    except REFUSALS:
        return "refused"
    except LossmeterError as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error
    finally:
        assert time.process_time() - began < SECONDS
    return "computed"


def main(runs: int) -> int:
    """Runs so many attacks; prints those that are no refusals, and how much memory was taken."""
    counts = {"computed": 0, "refused": 0, "failed": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(runs):
        try:
            counts[attack(seed)] += 1
        except Exception as error:  # noqa: BLE001 - told
            counts["failed"] += 1
            sys.stderr.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    sys.stdout.write(f"{counts}, {grown} MiB more at most\n")
    return counts["failed"]


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)))
