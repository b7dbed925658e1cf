"""Losses as data: what torch.fx records of a function, and the service computes, is the function."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.budget import sent
from lossmeter.client import trace
from lossmeter.cost import TEXT_BYTES
from lossmeter.engine import Call, Engine, Outcome, outcome
from lossmeter.engine.graphs import custom_work, read_graph, run
from lossmeter.engine.graphs.functions import parted
from lossmeter.engine.graphs.kinds import WrongArgument
from lossmeter.engine.graphs.operations import FUNCTIONS, METHODS
from lossmeter.errors import Invalid, TookTooLong, TooLarge
from lossmeter.losses import find
from tests.programs.fuzz.graphs import SEEDS, attack
from tests.support.costs import least, operations, peak_bytes
from tests.support.wire import wired

ENGINE = Engine("cpu")
ELEMENTS = 1 << 16


def compute(
    graph: Any, tensors: dict[str, Tensor], most: int = ELEMENTS, seconds: float = 60.0, **more: Any
) -> Outcome:
    call = Call(find("mse"), {name: wired(value) for name, value in tensors.items()}, {}, precision="float64", **more)
    work, _, _ = custom_work(ENGINE, read_graph(graph), call, most, seconds)
    return outcome(work, run(ENGINE, work))


def asymmetric(x: Tensor, y: Tensor, factor: float = 3.0) -> Tensor:
    error = x - y
    return torch.where(error < 0, factor * error.square(), error.square())


def labelled(x: Tensor, index: Tensor) -> Tensor:
    return -x.log_softmax(dim=-1).gather(1, index.unsqueeze(1)).squeeze(1)


def shaped(x: Tensor, y: Tensor) -> Tensor:
    size = x.shape[0]
    halves = x.reshape(size, 2, -1).chunk(2, dim=1)
    return (torch.cat(halves, dim=2).flatten(1) * y[:, [0]]).sum(dim=1) / x.size(1) + y[:, -1]


def pairs(x: Tensor, y: Tensor) -> Tensor:
    similarity = F.normalize(x, dim=1) @ F.normalize(y, dim=1).t() / 0.1
    return F.cross_entropy(similarity, torch.arange(6), reduction="none")


def robust(x: Tensor, y: Tensor) -> Tensor:
    return (
        F.huber_loss(x, y, reduction="none", delta=0.5) + F.softplus(-x) * torch.clamp(y, min=0.0) + x.abs().max() * 0.1
    )


def ranked(x: Tensor, y: Tensor) -> Tensor:
    top, where = x.topk(3, dim=1)
    return (top - y.take_along_dim(where, 1)).abs().logsumexp(1) - x.std(1) + x.amax((0, 1))


def clipped(x: Tensor, y: Tensor, index: Tensor) -> Tensor:
    ratio = (x - y).exp()
    kept = ~(ratio > 1.2) & (ratio >= 0.8)
    return -torch.minimum(ratio * y, ratio.clamp(0.8, 1.2) * y).masked_fill(~kept, 0.0)[index]


@pytest.mark.parametrize("function", [asymmetric, labelled, shaped, pairs, robust, ranked, clipped])
@pytest.mark.filterwarnings("ignore:Was not able to add assertion")
def test_values_and_gradients_are_those_of_the_function_itself(function: Callable[..., Tensor]) -> None:
    source = torch.Generator().manual_seed(1)
    tensors = {
        "x": torch.randn(6, 8, generator=source, dtype=torch.float64).requires_grad_(),
        "y": torch.randn(6, 8, generator=source, dtype=torch.float64).requires_grad_(),
        "index": torch.arange(6) % 4,
    }
    traced = trace(function)
    given = {name: tensors[name] for name in traced.roles if name in tensors}
    expected = function(**given)
    wanted = [name for name in given if given[name].requires_grad]
    found = compute(
        json.loads(json.dumps(traced.graph)),
        {**{k: v.detach() for k, v in given.items()}, **traced.constants},
        reduction="none",
        gradients=tuple(wanted),
    )
    assert found.values is not None
    assert found.values.data.tobytes() == expected.detach().numpy().tobytes()
    gradients = torch.autograd.grad(expected.sum(), [given[name] for name in wanted])
    for name, gradient in zip(wanted, gradients, strict=True):
        np.testing.assert_array_equal(found.gradients[name].data, gradient.numpy().reshape(-1))


def node(name: str, target: str, *args: Any, op: str = "call_function", **kwargs: Any) -> dict[str, Any]:
    return {"op": op, "name": name, "target": target, "args": list(args), "kwargs": kwargs}


def graph(*nodes: dict[str, Any], output: Any = None) -> dict[str, Any]:
    last = {"ref": nodes[-1]["name"]} if output is None else output
    return {
        "format": 1,
        "nodes": [node("x", "x", op="placeholder"), *nodes, node("output", "output", last, op="output")],
    }


def test_the_graphs_of_tinker_are_read_as_they_stand() -> None:
    metrics = {"dict": {"custom/kl:mean": {"ref": "kl"}}}
    given = graph(
        node("old", "old_logprobs", op="placeholder"),
        node("sub", "operator.sub", "x", "old"),
        node("kl", "mean", {"ref": "sub"}, op="call_method"),
        node("exp", "torch.exp", {"ref": "sub"}),
        node("part", "operator.getitem", {"ref": "exp"}, {"tuple": [{"slice": [None, 2, None]}]}),
        node("total", "torch.sum", "part", dtype=None) | {"kwargs": {}},
        output={"tuple": [{"ref": "total"}, metrics]},
    )
    call = Call(find("mse"), {"x": wired(torch.tensor([0.5, 1.0, 2.0])), "old_logprobs": wired(torch.zeros(3))}, {})
    work, numbers, _ = custom_work(ENGINE, read_graph(given), call, ELEMENTS, 60.0)
    found = outcome(work, run(ENGINE, work))
    assert found.value == pytest.approx(math.exp(0.5) + math.e)
    assert numbers == {"custom/kl:mean": pytest.approx(3.5 / 3)}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (graph(node("a", "os.system", "ls")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "builtins.eval", "1")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "builtins.getattr", "x", "__class__")), "/graph/nodes/1/args/1", "'__class__'"),
    (graph(node("a", "torch.load", "x")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "__reduce__", "x", op="call_method")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "add_", "x", "x", op="call_method")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "item", "x", op="call_method")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "torch.rand_like", "x")), "/graph/nodes/1/target", "none of the operations"),
    (graph(node("a", "weight", op="get_attr")), "/graph/nodes/1/op", "expected one of"),
    (graph(node("a", "torch.exp", "x", out={"ref": "x"})), "/graph/nodes/1/kwargs/out", "no argument 'out'"),
    (graph(node("a", "torch.exp", {"ref": "a"})), "/graph/nodes/1/args/0", "no node that stands before"),
    (graph(node("x", "torch.exp", "x")), "/graph/nodes/1/name", "again"),
    (graph(node("a", "torch.exp")), "/graph/nodes/1", "lacks the argument input"),
    (graph(node("a", "torch.exp", "x", "x")), "/graph/nodes/1/args/1", "at most 1"),
    (graph(node("a", "torch.exp", 1.0)), "/graph/nodes/1", "input is 1.0; expected tensor"),
    (graph(node("a", "torch.exp", [[[[[["x"]]]]]])), "/graph/nodes/1/args/0", "deeper"),
    (graph(node("a", "torch.sum", "x", 3)), "/graph/nodes/1", "Dimension out of range"),
    (graph(node("a", "torch.full", [1 << 60], 1.0)), "/graph/nodes/1", "size"),
    (graph(node("a", "torch.gather", "x", 0, "x")), "/graph/nodes/1", "expected int64"),
    (graph(node("i", "torch.arange", 9), node("a", "torch.gather", "x", 0, "i")), "/graph/nodes/2", "index has 8"),
    (graph(node("i", "torch.arange", 9), node("a", "operator.getitem", "x", "i")), "/graph/nodes/2", "index has 8"),
    (graph(node("m", "operator.gt", "x", 0), node("a", "operator.getitem", "x", "m")), "/graph/nodes/2", "torch.where"),
    (graph(node("i", "torch.arange", 3), node("a", "operator.mod", "i", 0)), "/graph/nodes/2", "integers"),
    (graph(node("i", "torch.arange", 3), node("a", "torch.floor_divide", "i", "i")), "/graph/nodes/2", "integers"),
    (graph(node("a", "operator.floordiv", 1, 0)), "/graph/nodes/1", "zero"),
    (graph(node("a", "operator.pow", 10, 400)), "/graph/nodes/1", "out of range"),
    (graph(node("a", "operator.mul", 1 << 53, 1 << 53)), "/graph/nodes/1", "no number"),
    (graph(node("a", "torch.nn.functional.one_hot", "x", 3)), "/graph/nodes/1", "expected int64"),
    (graph(node("a", "torch.nn.functional.binary_cross_entropy", "x", "x")), "/graph/nodes/1", "probabilities"),
    (graph(node("a", "operator.lt", "x", 1)), "/graph/nodes", "no floating tensor"),
    (graph(node("a", "operator.add", 1, 1)), "/graph/nodes", "no floating tensor"),
    (graph(node("a", "torch.diff", "x", 9)), "/graph/nodes/1", "n is 9; expected at most 8"),
    ({"format": 2, "nodes": []}, "/graph/format", "expected 1"),
    ({"format": 1, "nodes": []}, "/graph/nodes", "1 to 512"),
    ({"format": 1, "nodes": [node("x", "x", op="placeholder")]}, "/graph/nodes", "no output"),
    ({"format": 1, "nodes": [3]}, "/graph/nodes/0", "expected an object"),
    ({"format": 1, "nodes": [], "code": "x"}, "/graph/code", "not a field"),
]


@pytest.mark.parametrize(("given", "pointer", "message"), WRONG)
def test_what_a_graph_may_not_is_named(given: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        compute(given, {"x": torch.arange(8.0)})
    assert caught.value.flaws[0].pointer == pointer
    assert message in caught.value.detail


def test_sizes_are_known_before_anything_is_computed() -> None:
    wide = graph(
        node("a", "torch.full", [1 << 30], 1.0), node("b", "operator.add", "a", 1.0), node("c", "torch.sum", "b")
    )
    with pytest.raises(TooLarge, match="1073741824 elements"):
        compute(wide, {"x": torch.zeros(2)})
    many = [node(f"n{i}", "torch.exp", "x" if not i else f"n{i - 1}") for i in range(20)]
    with pytest.raises(TooLarge, match="in all"):
        compute(graph(*many), {"x": torch.zeros(1000)}, most=1500)
    products = graph(node("a", "torch.ones", [1 << 14, 1 << 14]), node("b", "torch.matmul", "a", "a"))
    with pytest.raises(TooLarge, match="products"):
        compute(products, {"x": torch.zeros(2)}, most=1 << 40)


def test_parts_are_counted_before_there_are_any() -> None:
    wide = torch.empty(100_000, device="meta")
    tracemalloc.start()
    try:
        with pytest.raises(WrongArgument, match="100000 parts"):
            parted(wide, 1, 0)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


CHAIN = [node(f"n{i}", "torch.exp", f"n{i - 1}" if i else "x") for i in range(8)]
COSTS = [
    graph(*CHAIN),
    graph(node("a", "torch.softmax", "x", 0), node("b", "torch.log", "a"), node("c", "operator.mul", "a", "b")),
    graph(node("a", "torch.sort", "x"), node("b", "operator.getitem", "a", 0), node("c", "torch.cumsum", "b", 0)),
    graph(
        node("m", "reshape", "x", 100, 200, op="call_method"),
        node("t", "torch.t", "m"),
        node("p", "torch.mm", "m", "t"),
    ),
]


@pytest.mark.parametrize("gradients", [(), ("x",)], ids=["value", "gradient"])
@pytest.mark.parametrize("given", COSTS, ids=["chain", "softmax", "sort", "product"])
def test_a_graph_takes_what_its_shapes_say(given: dict[str, Any], gradients: tuple[str, ...]) -> None:
    call = Call(find("mse"), {"x": wired(torch.rand(20_000))}, {}, gradients=gradients)
    work, _, _ = custom_work(ENGINE, read_graph(given), call, ELEMENTS, 60.0)
    cost = work.plan.cost
    most = cost.memory - TEXT_BYTES * 20_000 * len(gradients)
    measured = least(lambda: peak_bytes(lambda: run(ENGINE, work)), enough=1.25 * most)
    assert most / 5 <= measured <= 1.25 * most
    counted = operations(lambda: run(ENGINE, work))
    assert cost.operations / 10 <= counted <= 1.25 * cost.operations


@pytest.mark.parametrize(
    ("nodes", "unit"),
    [
        ((node("a", "torch.ones", [60_000_000]), node("b", "torch.sum", "a")), "bytes"),
        ((node("a", "torch.ones", [2000, 2000]), node("b", "torch.matmul", "a", "a")), "operations"),
        ((node("a", "torch.ones", [500, 500]), node("b", "torch.cdist", "a", "a")), "operations"),
        ((node("a", "torch.ones", [2_000_000]), node("b", "torch.argsort", "a")), "operations"),
    ],
)
def test_a_graph_of_few_bytes_is_refused_where_it_becomes_large(nodes: tuple[Any, ...], unit: str) -> None:
    given = graph(*nodes, node("end", "operator.add", "x", 1.0))
    with sent(300), pytest.raises(TooLarge, match=f"takes [0-9]+ .*{unit}.* comes as 300 bytes"):
        compute(given, {"x": torch.zeros(2)}, most=100_000_000)


def test_a_graph_ends_when_its_time_is_over() -> None:
    with pytest.raises(TookTooLong):
        compute(graph(node("a", "torch.exp", "x")), {"x": torch.zeros(2)}, seconds=-1.0)


FORBIDDEN = (
    "rand",
    "bernoulli",
    "dropout",
    "load",
    "save",
    "numpy",
    "tolist",
    "apply",
    "backward",
    "new_",
    "set_",
    "data_ptr",
)


def test_the_table_names_nothing_that_overwrites_draws_or_leaves_torch() -> None:
    for name in [*FUNCTIONS, *METHODS]:
        last = name.rpartition(".")[2]
        assert not last.startswith("__")
        assert not last.endswith("_") or last in ("and_", "or_")
        for word in FORBIDDEN:
            assert word not in last


def test_mutated_graphs_neither_crash_nor_pass_their_limits() -> None:
    assert len(SEEDS) > 5
    seen = [attack(seed) for seed in range(300)]
    assert seen.count("computed") > 20  # or the mutations break everything
    assert seen.count("refused") > 20


def test_nothing_was_imported_for_a_graph() -> None:
    before = set(sys.modules)
    with pytest.raises(Invalid):
        compute(graph(node("a", "subprocess.Popen", "ls")), {"x": torch.zeros(2)})
    assert "antigravity" not in set(sys.modules) - before
