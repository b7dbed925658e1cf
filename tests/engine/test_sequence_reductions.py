"""Reductions over tokens and then over sequences, against the aggregation of verl and TRL."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import httpx
import pytest
import torch
from torch import Tensor

from lossmeter.engine import Call, Engine, Outcome, outcome
from lossmeter.errors import Invalid
from lossmeter.losses import LOSSES, find
from lossmeter.losses.catalogue import REDUCTION_ALIASES, SEQUENCE_REDUCTIONS
from tests.support.inputs import Source
from tests.support.wire import split, unwired, wired

ENGINE = Engine("cpu")
MODES = {
    "sequence_mean": "seq-mean-token-mean",
    "sequence_sum": "seq-mean-token-sum",
    "sequence_sum_norm": "seq-mean-token-sum-norm",
}
MASK = torch.arange(6) < torch.tensor([6, 3, 0, 1, 5]).unsqueeze(1)
every_reduction = pytest.mark.parametrize("reduction", SEQUENCE_REDUCTIONS)


def verl(values: Tensor, mask: Tensor, mode: str, factor: float | None = None) -> Tensor:
    """The aggregation of verl, re-derived; its last mode as of August 2026, when it divides by the batch too."""
    counts = mask.sum(-1)
    per_sequence = (values * mask).sum(-1)
    if mode == "seq-mean-token-mean":
        per_sequence = per_sequence / counts.clamp(min=1)
    if mode == "seq-mean-token-sum-norm":
        per_sequence = per_sequence / (factor or mask.shape[-1])
    return per_sequence.sum() / (counts > 0).sum()


def answers(seed: str, rows: int = 5) -> dict[str, Tensor]:
    source = Source(seed)
    new = -source.uniform(rows, 6, low=0.1, high=3.0)
    return {"log_probs": new, "old_log_probs": new + 0.3 * source.normal(rows, 6), "advantages": source.normal(rows, 6)}


def call(case: dict[str, Tensor], reduction: str, **fields: Any) -> Call:
    loss = find("ppo_clip")
    tensors, parameters = split(loss, case)
    return Call(loss, tensors, parameters, reduction, ("log_probs",), precision="float64", **fields)


def expected(
    case: dict[str, Tensor], mask: Tensor, mode: str, weight: Tensor | float = 1.0, **more: Any
) -> list[Tensor]:
    leaf = case["log_probs"].clone().requires_grad_()
    value = verl(weight * find("ppo_clip").function(**{**case, "log_probs": leaf}), mask, mode, **more)
    return [value.detach(), *torch.autograd.grad(value, leaf)]


def assert_equal(result: Outcome, wanted: list[Tensor]) -> None:
    assert result.value == pytest.approx(wanted[0].item(), rel=1e-13)
    torch.testing.assert_close(unwired(result.gradients["log_probs"]), wanted[1], rtol=1e-12, atol=1e-15)


@every_reduction
def test_value_and_gradient_are_those_of_verl(reduction: str) -> None:
    case = answers("plain")
    result = ENGINE.compute(call(case, reduction))
    assert_equal(result, expected(case, torch.ones(5, 6), MODES[reduction]))
    assert (result.normalizer, result.count) == (5, 30)
    assert result.sum / result.normalizer == pytest.approx(result.value, rel=1e-15)


@every_reduction
def test_tokens_and_sequences_that_do_not_count_do_not(reduction: str) -> None:
    case = answers("masked")
    result = ENGINE.compute(call(case, reduction, mask=wired(MASK)))
    assert_equal(result, expected(case, MASK, MODES[reduction]))
    assert (result.normalizer, result.count) == (4, 15)
    whole = ENGINE.compute(call(case, reduction, mask=wired(MASK.any(1))))
    assert_equal(whole, expected(case, MASK.any(1, keepdim=True).expand(5, 6), MODES[reduction]))


@every_reduction
def test_weights_multiply_tokens_before_and_enter_no_denominator(reduction: str) -> None:
    case = answers("weighted")
    for shape in ((5, 6), (5,)):
        weight = Source("weight").uniform(*shape, low=0.5, high=2.0)
        spread = weight if weight.ndim == 2 else weight.unsqueeze(1)
        result = ENGINE.compute(call(case, reduction, mask=wired(MASK), sample_weight=wired(weight)))
        assert_equal(result, expected(case, MASK, MODES[reduction], spread))
        assert result.normalizer == 4


def test_horizon_takes_the_place_of_the_number_of_tokens() -> None:
    case = answers("horizon")
    result = ENGINE.compute(call(case, "sequence_sum_norm", mask=wired(MASK), horizon=100.0))
    assert_equal(result, expected(case, MASK, "seq-mean-token-sum-norm", factor=100.0))
    other = ENGINE.compute(call(case, "sequence_sum_norm", mask=wired(MASK)))
    assert other.value == pytest.approx(result.value * 100 / 6, rel=1e-13)


def test_sequence_sum_norm_is_dr_grpo_of_trl_where_every_answer_counts() -> None:
    case = answers("dr")
    mask = MASK | (torch.arange(6) == 0)
    values = find("ppo_clip").function(**case)
    theirs = (values * mask).sum() / (5 * 256)
    result = ENGINE.compute(call(case, "sequence_sum_norm", mask=wired(mask), horizon=256.0))
    assert result.value == pytest.approx(theirs.item(), rel=1e-13)


@every_reduction
def test_a_normalizer_is_the_number_of_sequences_of_all_processes(reduction: str) -> None:
    parts = [answers("first"), answers("second", rows=3)]
    masks = [MASK, MASK[:3]]
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    expected_value = ENGINE.compute(call(whole, reduction, mask=wired(torch.cat(masks)))).value
    results = [
        ENGINE.compute(call(part, reduction, mask=wired(mask), normalizer=6.0))
        for part, mask in zip(parts, masks, strict=True)
    ]
    assert sum(result.value or 0.0 for result in results) == pytest.approx(expected_value, rel=1e-13)
    free = [ENGINE.compute(call(p, reduction, mask=wired(m))) for p, m in zip(parts, masks, strict=True)]
    together = sum(one.sum for one in free) / sum(one.normalizer for one in free)
    assert together == pytest.approx(expected_value, rel=1e-13)


@every_reduction
def test_where_no_token_counts_the_mean_is_empty(reduction: str) -> None:
    case = answers("empty")
    nothing = wired(torch.zeros(5, 6, dtype=torch.bool))
    assert math.isnan(ENGINE.compute(call(case, reduction, mask=nothing)).value or 0.0)
    zero = ENGINE.compute(call(case, reduction, mask=nothing, empty="zero"))
    assert (zero.value, zero.normalizer) == (0.0, 0.0)
    assert unwired(zero.gradients["log_probs"]).tolist() == torch.zeros(5, 6).tolist()
    with pytest.raises(Invalid, match="nothing counts"):
        ENGINE.compute(call(case, reduction, mask=nothing, empty="error"))
    for shape in ((0, 6), (5, 0)):
        none = {name: tensor.new_zeros(shape) for name, tensor in case.items()}
        result = ENGINE.compute(call(none, reduction))
        assert math.isnan(result.value or 0.0)
        assert result.normalizer == 0


@every_reduction
def test_labels_that_are_ignored_are_tokens_that_do_not_count(reduction: str) -> None:
    source = Source("labels")
    case = {"predictions": source.normal(5, 6, 7), "labels": source.indices(5, 6, below=7).where(MASK, -100)}
    loss = find("token_cross_entropy")
    tensors, parameters = split(loss, case)
    asked = Call(loss, tensors, parameters, reduction, precision="float64")
    values = loss.function(**case)
    for _ in range(8):  # more often than it takes the engine to make up its mind about the kind of call
        assert ENGINE.compute(asked).value == pytest.approx(verl(values, MASK, MODES[reduction]).item(), rel=1e-13)
    full, _ = split(loss, {**case, "labels": source.indices(5, 6, below=7)})
    assert ENGINE.compute(replace(asked, tensors=full)).normalizer == 5


@every_reduction
def test_tokens_that_a_loss_itself_masks_do_not_count(reduction: str) -> None:
    case = answers("gspo")
    loss = find("gspo")
    tensors, parameters = split(loss, {**case, "mask": MASK})
    result = ENGINE.compute(Call(loss, tensors, parameters, reduction, precision="float64"))
    assert result.value == pytest.approx(
        verl(loss.function(**case, mask=MASK), MASK, MODES[reduction]).item(), rel=1e-13
    )


@every_reduction
def test_pieces_and_batches_of_calls_give_what_the_whole_gives(reduction: str) -> None:
    calls = [
        call(
            answers(f"rows {rows}", rows),
            reduction,
            mask=None if rows % 2 else wired(torch.ones(rows, dtype=torch.bool)),
        )
        for rows in (2, 3, 4, 5)
    ]
    plain = [ENGINE.compute(one) for one in calls]
    works = [ENGINE.check(one) for one in calls]
    assert len({work.batch_key for work in works}) == 1
    together = [outcome(work, done) for work, done in zip(works, ENGINE.run_together(works), strict=True)]
    pieces = [Engine("cpu", chunk_elements=12).compute(one) for one in calls]
    for first, second, third in zip(plain, together, pieces, strict=True):
        assert second.value == first.value
        assert third.value == pytest.approx(first.value, rel=1e-14)
        for other in (second, third):
            torch.testing.assert_close(
                unwired(other.gradients["log_probs"]), unwired(first.gradients["log_probs"]), rtol=0, atol=0
            )


def test_float32_is_summed_in_float64() -> None:
    case = {name: tensor.float() for name, tensor in answers("float").items()}
    loss = find("ppo_clip")
    tensors, parameters = split(loss, case)
    result = ENGINE.compute(Call(loss, tensors, parameters, "sequence_mean", ("log_probs",), mask=wired(MASK)))
    exact = verl(loss.function(**case).double(), MASK, "seq-mean-token-mean")
    assert result.sum == pytest.approx(4 * exact.item(), rel=1e-14)
    assert unwired(result.gradients["log_probs"]).dtype is torch.float32


def test_every_loss_with_a_value_per_token_has_these_reductions() -> None:
    per_token = {name for name, loss in LOSSES.items() if loss.output == "B T"}
    assert per_token == {name for name, loss in LOSSES.items() if set(SEQUENCE_REDUCTIONS) <= set(loss.reductions)}
    assert len(per_token) == 17


@pytest.mark.parametrize("alias", REDUCTION_ALIASES)
def test_names_of_trainers_answer_with_the_proper_name(http: httpx.Client, alias: str) -> None:
    request = {name: tensor.tolist() for name, tensor in answers("http").items()} | {"mask": MASK.tolist()}
    theirs, ours = (
        http.post("/v1/losses/ppo_clip", json={**request, "reduction": name}).json()
        for name in (alias, REDUCTION_ALIASES[alias])
    )
    assert theirs == ours
    assert ours["reduction"] == REDUCTION_ALIASES[alias]


def test_a_horizon_without_its_reduction_is_refused(http: httpx.Client) -> None:
    request = {name: tensor.tolist() for name, tensor in answers("http").items()} | {"horizon": 512}
    answer = http.post("/v1/losses/ppo_clip", json=request)
    assert answer.status_code == 422
    message = "horizon belongs to the reduction sequence_sum_norm; this one is mean"
    assert answer.json()["errors"] == [{"pointer": "/horizon", "message": message, "index": None}]
    normed = http.post("/v1/losses/ppo_clip", json={**request, "reduction": "dr_grpo"}).json()
    plain = http.post("/v1/losses/ppo_clip", json={**request, "reduction": "sequence_sum", "horizon": None}).json()
    assert normed["value"] == pytest.approx(plain["value"] / 512, rel=1e-6)
    for other in ("mse", "dpo"):
        refused = http.post(f"/v1/losses/{other}", json={**LOSSES[other].examples[0].request, "horizon": 5})
        assert refused.status_code == 422
        assert (
            http.post(
                f"/v1/losses/{other}", json={**LOSSES[other].examples[0].request, "reduction": "token-mean"}
            ).status_code
            == 422
        )
