"""A plan admits nothing that the checks refuse, and weighs as they do."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lossmeter.engine import Call, Engine
from lossmeter.engine.elements import DOT_ELEMENTS, is_below, is_finite
from lossmeter.engine.plans import STUDY_AFTER
from lossmeter.errors import Invalid
from lossmeter.losses import LOSSES, Loss, find
from tests.engine.test_together import bits, mse
from tests.losses.test_losses import complete, differentiable
from tests.support.devices import NAME
from tests.support.inputs import Case, cases, edges, smooth
from tests.support.wire import split, wired

POISON = (math.nan, math.inf, -math.inf, -1.5, 2.5, 1e300)
INDICES = (-1, -100, -101, 99, 2**62)


def studied(loss: Loss, case: Case, **fields: Any) -> tuple[Engine, Call]:
    """An engine that has studied the plan of a call."""
    tensors, parameters = split(loss, case)
    call = Call(loss, tensors, parameters, gradients=tuple(differentiable(loss, case)), precision="float64", **fields)
    engine = Engine(NAME)
    engine.programs.record_after = 0
    for _ in range(STUDY_AFTER + 1):
        engine.check(call)
    engine.programs.join()
    return engine, call


def test_nothing_imports_half_of_torch_to_learn_what_depends_on_shapes_alone() -> None:
    # In a process of its own: others may have imported it already.
    program = """
import sys
import numpy as np
from lossmeter.engine import Call, Engine
from lossmeter.errors import Invalid
from lossmeter.losses import find
from lossmeter.tensors import Datatype, Tensor

engine = Engine(sys.argv[1])
logits = Tensor(Datatype.FP32, (2, 3), np.zeros(6, np.float32))
labels = Tensor(Datatype.INT64, (2,), np.array([0, 2]))
given = {"predictions": logits, "labels": labels}, {"ignore_index": -100, "label_smoothing": 0.0}
for _ in range(20):
    engine.compute(Call(find("cross_entropy"), *given))
negative = Tensor(Datatype.FP32, (2,), np.array([-2, 1], np.float32))
try:
    engine.compute(Call(find("msle"), {"predictions": negative, "labels": negative}))
except Invalid as error:
    assert error.flaws[0].index == (0,), error.flaws
plan = engine.check(Call(find("cross_entropy"), *given)).plan
assert plan.ignoring
engine.programs.join()
assert plan.program.program
assert not {"sympy", "torch._dynamo", "torch.distributed.tensor"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program, NAME], check=True)


def result(engine: Engine, call: Call) -> Any:
    try:
        return bits(engine.compute(call))
    except Invalid as error:
        return error.flaws
    except RuntimeError as error:  # NaN, where it is allowed and a kernel refuses it
        return str(error)


@pytest.mark.parametrize("non_finite", ["error", "allow"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_a_plan_refuses_and_gives_what_the_checks_do(loss: Loss, non_finite: Any) -> None:
    random = np.random.default_rng(7)
    chosen = smooth(loss.name)
    for case in [chosen[i] for i in random.permutation(len(chosen))[:6]]:
        engine, call = studied(loss, case, non_finite=non_finite)
        assert engine.check(call).plan.uses > STUDY_AFTER
        for name in call.tensors:
            for poison in INDICES if not case[name].is_floating_point() else POISON:
                poisoned = case[name].clone()
                if poisoned.numel():
                    poisoned.view(-1)[-1] = torch.tensor(poison).to(poisoned.dtype)
                other = replace(call, tensors={**call.tensors, name: wired(poisoned)})
                assert result(engine, other) == result(Engine(NAME), other)


def counts_labels(loss: Loss) -> bool:
    return "labels" in loss.tensor and loss.output == loss.tensor["labels"].options[0].shape


LABELLED = [loss for loss in LOSSES.values() if loss.support and "labels" in loss.tensor]
MASKED = [loss for loss in LOSSES.values() if loss.support and "mask" in loss.tensor]
OTHERWISE = {
    "cox_ph": "by its events",
    "vicreg": "by the size of the batch",
    "barlow_twins": "by the size of the batch",
}


def test_labels_a_mask_or_what_is_named_here_say_what_counts() -> None:
    supported = {loss.name for loss in LOSSES.values() if loss.support}
    assert {loss.name for loss in LABELLED} | {loss.name for loss in MASKED} | OTHERWISE.keys() == supported


def test_events_are_looked_at_in_each_call() -> None:
    for case in [one for one in cases("cox_ph") if one["events"].numel()][:4]:
        engine, call = studied(find("cox_ph"), {**case, "events": torch.ones_like(case["events"])})
        for events in (case["events"], torch.zeros_like(case["events"])):
            other = replace(call, tensors={**call.tensors, "events": wired(events)})
            assert result(engine, other) == result(Engine(NAME), other)


@pytest.mark.parametrize("loss", MASKED, ids=lambda loss: loss.name)
def test_masks_are_looked_at_in_each_call(loss: Loss) -> None:
    for case in [one for one in cases(loss.name) if "mask" in one and one["mask"].numel()][:4]:
        engine, call = studied(loss, {**case, "mask": torch.ones_like(case["mask"])})
        assert result(engine, call) == result(Engine(NAME), call)
        for mask in (case["mask"], ~case["mask"], torch.zeros_like(case["mask"])):
            other = replace(call, tensors={**call.tensors, "mask": wired(mask)})
            assert result(engine, other) == result(Engine(NAME), other)
        without = replace(call, tensors={name: one for name, one in call.tensors.items() if name != "mask"})
        assert result(engine, without) == result(Engine(NAME), without)


@pytest.mark.parametrize("loss", [x for x in LABELLED if counts_labels(x)], ids=lambda loss: loss.name)
def test_where_no_label_is_ignored_everything_counts(loss: Loss) -> None:
    """What plans take for granted of a loss whose values may not count."""
    tried = 0
    for case in cases(loss.name):
        arguments = complete(loss, case)
        support = loss.support(arguments) if loss.support else None
        assert support is not None
        if "ignore_index" in arguments and support.counted is not None:
            tried += 1
            assert bool((support.counted == (arguments["labels"] != arguments["ignore_index"])).all())
    assert tried or "ignore_index" not in {parameter.name for parameter in loss.parameters}


@pytest.mark.parametrize("loss", LABELLED, ids=lambda loss: loss.name)
def test_ignored_labels_are_left_out_after_calls_without_any(loss: Loss) -> None:
    for case in edges(loss.name):
        labels = case["labels"]
        plain = {**case, "labels": torch.zeros_like(labels)}
        try:
            engine, _ = studied(loss, plain)
        except Invalid:
            continue  # a label that this loss cannot have
        tensors, parameters = split(loss, case)
        call = Call(loss, tensors, parameters, gradients=tuple(differentiable(loss, case)), precision="float64")
        assert result(engine, call) == result(Engine(NAME), call)


def test_zero_upstream_keeps_its_sign() -> None:
    engine = Engine(NAME)
    for upstream in (0.0, -0.0, 1.0, 0.0):
        call = replace(mse(4), upstream=wired(torch.tensor(upstream)))
        assert bits(engine.compute(call)) == bits(Engine(NAME).compute(call))


@pytest.mark.parametrize("size", [1, 320, DOT_ELEMENTS, DOT_ELEMENTS + 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_is_told_from_infinite_even_where_squares_overflow(size: int, dtype: Any) -> None:
    array = np.full(size, np.finfo(dtype).max, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        assert is_finite(array)
        for poison in (math.nan, math.inf, -math.inf):
            array[-1] = poison
            assert not is_finite(array)


@pytest.mark.parametrize("size", [1, 320, DOT_ELEMENTS, DOT_ELEMENTS + 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_below_a_bound_is_told_from_what_is_not(size: int, dtype: Any) -> None:
    """However many there are: their squares together may be beyond that of the bound."""
    bound = 2.0**45
    array = np.full(size, np.nextafter(dtype(bound), dtype(0)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        assert is_below(array, bound)
        for content in (0.0, array[0]):
            array[:] = content
            for poison in (bound, -bound, np.finfo(dtype).max, math.nan, math.inf, -math.inf):
                array[-1] = poison
                assert not is_below(array, bound)
