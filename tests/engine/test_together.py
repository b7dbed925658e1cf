"""Computing calls together gives each of them, bit for bit, what it gives alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.engine import Call, Engine, Outcome, PassResult, Work, outcome
from lossmeter.engine import compute as module
from lossmeter.losses import LOSSES, Loss, find
from lossmeter.losses.shapes import patterns
from lossmeter.tensors import Datatype, Tensor
from tests.losses.test_losses import converted, differentiable
from tests.support.devices import NAME
from tests.support.inputs import Case, smooth
from tests.support.wire import split, wired

ENGINE = Engine(NAME)
HOST = Engine("cpu")
"""A GPU computes each call alone; which calls could be put together is asked of the CPU."""

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def bits(one: Outcome) -> dict[str, Any]:
    tensors = {**one.gradients, "values": one.values}
    shown = {name: None if x is None else (x.shape, x.data.dtype, x.data.tobytes()) for name, x in tensors.items()}
    numbers = np.array([np.nan if one.value is None else one.value, one.sum, one.normalizer, one.count])
    return {**shown, "numbers": numbers.tobytes(), "warnings": one.warnings}


def fusable(loss: Loss, precision: Any) -> list[Case]:
    """A case for each way in which batches of the loss can be put together."""
    found: dict[Any, Case] = {}
    for case in smooth(loss.name):
        converted_case = converted(case, PRECISIONS[precision])
        tensors, parameters = split(loss, converted_case)
        key = HOST.check(Call(loss, tensors, parameters, precision=precision)).batch_key
        if key is not None:
            found.setdefault(key, converted_case)
    return list(found.values())[:6]


def calls(loss: Loss, case: Case, precision: Any) -> list[Call]:
    """One case as batches of several sizes, reduced and weighted in several ways."""
    wanted = tuple(differentiable(loss, case))
    tensors, parameters = split(loss, case)
    fitted = ENGINE.check(Call(loss, tensors, parameters, precision=precision)).shapes
    rows = fitted.output[0]
    random = np.random.default_rng(rows)
    found = []
    for size, reduction in ((2, "mean"), (rows, "none"), (19, "sum"), (2 * rows + 3, "mean"), (7, "none")):
        picked = torch.from_numpy(random.integers(0, rows, size))
        tensors, _ = split(loss, {name: case[name][picked] for name in fitted.batched})
        call = Call(loss, tensors, parameters, reduction, wanted, precision=precision)
        weight = Tensor(Datatype.FP64, (size,), random.random(size))
        mask = Tensor(Datatype.BOOL, (size,), random.random(size) < 0.7)
        found += [call, replace(call, sample_weight=weight, non_finite="allow"), replace(call, mask=mask)]
    return found


def shared(loss: Loss) -> bool:
    """Whether it needs a tensor that all rows share, such as a number per class: then batches stay apart."""
    (first, *_) = patterns(loss.output)
    needed = [role.shape for one in loss.tensors if one.required for role in one.options]
    return any(patterns(shape)[0].names[:1] != first.names[:1] for shape in needed)


TOGETHER = [loss for loss in LOSSES.values() if loss.chunked and not shared(loss)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", TOGETHER, ids=lambda loss: loss.name)
def test_together_or_alone_gives_the_same_bits(loss: Loss, precision: Any) -> None:
    cases = fusable(loss, precision)
    assert cases, f"nothing of {loss.name} can be put together"
    for case in cases:
        works = [ENGINE.check(call) for call in calls(loss, case, precision)]
        assert len({work.batch_key for work in works}) == 1
        for work, done in zip(works, ENGINE.run_together(works), strict=True):
            assert bits(outcome(work, done)) == bits(ENGINE.compute(work.call))


def mse(size: int, labels: float = 0.0, *, reduction: str = "mean", columns: int = 3) -> Call:
    tensors = {
        "predictions": torch.arange(size * columns).reshape(size, columns) / 7,
        "labels": torch.full((size, columns), labels),
    }
    return Call(find("mse"), {name: wired(tensor) for name, tensor in tensors.items()}, {}, reduction, ("predictions",))


@pytest.mark.parametrize(
    "other",
    [
        mse(1),
        mse(4, columns=2),
        replace(mse(4), gradients=()),
        replace(mse(4), precision="float64"),
        replace(mse(4), loss=find("mae")),
        replace(mse(4), loss=find("huber"), parameters={"delta": 1.0}),
    ],
    ids=["one row", "other columns", "other gradients", "other precision", "other loss", "not in pieces"],
)
def test_only_batches_of_the_same_kind_are_put_together(other: Call) -> None:
    works = [ENGINE.check(mse(4)), ENGINE.check(mse(9, 1.0, reduction="sum")), ENGINE.check(other)]
    assert works[0].batch_key == works[1].batch_key != works[2].batch_key


def test_parameters_that_are_equal_but_not_the_same_keep_batches_apart() -> None:
    one, other = (
        replace(mse(4), loss=find("poisson_nll"), parameters={"log_input": True, "full": False, "eps": eps})
        for eps in (0.0, -0.0)
    )
    assert ENGINE.check(one).batch_key != ENGINE.check(other).batch_key


def test_a_batch_stays_within_what_torch_computes_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = module.run_together

    def counted(works: Sequence[Work]) -> list[PassResult]:
        sizes.append(len(works))
        return run(works)

    monkeypatch.setattr(module, "run_together", counted)
    monkeypatch.setattr(module, "TOGETHER_ELEMENTS", 30)
    works = [ENGINE.check(mse(size)) for size in (2, 3, 4, 2, 9, 5, 20, 2, 2)]
    assert len(ENGINE.run_together(works)) == len(works)
    assert sizes == [3, 2]  # the others are alone: 9 rows, 5, and 20, which is more than there is room for
