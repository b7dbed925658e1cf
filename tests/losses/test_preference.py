"""Losses for preferences against the formulas of TRL, against each other, and far from where anybody computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses import LOSSES
from tests.support.inputs import Source

PAIR = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


def trl(loss_type: str, chosen: Tensor, rejected: Tensor, beta: float, smoothing: float, tau: float = 0.05) -> Tensor:
    """A loss of TRL's DPOTrainer, re-derived from its formulas, of the scores of two answers: log-ratios to the reference."""
    logits = beta * (chosen - rejected)
    sure, unsure = F.logsigmoid(logits), F.logsigmoid(-logits)
    formulas: dict[str, Callable[[], Tensor]] = {
        "sigmoid": lambda: -sure,
        "hinge": lambda: torch.relu(1 - logits),
        "ipo": lambda: (chosen - rejected - 1 / (2 * beta)) ** 2,
        "exo_pair": lambda: (
            logits.sigmoid() * (sure - math.log(1 - smoothing)) + (-logits).sigmoid() * (unsure - math.log(smoothing))
        ),
        "nca_pair": lambda: (
            -F.logsigmoid(beta * chosen) - 0.5 * F.logsigmoid(-beta * chosen) - 0.5 * F.logsigmoid(-beta * rejected)
        ),
        "robust": lambda: (-(1 - smoothing) * sure + smoothing * unsure) / (1 - 2 * smoothing),
        "sppo_hard": lambda: (chosen - 0.5 / beta) ** 2 + (rejected + 0.5 / beta) ** 2,
        "apo_zero": lambda: 1 - (beta * chosen).sigmoid() + (beta * rejected).sigmoid(),
        "apo_down": lambda: (beta * chosen).sigmoid() + 1 - logits.sigmoid(),
        "discopop": lambda: -sure * (1 - (logits / tau).sigmoid()) + torch.exp(-logits) * (logits / tau).sigmoid(),
    }
    return formulas[loss_type]()


TRL = {
    "dpo": ("sigmoid", {}),
    "dpo_hinge": ("hinge", {}),
    "ipo": ("ipo", {}),
    "exo_pair": ("exo_pair", {"label_smoothing": 0.01}),
    "nca_pair": ("nca_pair", {}),
    "robust_dpo": ("robust", {"label_smoothing": 0.2}),
    "sppo_hard": ("sppo_hard", {}),
    "apo_zero": ("apo_zero", {}),
    "apo_down": ("apo_down", {}),
    "discopop": ("discopop", {}),
}


def pair(seed: str, size: int = 64, scale: float = 20.0) -> dict[str, Tensor]:
    """Sums of log-probabilities as those of whole answers are."""
    source = Source(seed)
    reference = -scale * source.uniform(2, size, low=1.0, high=4.0)
    policy = reference + 5 * source.normal(2, size)
    return dict(zip(PAIR, (*policy, *reference), strict=True))


def value_and_gradients(function: Callable[..., Tensor], tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
    values = function(**leaves)
    return values.detach(), *torch.autograd.grad(values.sum(), leaves.values())


@pytest.mark.parametrize("name", TRL)
@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5])
def test_values_and_gradients_are_those_of_trl(name: str, beta: float) -> None:
    loss_type, parameters = TRL[name]
    tensors = pair(name)

    def theirs(**given: Tensor) -> Tensor:
        chosen, rejected = (given[f"policy_{one}"] - given[f"reference_{one}"] for one in ("chosen", "rejected"))
        return trl(loss_type, chosen, rejected, beta, parameters.get("label_smoothing", 0.0))

    ours = value_and_gradients(lambda **given: LOSSES[name].function(**given, beta=beta, **parameters), tensors)
    for first, second in zip(ours, value_and_gradients(theirs, tensors), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


def test_simpo_and_cpo_are_those_of_trl() -> None:
    tensors = pair("simpo")
    chosen, rejected = tensors["policy_chosen"], tensors["policy_rejected"]
    lengths = torch.arange(1, 65)
    means = chosen / lengths - rejected / lengths.flip(0)
    ours = LOSSES["simpo"].function(chosen, rejected, lengths, lengths.flip(0), beta=2.5, gamma=1.4)
    torch.testing.assert_close(ours, -F.logsigmoid(2.5 * (means - 1.4 / 2.5)))
    torch.testing.assert_close(
        LOSSES["cpo"].function(chosen, rejected, beta=0.3), -F.logsigmoid(0.3 * (chosen - rejected))
    )


def test_orpo_is_that_of_trl_with_the_likelihood_of_each_answer() -> None:
    source = Source("orpo")
    chosen, rejected = (-source.uniform(64, low=0.01, high=5.0) for _ in range(2))

    def complement(x: Tensor) -> Tensor:
        return torch.where(x < -0.6931471805599453, torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x)))

    log_odds = (chosen - rejected) - (complement(chosen) - complement(rejected))
    expected = -chosen - 0.2 * F.logsigmoid(log_odds)
    torch.testing.assert_close(LOSSES["orpo"].function(chosen, rejected, beta=0.2), expected)


def test_kto_is_that_of_trl() -> None:
    tensors = pair("kto")
    ratio, kl = tensors["policy_chosen"] - tensors["reference_chosen"], torch.tensor(1.5)
    labels = Source("labels").signs(64)
    expected = torch.cat(
        [
            1.2 * (1 - torch.sigmoid(0.2 * (ratio[labels > 0] - kl))),
            0.7 * (1 - torch.sigmoid(0.2 * (kl - ratio[labels < 0]))),
        ]
    )
    ours = LOSSES["kto"].function(
        tensors["policy_chosen"],
        tensors["reference_chosen"],
        labels,
        kl,
        beta=0.2,
        desirable_weight=1.2,
        undesirable_weight=0.7,
    )
    torch.testing.assert_close(torch.cat([ours[labels > 0], ours[labels < 0]]), expected)


def call(name: str, **given: Any) -> Tensor:
    values: Tensor = LOSSES[name].function(**given)
    return values


def test_dpo_with_half_of_the_choices_wrong_is_least_at_no_margin() -> None:
    margins = torch.linspace(-3, 3, 61, dtype=torch.float64)
    zero = torch.zeros_like(margins)
    values = call("dpo", **dict(zip(PAIR, (margins, zero, zero, zero), strict=True)), beta=1.0, label_smoothing=0.5)
    assert values.argmin() == 30
    torch.testing.assert_close(values, values.flip(0))
    torch.testing.assert_close(values[30], torch.tensor(math.log(2), dtype=torch.float64))


def test_dpo_without_noise_is_robust_dpo_and_the_reward_of_bradley_and_terry() -> None:
    tensors = pair("same")
    dpo = call("dpo", **tensors)
    torch.testing.assert_close(call("robust_dpo", **tensors, label_smoothing=0.0), dpo)
    scores = [0.1 * (tensors[f"policy_{one}"] - tensors[f"reference_{one}"]) for one in ("chosen", "rejected")]
    torch.testing.assert_close(call("bradley_terry", chosen=scores[0], rejected=scores[1]), dpo)


def test_dpo_with_a_reference_that_finds_all_equally_likely_is_cpo() -> None:
    tensors = pair("uniform")
    level = dict.fromkeys(PAIR[2:], torch.full((64,), -7.0, dtype=torch.float64))
    torch.testing.assert_close(
        call("dpo", **tensors | level), call("cpo", **{name: tensors[name] for name in PAIR[:2]})
    )


def test_robust_dpo_is_on_average_the_loss_of_clean_choices() -> None:
    tensors = pair("noise")
    flipped = dict(zip(PAIR, (tensors[name] for name in (PAIR[1], PAIR[0], PAIR[3], PAIR[2])), strict=True))
    noisy = 0.8 * call("robust_dpo", **tensors, label_smoothing=0.2)
    noisy = noisy + 0.2 * call("robust_dpo", **flipped, label_smoothing=0.2)
    torch.testing.assert_close(noisy, call("dpo", **tensors), rtol=1e-9, atol=1e-12)


def test_exo_pair_is_zero_where_the_model_agrees_with_the_annotators() -> None:
    at_best = torch.tensor([math.log(0.999 / 0.001)], dtype=torch.float64)
    zero = torch.zeros_like(at_best)
    values, gradient, *_ = value_and_gradients(
        lambda **given: call("exo_pair", **given, beta=1.0), dict(zip(PAIR, (at_best, zero, zero, zero), strict=True))
    )
    torch.testing.assert_close(values, zero, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, zero, rtol=0, atol=1e-12)


def test_apo_zero_is_kto_of_both_answers_measured_from_zero() -> None:
    tensors = pair("anchor")
    sides = [(tensors[f"policy_{one}"], tensors[f"reference_{one}"]) for one in ("chosen", "rejected")]
    zero, ones = torch.tensor(0.0, dtype=torch.float64), torch.ones(64, dtype=torch.float64)
    both = call("kto", policy=sides[0][0], reference=sides[0][1], labels=ones, reference_kl=zero)
    both = both + call("kto", policy=sides[1][0], reference=sides[1][1], labels=-ones, reference_kl=zero)
    torch.testing.assert_close(both, call("apo_zero", **tensors))


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.family == "preference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_values_and_gradients_are_finite_for_answers_of_any_length(name: str, dtype: torch.dtype) -> None:
    loss = LOSSES[name]
    extremes = torch.tensor([0.0, -1e-30, -1e-9, -1.0, -88.0, -700.0, -1e5, -1e9, 1e-7], dtype=dtype)
    grid = torch.cartesian_prod(extremes, extremes)
    for other in (extremes[0], extremes[5], extremes[7]):
        first, second, rest = *grid.unbind(1), other.expand(len(grid))
        made: dict[str, Any] = {}
        for place, tensor in enumerate(loss.tensors):
            meaning = tensor.options[0].meaning
            if meaning.kind == "index":
                made[tensor.name] = torch.ones(len(grid), dtype=torch.int64)
            elif meaning.choices:
                made[tensor.name] = torch.ones(len(grid), dtype=dtype).where(first < second, -1.0)
            elif tensor.options[0].shape == "":
                made[tensor.name] = other
            else:
                made[tensor.name] = (first, second, rest, first)[place].clone().requires_grad_()
        values = loss.function(**made)
        assert values.isfinite().all()
        gradients = torch.autograd.grad(values.sum(), [one for one in made.values() if one.requires_grad])
        assert all(gradient.isfinite().all() for gradient in gradients)
