"""Measures what a computation really takes: every byte that torch and numpy hold at a time, and every element operation.

Nothing here depends on a clock: allocations are counted by torch's profiler and by tracemalloc, operations by their shapes.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lossmeter.cost import PRODUCTS
from lossmeter.engine import Call, Engine
from lossmeter.engine.programs.samples import LIMITS, Form
from lossmeter.errors import Invalid
from lossmeter.losses import Loss
from lossmeter.losses.shapes import patterns
from lossmeter.tensors import Tensor

SORTS = {"sort", "topk", "argsort", "unique_consecutive", "_unique2"}
CTC_STEPS = 40
"""Element operations, logarithms and exponentials among them, of one step of its recursion."""


def least(measure: Callable[[], int], enough: float) -> int:
    """Returns the first of three measurements that is not above `enough`, or the least of them.

    tracemalloc counts what all threads allocate, those among them that servers of other tests left something to do.
    """
    found = measure()
    for _ in range(2):
        if found > enough:
            found = min(found, measure())
    return found


def peak_bytes(compute: Callable[[], Any]) -> int:
    """Returns how many bytes are held at a time beyond those that were held before."""
    from torch.autograd.profiler import profile

    tracemalloc.start()
    try:
        with profile(profile_memory=True) as profiler:
            compute()
        _, of_python = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    live = top = 0
    for event in sorted(events, key=lambda one: one.start_ns()):
        live += event.nbytes()
        top = max(top, live)
    return top + of_python


class Operations(TorchDispatchMode):
    """Adds up the elements of all operations that run, those of the backward pass included."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)]
            self.count += _elements(func.overloadpacket.__name__, tensors)
        return result


def operations(compute: Callable[[], Any]) -> float:
    """Returns how many element operations run."""
    with Operations() as mode:
        compute()
    return mode.count


def _elements(name: str, tensors: list[torch.Tensor]) -> float:
    sizes = [one.shape for one in tensors]
    largest = max((one.numel() for one in tensors), default=0)
    if name in ("mm", "bmm", "addmm"):
        *_, first, _, product = sizes
        return max(largest, math.prod(product) * first[-1] / PRODUCTS)
    if name.startswith("multilabel_margin_loss"):
        return float(largest * max(sizes, key=math.prod)[-1])
    if name.startswith("_ctc_loss"):
        return float(CTC_STEPS * largest)
    if name in SORTS:
        return largest * max(1.0, math.log2(max(2, largest)))
    return float(largest)


def call_of(loss: Loss, sizes: Mapping[str, int], *, gradients: bool = True, precision: str = "float32") -> Call:
    """Makes a valid call of a loss whose dimensions have these sizes."""
    roles = {one.name: one.options[0] for one in loss.tensors if one.required}
    shapes = {name: _substituted(role.shape, sizes) for name, role in roles.items()}
    bounds = {name: sizes[role.meaning.counts] if role.meaning.counts else None for name, role in roles.items()}
    parameters = {one.name: one.default for one in loss.parameters}
    dtype = np.dtype(precision)
    form = Form(roles, shapes, frozenset(), bounds, dtype, None)
    wanted = (
        tuple(name for name, role in roles.items() if role.differentiable and role.meaning.kind == "floating")
        if gradients
        else ()
    )
    problem: Exception | None = None
    for limits in LIMITS:
        tensors = dict(_special(loss, form.sample(1, None, edges=False, limits=limits), shapes))
        call = Call(loss, tensors, parameters, gradients=wanted, precision=precision)  # type: ignore[arg-type]
        try:
            Engine("cpu", chunk_elements=1 << 40).check(call)
        except Invalid as error:
            problem = error
        else:
            return call
    raise AssertionError(f"{loss.name}: no valid call of {dict(sizes)}: {problem}")


def _special(
    loss: Loss, tensors: dict[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors, those replaced that have to fit each other."""
    for name, tensor in tensors.items():
        data = tensor.data
        if loss.name == "ctc" and name == "prediction_lengths":
            data = np.full(len(data), shapes["predictions"][0], data.dtype)
        elif loss.name == "ctc" and name == "label_lengths":
            data = np.full(len(data), shapes["labels"][1], data.dtype)
        elif loss.name == "ctc" and name == "labels":
            data = np.maximum(data, 1)
        elif loss.name == "multilabel_margin" and name == "labels":
            # The dearest: half of the classes are right.
            data = np.tile(
                np.where(np.arange(tensor.shape[1]) < tensor.shape[1] // 2, np.arange(tensor.shape[1]), -1),
                tensor.shape[0],
            ).astype(data.dtype)
        elif loss.name in ("iou", "giou", "diou", "ciou"):
            data = data.reshape(-1, 4).copy()
            data[:, 2:] = np.abs(data[:, 2:]) + np.abs(data[:, :2]) + 1
            data = data.reshape(-1)
        yield name, Tensor(tensor.datatype, tensor.shape, data)


def _substituted(shape: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    bound: dict[str, Any] = {name: (size,) if name[0] == "*" else size for name, size in sizes.items()}
    bound = {name: tuple(size) if isinstance(size, tuple) else (size,) for name, size in bound.items()}
    return patterns(shape)[0].substitute(bound)


def names_of(loss: Loss) -> list[str]:
    """Lists the dimensions of the tensors that a loss needs."""
    shapes = [patterns(one.options[0].shape)[0] for one in loss.tensors if one.required]
    return list(dict.fromkeys(base for shape in shapes for base in sorted(shape.bases)))


def sizes_of(loss: Loss) -> list[dict[str, int]]:
    """Lists sizes of the dimensions of a loss: many rows, and large rows, as large as takes an instant."""
    names = names_of(loss)
    if loss.name == "ctc":
        return [{"T": 300, "N": 10, "C": 20, "S": 50}, {"T": 400, "N": 4, "C": 300, "S": 10}]
    if loss.name == "quantile":
        return [{"*shape": 20000, "Q": 1}, {"*shape": 40000, "Q": 1}]
    if "*d" in names:
        return [{"N": 20, "C": 30, "*d": 50}, {"N": 4, "C": 800, "*d": 10}, {"N": 1, "C": 2, "*d": 20000}]
    if len(names) == 1:
        return [{names[0]: 20000}, {names[0]: 40000}]
    if "C" in names and "D" in names:
        return [{"N": 300, "D": 40, "C": 160}, {"N": 10, "D": 40, "C": 3000}]
    if loss.intermediate or loss.loops:
        return [dict.fromkeys(names, 40) | {names[0]: 200}, dict.fromkeys(names, 20) | {names[-1]: 200}]
    return [dict.fromkeys(names, 20) | {names[0]: 2000}, dict.fromkeys(names, 20) | {names[-1]: 2000}]
