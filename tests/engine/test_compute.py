"""The engine gives what torch gives in process, and reduces the same way for every loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmeter.engine import Call, Engine, Outcome
from lossmeter.engine.work import _Part
from lossmeter.errors import DoesNotFit, Invalid
from lossmeter.losses import LOSSES, Loss, Support, find
from tests.losses.test_losses import (
    TORCH,
    UNINITIALISED,
    complete,
    converted,
    differentiable,
    each,
    torch_call,
    tracked,
)
from tests.support.devices import NAME, placed
from tests.support.inputs import Case, cases, smooth
from tests.support.wire import split, unwired, wired

ENGINE = Engine(NAME)
DIVIDING = Engine(NAME, chunk_elements=1)
# Programs have tests of their own, and each takes a tenth of a second.
ENGINE.programs.record_after = DIVIDING.programs.record_after = 0
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

every_precision = pytest.mark.parametrize("precision", PRECISIONS)
every_case = each(cases)
every_torch_case = each(cases, TORCH)
every_smooth_case = each(smooth)


def computed(loss: Loss, case: Case, engine: Engine = ENGINE, **fields: Any) -> Outcome:
    tensors, parameters = split(loss, case)
    return engine.compute(Call(loss, tensors, parameters, **fields))


def cloned(case: Case) -> Case:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in case.items()}


def same_bits(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def tolerance(loss: Loss, case: Case, dtype: torch.dtype) -> dict[str, float]:
    """Rounding errors of a sum are in proportion to the sizes of what is added, not to the sum."""
    size = loss.function(**case).abs().double().sum().item()
    resolution = 8 * torch.finfo(dtype).eps
    return {"rtol": 16 * resolution, "atol": resolution * size if math.isfinite(size) else resolution}


@every_precision
@every_torch_case
def test_unreduced_values_and_gradients_are_torchs_bit_for_bit(loss: Loss, case: Case, precision: Any) -> None:
    case = converted(case, PRECISIONS[precision])
    wanted = tuple(differentiable(loss, case))
    outcome = computed(loss, case, reduction="none", gradients=wanted, precision=precision)
    theirs, leaves = tracked(loss, placed(case))
    expected = torch_call(loss, theirs, "none")
    assert outcome.values is not None
    same_bits(unwired(outcome.values), expected.detach().cpu())
    for name, gradient in zip(wanted, torch.autograd.grad(expected.sum(), leaves), strict=True):
        same_bits(unwired(outcome.gradients[name]), gradient.cpu())


@every_precision
@each(smooth, [name for name in LOSSES if name not in TORCH])
def test_what_torch_lacks_has_the_bits_of_its_function_in_process(loss: Loss, case: Case, precision: Any) -> None:
    case = converted(case, PRECISIONS[precision])
    wanted = tuple(differentiable(loss, case))
    outcome = computed(loss, case, reduction="none", gradients=wanted, precision=precision)
    ours, leaves = tracked(loss, placed(case))
    expected = loss.function(**ours)
    assert outcome.values is not None
    same_bits(unwired(outcome.values), expected.detach().cpu())
    for name, gradient in zip(wanted, torch.autograd.grad(expected.sum(), leaves), strict=True):
        same_bits(unwired(outcome.gradients[name]), gradient.cpu())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_half_precision_is_widened_before_anything_is_computed(loss: Loss, dtype: torch.dtype) -> None:
    case = converted(smooth(loss.name)[0], dtype)
    wanted = tuple(differentiable(loss, case))
    try:
        outcome = computed(loss, case, reduction="none", gradients=wanted)
    except Invalid:
        return  # rounded, its rows no longer sum to one
    ours, leaves = tracked(loss, placed(converted(case, torch.float32)))
    expected = loss.function(**ours)
    assert outcome.values is not None
    same_bits(unwired(outcome.values), expected.detach().cpu())
    for name, gradient in zip(wanted, torch.autograd.grad(expected.sum(), leaves), strict=True):
        same_bits(unwired(outcome.gradients[name]), gradient.cpu())


@every_precision
@every_torch_case
def test_mean_and_sum_are_at_least_as_accurate_as_torchs(loss: Loss, case: Case, precision: Any) -> None:
    if loss.name in UNINITIALISED and torch_call(loss, case, "none").numel() == 0:
        return  # torch leaves the mean of an empty batch uninitialised; the other cases follow
    case = converted(case, PRECISIONS[precision])
    wanted = tuple(differentiable(loss, case))
    allowed = tolerance(loss, case, PRECISIONS[precision])
    for reduction in ("mean", "sum"):
        outcome = computed(loss, case, reduction=reduction, gradients=wanted, precision=precision)
        theirs, leaves = tracked(loss, case)
        torchs = torch_call(loss, theirs, reduction)
        assert outcome.value is not None
        ours = torch.tensor(outcome.value, dtype=torchs.dtype)
        torch.testing.assert_close(ours, torchs.detach(), equal_nan=True, **allowed)
        for name, gradient in zip(wanted, torch.autograd.grad(torchs, leaves), strict=True):
            if gradient.isfinite().all():
                torch.testing.assert_close(unwired(outcome.gradients[name]), gradient, **allowed)


@every_smooth_case
def test_the_sum_is_that_of_the_unreduced_values_in_float64(loss: Loss, case: Case) -> None:
    case = converted(case, torch.float32)
    reduced, unreduced = computed(loss, case, reduction="sum"), computed(loss, case, reduction="none")
    assert unreduced.values is not None
    exact = math.fsum(unwired(unreduced.values).double().flatten().tolist())
    assert reduced.sum == pytest.approx(exact, rel=1e-14, abs=1e-300)
    assert reduced.value == torch.tensor(exact, dtype=torch.float64).float().item() or reduced.value == pytest.approx(
        exact, rel=6e-8
    )
    assert reduced.sum == unreduced.sum


@every_smooth_case
def test_sum_over_normalizer_is_the_mean(loss: Loss, case: Case) -> None:
    outcome = computed(loss, case, precision="float64")
    if loss.mean_note:
        assert loss.name == "ctc"
    else:
        assert outcome.value == pytest.approx(outcome.sum / outcome.normalizer, rel=1e-15)


def weights_for(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


def shapes_for(outcome: Outcome) -> list[tuple[int, ...]]:
    assert outcome.values is not None
    shape = outcome.values.shape
    return [shape, shape[:1]] if len(shape) > 1 else [shape]


@every_smooth_case
def test_sample_weights_scale_values_and_gradients(loss: Loss, case: Case) -> None:
    wanted = tuple(differentiable(loss, case))
    whole = computed(loss, case, reduction="none", precision="float64")
    for shape in shapes_for(whole):
        weight = weights_for(shape, 1)
        spread = weight.reshape(shape + (1,) * (len(whole.values.shape) - len(shape))).expand(whole.values.shape)
        fields: dict[str, Any] = {"sample_weight": wired(weight), "gradients": wanted, "precision": "float64"}
        none, total = computed(loss, case, reduction="none", **fields), computed(loss, case, reduction="sum", **fields)
        torch.testing.assert_close(unwired(none.values), unwired(whole.values) * spread, rtol=1e-14, atol=0)
        assert total.sum == pytest.approx(float((unwired(whole.values) * spread).sum()), rel=1e-12)
        theirs, leaves = tracked(loss, case)
        expected = torch.autograd.grad((loss.function(**theirs) * spread).sum(), leaves)
        for name, gradient in zip(wanted, expected, strict=True):
            torch.testing.assert_close(unwired(total.gradients[name]), gradient, rtol=1e-12, atol=1e-14)
        mean = computed(loss, case, **fields)
        plain = computed(loss, case, precision="float64")
        if plain.normalizer == plain.count:
            support = loss.support(complete(loss, case)) if loss.support else Support()
            counted = torch.ones_like(spread) if support.counted is None else support.counted
            assert mean.normalizer == pytest.approx(float((spread * counted).sum()), rel=1e-12)
        if not loss.mean_note:
            for name in wanted:
                expected = unwired(total.gradients[name]) / mean.normalizer
                torch.testing.assert_close(unwired(mean.gradients[name]), expected, rtol=1e-11, atol=1e-13)


@every_smooth_case
def test_equal_weights_change_no_mean(loss: Loss, case: Case) -> None:
    plain = computed(loss, case, precision="float64")
    shape = computed(loss, case, reduction="none", precision="float64").values.shape
    weighted = computed(
        loss, case, precision="float64", sample_weight=wired(torch.full(shape, 3.0, dtype=torch.float64))
    )
    assert weighted.value == pytest.approx(plain.value, rel=1e-13)
    assert weighted.count == plain.count


@every_smooth_case
def test_masking_a_sample_equals_leaving_it_out(loss: Loss, case: Case) -> None:
    shape = computed(loss, case, reduction="none").values.shape
    if not shape or not loss.separable or loss.name == "ctc":
        return
    kept = torch.arange(shape[0]) % 2 == 0
    wanted = tuple(differentiable(loss, case))
    masked = computed(loss, case, mask=wired(kept), gradients=wanted, precision="float64")
    whole = math.prod(shape)
    assert masked.count <= whole * int(kept.sum()) // len(kept)
    values = computed(loss, case, mask=wired(kept), reduction="none", precision="float64")
    unmasked = computed(loss, case, reduction="none", precision="float64")
    same_bits(unwired(values.values)[kept], unwired(unmasked.values)[kept])
    assert (unwired(values.values)[~kept] == 0).all()
    assert masked.sum == pytest.approx(math.fsum(unwired(unmasked.values)[kept].flatten().tolist()), rel=1e-12)
    zeroed = computed(loss, case, sample_weight=wired(kept.double()), gradients=wanted, precision="float64")
    assert masked.value == pytest.approx(zeroed.value, rel=1e-13)
    for name in wanted:
        torch.testing.assert_close(unwired(masked.gradients[name]), unwired(zeroed.gradients[name]), rtol=0, atol=0)


@every_smooth_case
def test_upstream_multiplies_the_gradients_as_in_autograd(loss: Loss, case: Case) -> None:
    case = converted(case, torch.float32)
    wanted = tuple(differentiable(loss, case))
    theirs, leaves = tracked(loss, case)
    values = loss.function(**theirs)
    upstream = torch.linspace(-1, 2, values.numel()).reshape(values.shape)
    outcome = computed(loss, case, reduction="none", gradients=wanted, upstream=wired(upstream))
    for name, gradient in zip(wanted, torch.autograd.grad(values, leaves, upstream), strict=True):
        same_bits(unwired(outcome.gradients[name]), gradient)
    once = computed(loss, case, gradients=wanted)
    twice = computed(loss, case, gradients=wanted, upstream=wired(torch.tensor(-2.0)))
    for name in wanted:
        torch.testing.assert_close(unwired(twice.gradients[name]), -2 * unwired(once.gradients[name]))


@every_smooth_case
def test_a_given_normalizer_takes_the_place_of_the_denominator(loss: Loss, case: Case) -> None:
    wanted = tuple(differentiable(loss, case))
    plain = computed(loss, case, gradients=wanted, precision="float64")
    given = computed(loss, case, gradients=wanted, precision="float64", normalizer=1000.0)
    ratio = plain.normalizer / 1000
    assert given.normalizer == 1000
    assert given.value == pytest.approx(plain.value * ratio, rel=1e-13)
    for name in wanted:
        torch.testing.assert_close(
            unwired(given.gradients[name]), unwired(plain.gradients[name]) * ratio, rtol=1e-12, atol=1e-15
        )


@every_precision
@every_smooth_case
def test_chunks_give_the_same_bits(loss: Loss, case: Case, precision: Any) -> None:
    case = converted(case, PRECISIONS[precision])
    wanted = tuple(differentiable(loss, case))
    for reduction in ("none", "mean"):
        fields: dict[str, Any] = {"reduction": reduction, "gradients": wanted, "precision": precision}
        whole = computed(loss, case, **fields)
        pieces = computed(loss, case, DIVIDING, **fields)
        spent = computed(loss, cloned(case), DIVIDING, **fields, expendable=True)
        if whole.values is None:
            assert pieces.value == pytest.approx(whole.value, rel=1e-7, nan_ok=True)
            assert pieces.sum == pytest.approx(whole.sum, rel=1e-14)
        else:
            same_bits(unwired(pieces.values), unwired(whole.values))
        assert repr((spent.value, spent.sum)) == repr((pieces.value, pieces.sum))
        for name in wanted:
            same_bits(unwired(pieces.gradients[name]), unwired(whole.gradients[name]))
            same_bits(unwired(spent.gradients[name]), unwired(whole.gradients[name]))


def test_gradients_take_the_place_of_what_is_expendable_and_of_nothing_else() -> None:
    case = {"predictions": torch.arange(40.0).reshape(10, 4), "labels": torch.zeros(10, 4)}
    kept = cloned(case)
    engine = Engine(NAME, chunk_elements=12)
    expected = kept["predictions"] * 2 / 40
    first = computed(find("mse"), case, engine, gradients=("predictions",))
    torch.testing.assert_close(unwired(first.gradients["predictions"]), expected)
    same_bits(case["predictions"], kept["predictions"])
    second = computed(find("mse"), case, engine, gradients=("predictions",), expendable=True)
    torch.testing.assert_close(unwired(second.gradients["predictions"]), expected)
    torch.testing.assert_close(case["predictions"], expected)
    same_bits(case["labels"], kept["labels"])


def test_chunks_are_really_computed() -> None:
    sizes: list[int] = []

    def counted(predictions: Tensor, labels: Tensor) -> Tensor:
        sizes.append(len(predictions))
        return find("mse").function(predictions=predictions, labels=labels)

    loss = replace(find("mse"), function=counted)
    case = {"predictions": torch.ones(10, 4), "labels": torch.zeros(10, 4)}
    outcome = computed(loss, case, Engine(NAME, chunk_elements=12), gradients=("predictions",))
    assert sizes == [3, 3, 4]
    assert outcome.value == 1.0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), RuntimeError("DefaultCPUAllocator: can't allocate"), MemoryError()]
)
def test_a_full_device_leads_to_smaller_chunks_and_then_to_an_error(error: Exception) -> None:
    limit = 3

    def narrow(predictions: Tensor, labels: Tensor) -> Tensor:
        if len(predictions) > limit:
            raise error
        return find("mse").function(predictions=predictions, labels=labels)

    loss = replace(find("mse"), function=narrow)
    case = {"predictions": torch.arange(40.0).reshape(10, 4), "labels": torch.zeros(10, 4)}
    outcome = computed(loss, case, gradients=("predictions",))
    assert outcome.value == computed(find("mse"), case).value
    torch.testing.assert_close(unwired(outcome.gradients["predictions"]), case["predictions"] * 2 / 40)
    limit = 0
    with pytest.raises(DoesNotFit, match=f"does not fit into the memory of {ENGINE.device}"):
        computed(loss, case)
    assert computed(find("mse"), case).value == outcome.value


def test_what_was_computed_before_memory_ran_out_is_not_computed_again() -> None:
    sizes: list[int] = []

    def filling(predictions: Tensor, labels: Tensor) -> Tensor:
        sizes.append(len(predictions))
        if len(sizes) == 2:
            raise MemoryError
        return find("mse").function(predictions=predictions, labels=labels)

    case = {"predictions": torch.arange(40.0).reshape(10, 4), "labels": torch.ones(10, 4)}
    fields: dict[str, Any] = {"reduction": "none", "gradients": ("predictions",)}
    expected = computed(find("mse"), case, **fields)
    engine = Engine(NAME, chunk_elements=16)
    found = computed(replace(find("mse"), function=filling), cloned(case), engine, **fields, expendable=True)
    assert sizes == [4, 4, 2, 2, 2]
    same_bits(unwired(found.values), unwired(expected.values))
    same_bits(unwired(found.gradients["predictions"]), unwired(expected.gradients["predictions"]))


def test_memory_that_runs_out_between_two_gradients_of_a_piece_leaves_no_trace_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = {"predictions": torch.arange(40.0).reshape(10, 4), "labels": torch.ones(10, 4)}
    mask = wired(torch.arange(10) % 3 > 0)
    fields: dict[str, Any] = {"gradients": ("predictions", "labels"), "mask": mask, "non_finite": "allow"}
    expected = computed(find("mse"), case, **fields)
    calls = []

    def filling(part: _Part, name: str, gradient: Tensor) -> Tensor:
        calls.append(name)
        if len(calls) == 4:
            raise MemoryError
        return keep(part, name, gradient)

    keep = _Part.keep
    monkeypatch.setattr(_Part, "keep", filling)
    engine = Engine(NAME, chunk_elements=16)
    for reduction in ("mean", "none"):
        calls.clear()
        wanted = {**fields, "reduction": reduction}
        found = computed(find("mse"), cloned(case), engine, **wanted, expendable=True)
        assert (found.sum, found.count) == (expected.sum, expected.count)
        for name in fields["gradients"]:
            same_bits(unwired(found.gradients[name]), unwired(computed(find("mse"), case, **wanted).gradients[name]))


def test_other_errors_of_torch_are_not_taken_for_a_full_device() -> None:
    def broken(predictions: Tensor, labels: Tensor) -> Tensor:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        computed(replace(find("mse"), function=broken), {"predictions": torch.ones(3), "labels": torch.ones(3)})


def test_what_an_empty_mean_is_can_be_chosen() -> None:
    loss = find("cross_entropy")
    case = {"predictions": torch.ones(2, 3), "labels": torch.tensor([-100, -100])}
    outcome = computed(loss, case, gradients=("predictions",))
    assert math.isnan(outcome.value)
    assert (outcome.sum, outcome.normalizer, outcome.count) == (0, 0, 0)
    assert [w.code for w in outcome.warnings if w.pointer == "/value"] == ["non_finite"]
    assert computed(loss, case, empty="zero").value == 0
    assert (
        computed(loss, case, empty="zero", gradients=("predictions",)).gradients["predictions"].data.tolist() == [0] * 6
    )
    with pytest.raises(Invalid, match="nothing counts"):
        computed(loss, case, empty="error")
    empty = {"predictions": torch.ones(0, 3), "labels": torch.ones(0, dtype=torch.int64)}
    assert math.isnan(computed(loss, empty).value)
    assert computed(loss, empty, empty="zero").value == 0
    with pytest.raises(Invalid, match="nothing counts"):
        computed(loss, empty, empty="error")


def test_batchmean_divides_by_the_size_of_the_batch() -> None:
    loss = find("kl_div")
    generator = torch.Generator().manual_seed(3)
    log_probabilities = torch.randn(4, 5, generator=generator).log_softmax(1)
    labels = torch.randn(4, 5, generator=generator).softmax(1)
    case = {"predictions": log_probabilities, "labels": labels}
    outcome = computed(loss, case, reduction="batchmean", gradients=("predictions",))
    assert outcome.normalizer == 4
    leaf = log_probabilities.clone().requires_grad_()
    expected = torch.nn.functional.kl_div(leaf, labels, reduction="batchmean")
    torch.testing.assert_close(torch.tensor(outcome.value), expected.detach())
    expected.backward()
    torch.testing.assert_close(unwired(outcome.gradients["predictions"]), leaf.grad)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    predictions, labels = torch.randn(8, 5).to(half), torch.arange(8) % 5
    halves = computed(find("cross_entropy"), {"predictions": predictions, "labels": labels}, gradients=("predictions",))
    floats = computed(
        find("cross_entropy"), {"predictions": predictions.float(), "labels": labels}, gradients=("predictions",)
    )
    assert halves.value == floats.value
    same_bits(unwired(halves.gradients["predictions"]), unwired(floats.gradients["predictions"]))


def test_non_finite_inputs_are_errors_unless_allowed() -> None:
    loss = find("mse")
    case = {"predictions": torch.tensor([[0.0, 1.0], [math.nan, math.inf]]), "labels": torch.zeros(2, 2)}
    with pytest.raises(Invalid, match=r"predictions\[1, 0\] is nan; expected a finite number") as error:
        computed(loss, case)
    assert error.value.flaws[0].index == (1, 0)
    outcome = computed(loss, case, reduction="none", gradients=("predictions",), non_finite="allow")
    same_bits(unwired(outcome.values), torch.tensor([[0.0, 1.0], [math.nan, math.inf]]))
    found = [(w.pointer, w.index, w.value) for w in outcome.warnings]
    assert found == [
        ("/sum", None, "NaN"),
        ("/values", (1, 0), "NaN"),
        ("/values", (1, 1), "Infinity"),
        ("/gradients/predictions", (1, 0), "NaN"),
        ("/gradients/predictions", (1, 1), "Infinity"),
    ]


def test_what_is_masked_out_may_be_anything_if_allowed() -> None:
    case = {"predictions": torch.tensor([1.0, math.nan]), "labels": torch.tensor([0.0, 0.0])}
    mask = wired(torch.tensor([True, False]))
    outcome = computed(find("mse"), case, mask=mask, non_finite="allow", gradients=("predictions",))
    assert outcome.value == 1.0
    assert outcome.gradients["predictions"].data.tolist() == [2.0, 0.0]
    assert outcome.warnings == []


def test_overflow_of_float32_is_found_before_computing() -> None:
    case = {"predictions": torch.tensor([1e39], dtype=torch.float64), "labels": torch.tensor([0.0])}
    with pytest.raises(Invalid, match=r"predictions\[0\] is 1e\+39; expected a finite number"):
        computed(find("mse"), case)
    assert computed(find("mse"), case, precision="float64").value == 1e39**2


@every_case
def test_the_engine_takes_every_case(loss: Loss, case: Case) -> None:
    outcome = computed(loss, case, gradients=tuple(differentiable(loss, case)), empty="zero")
    assert outcome.device == str(ENGINE.device)
    assert {name: tensor.shape for name, tensor in outcome.gradients.items()} == {
        name: tuple(case[name].shape) for name in differentiable(loss, case)
    }


def test_every_loss_is_covered() -> None:
    assert all(smooth(name) for name in LOSSES)
