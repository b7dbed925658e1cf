"""Losses of reinforcement learning against the formulas of verl and TRL, against each other, and at extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmeter.losses import LOSSES
from tests.support.inputs import Source

TOKENS = ("log_probs", "old_log_probs", "advantages")


def batch(seed: str, shape: tuple[int, int] = (8, 16), spread: float = 0.3) -> dict[str, Tensor]:
    source = Source(seed)
    new = -source.uniform(*shape, low=0.01, high=4.0)
    return dict(zip(TOKENS, (new, new + spread * source.normal(*shape), source.normal(*shape)), strict=True))


def call(name: str, **given: Any) -> Tensor:
    values: Tensor = LOSSES[name].function(**given)
    return values


def gradient(function: Callable[..., Tensor], tensors: dict[str, Tensor], name: str = "log_probs") -> Tensor:
    leaf = tensors[name].detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(function(**{**tensors, name: leaf}).sum(), leaf)
    return found


def verl(mode: str, log_prob: Tensor, old: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """A policy loss of verl before its aggregation, re-derived from its formulas; every token counts."""
    shift = log_prob - old
    if mode == "gspo":
        shift = log_prob - log_prob.detach() + shift.mean(-1, keepdim=True).detach()
        ratio = torch.clamp(shift, max=10.0).exp()
        return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    if mode == "geo_mean":
        sign = advantages.sign()
        clipped = sign * torch.min(sign * shift, sign * shift.clamp(-low, high))
        return -advantages.mean(-1, keepdim=True) * clipped.mean(-1, keepdim=True).exp()
    ratio = shift.clamp(-20.0, 20.0).exp()
    if mode == "cispo":
        return -ratio.clamp(1 - low, 1 + high).detach() * advantages * log_prob
    if mode == "sapo":
        tau = torch.full_like(advantages, 1.05).masked_fill(advantages > 0, 1.0)
        return -torch.sigmoid(tau * (ratio - 1.0)) * (4.0 / tau) * advantages
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    return torch.where(advantages < 0, torch.min(-advantages * 3.0, losses), losses)


VERL = {
    "ppo_clip": ("vanilla", {"clip_low": 0.2, "clip_high": 0.28, "dual_clip": 3.0}),
    "gspo": ("gspo", {"clip_low": 0.2, "clip_high": 0.28}),
    "geometric_mean_policy": ("geo_mean", {"clip_low": 0.2, "clip_high": 0.28}),
    "cispo": ("cispo", {"clip_low": 0.2, "clip_high": 0.28}),
    "sapo": ("sapo", {}),
}


@pytest.mark.parametrize("name", VERL)
def test_values_and_gradients_are_those_of_verl(name: str) -> None:
    mode, parameters = VERL[name]
    for spread in (0.0, 0.3, 30.0):
        tensors = batch(f"{name} {spread}", spread=spread)
        if name == "geometric_mean_policy":
            tensors["advantages"] = tensors["advantages"][:, :1].repeat(1, 16)  # that of the answer
            tensors["old_log_probs"] = tensors["old_log_probs"].clamp(-15, 15)

        def theirs(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor) -> Tensor:
            values = verl(mode, log_probs, old_log_probs, advantages, 0.2, 0.28)
            return values.expand_as(log_probs)

        def ours(**given: Tensor) -> Tensor:
            return call(name, **given, **parameters)

        torch.testing.assert_close(ours(**tensors), theirs(**tensors), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradient(ours, tensors), gradient(theirs, tensors), rtol=1e-9, atol=1e-12)


def test_ppo_clip_is_grpo_of_trl() -> None:
    tensors = batch("grpo")
    ratio = (tensors["log_probs"] - tensors["old_log_probs"]).exp()
    # TRL bounds the ratio itself by its delta, which dual_clip does for negative advantages alone.
    pairs = ratio.clamp(max=1.4) * tensors["advantages"], ratio.clamp(0.8, 1.28) * tensors["advantages"]
    ours = call("ppo_clip", **tensors, clip_low=0.2, clip_high=0.28, dual_clip=1.4)
    torch.testing.assert_close(ours, -torch.min(*pairs))


def test_cispo_takes_a_distance_where_trl_takes_the_largest_weight() -> None:
    tensors = batch("cispo", spread=2.0)
    weight = (tensors["log_probs"] - tensors["old_log_probs"]).exp().clamp(max=5.0)
    assert (weight == 5.0).any()
    expected = -weight * tensors["advantages"] * tensors["log_probs"]
    torch.testing.assert_close(call("cispo", **tensors, clip_high=4.0), expected)


def test_thresholds_of_tinker_are_ratios_and_ours_are_distances() -> None:
    tensors = batch("tinker")
    thresholds = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
    ratio = (tensors["log_probs"] - tensors["old_log_probs"]).exp()
    clipped = ratio.clamp(thresholds["clip_low_threshold"], thresholds["clip_high_threshold"])
    theirs = -torch.min(ratio * tensors["advantages"], clipped * tensors["advantages"])
    converted = {
        "clip_low": 1 - thresholds["clip_low_threshold"],
        "clip_high": thresholds["clip_high_threshold"] - 1,
    }
    torch.testing.assert_close(call("ppo_clip", **tensors, **converted), theirs)


def test_penalties_are_those_of_verl_and_trl() -> None:
    tensors = batch("kl")
    new, reference = tensors["log_probs"], tensors["old_log_probs"]
    given = {"log_probs": new, "reference_log_probs": reference}
    torch.testing.assert_close(call("kl_k1", **given), new - reference)
    torch.testing.assert_close(call("kl_k2", **given), 0.5 * (new - reference).square())
    torch.testing.assert_close(call("kl_k3", **given), (reference - new).exp() - (reference - new) - 1)
    assert (call("kl_k3", **given) >= 0).all()


def test_estimates_of_a_divergence_have_its_value_and_gradient_on_average() -> None:
    logits = Source("policy").normal(6).requires_grad_()
    reference = Source("reference").normal(6).log_softmax(0)
    log_probs = logits.log_softmax(0)
    exact = (log_probs.exp() * (log_probs - reference)).sum()
    (expected,) = torch.autograd.grad(exact, logits, retain_graph=True)
    weights = log_probs.detach().exp()
    for name, unbiased in (("kl_k1", True), ("kl_k2", False), ("kl_k3", True)):
        values = call(name, log_probs=log_probs[None], reference_log_probs=reference[None])[0]
        if unbiased:
            torch.testing.assert_close((weights * values).sum(), exact)
        (found,) = torch.autograd.grad((weights * values).sum(), logits, retain_graph=True)
        right = {"kl_k1": torch.zeros(6, dtype=torch.float64), "kl_k2": expected, "kl_k3": None}[name]
        if right is not None:
            torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-12)
    reverse = (reference.exp() * (reference - log_probs)).sum()
    (expected,) = torch.autograd.grad(reverse, logits, retain_graph=True)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["importance_sampling", "ppo_clip", "cispo", "gspo", "sapo", "dppo_tv", "dppo_kl", "dro"]
)
def test_where_the_policy_has_not_moved_the_gradient_is_the_policy_gradient(name: str) -> None:
    tensors = batch("start", spread=0.0)
    expected = gradient(
        lambda **given: call("policy_gradient", **{n: given[n] for n in ("log_probs", "advantages")}), tensors
    )
    found = gradient(lambda **given: call(name, **given), tensors)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gspo_of_one_token_is_ppo_clip() -> None:
    tensors = batch("one", shape=(64, 1))
    for role in ("log_probs", "old_log_probs", "advantages"):
        torch.testing.assert_close(
            gradient(lambda **given: call("gspo", **given), tensors, role),
            gradient(lambda **given: call("ppo_clip", **given), tensors, role),
        )
    torch.testing.assert_close(call("gspo", **tensors), call("ppo_clip", **tensors))


def test_geometric_mean_policy_of_one_token_is_ppo_clip_with_bounds_as_logarithms() -> None:
    tensors = batch("one", shape=(64, 1))
    bounds = {"clip_low": float(1 - torch.tensor(-0.2).exp()), "clip_high": float(torch.tensor(0.2).exp() - 1)}
    torch.testing.assert_close(
        call("geometric_mean_policy", **tensors), call("ppo_clip", **tensors, **bounds), rtol=1e-6, atol=1e-6
    )


def test_cispo_without_bounds_is_the_policy_gradient_weighted_by_the_ratio() -> None:
    tensors = batch("unbounded", spread=1.0)
    ours = gradient(lambda **given: call("cispo", **given, clip_low=None, clip_high=None), tensors)
    torch.testing.assert_close(ours, gradient(lambda **given: call("importance_sampling", **given), tensors))


def test_ppo_clip_with_bounds_that_nothing_reaches_is_importance_sampling() -> None:
    tensors = batch("wide")
    ours = call("ppo_clip", **tensors, clip_low=1.0, clip_high=1e9)
    torch.testing.assert_close(ours, call("importance_sampling", **tensors))


@pytest.mark.parametrize("name", ["gspo", "geometric_mean_policy"])
def test_tokens_that_do_not_count_are_as_if_they_were_not_there(name: str) -> None:
    tensors = batch("mask")
    mask = torch.arange(16).expand(8, 16) < torch.tensor([[16], [10], [1], [0], [7], [16], [2], [3]])
    noise = {**tensors, "log_probs": tensors["log_probs"].where(mask, 1e30)}
    values = call(name, **noise, mask=mask)
    for row, length in enumerate(mask.sum(-1).tolist()):
        short = call(name, **{role: tensor[row : row + 1, :length] for role, tensor in tensors.items()})
        torch.testing.assert_close(values[row : row + 1, :length], short)
    assert (values[~mask] == 0).all()
    found = gradient(lambda **given: call(name, **given, mask=mask), noise)
    assert (found[~mask] == 0).all()
    assert found.isfinite().all()


def test_the_ratio_of_an_answer_and_not_that_of_the_token_weighs_its_gradient() -> None:
    tensors = batch("gspo", spread=0.05)
    ratio = (tensors["log_probs"] - tensors["old_log_probs"]).mean(-1, keepdim=True).exp()
    expected = -tensors["advantages"] * ratio
    torch.testing.assert_close(gradient(lambda **given: call("gspo", **given), tensors), expected)


@pytest.mark.parametrize("name", ["cispo", "dppo_tv", "dppo_kl"])
def test_a_constant_weight_multiplies_the_policy_gradient(name: str) -> None:
    tensors = batch(name, spread=0.5)
    values = call(name, **tensors)
    expected = values / tensors["log_probs"]  # the value is weight times log-probability
    torch.testing.assert_close(gradient(lambda **given: call(name, **given), tensors), expected)
    assert (values == 0).any() == (name != "cispo")


def test_moves_back_towards_the_old_policy_always_count() -> None:
    new, old = torch.tensor([[0.1, 0.9]]).log(), torch.tensor([[0.9, 0.1]]).log()
    towards, away = torch.tensor([[1.0, -1.0]]), torch.tensor([[-1.0, 1.0]])
    for name in ("dppo_tv", "dppo_kl"):
        assert (call(name, log_probs=new, old_log_probs=old, advantages=towards) != 0).all()
        assert (call(name, log_probs=new, old_log_probs=old, advantages=away) == 0).all()


def test_value_clip_is_half_of_mse_where_the_critic_has_not_moved() -> None:
    source = Source("critic")
    values, returns = source.normal(4, 5), source.normal(4, 5)
    ours = call("value_clip", predictions=values, old_values=values, labels=returns)
    torch.testing.assert_close(ours, 0.5 * call("mse", predictions=values, labels=returns))


@pytest.mark.parametrize(
    "name", [name for name, loss in LOSSES.items() if loss.family == "policy" and name != "value_clip"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_values_and_gradients_are_finite_for_all_log_probabilities(name: str, dtype: torch.dtype) -> None:
    loss = LOSSES[name]
    extremes = torch.tensor([0.0, -1e-30, -1e-9, -1.0, -88.0, -104.0, -700.0, -1e6, -1e12, 1e-7], dtype=dtype)
    grid = torch.cartesian_prod(extremes, extremes)
    for gain in (1e6, -1e6, 0.0):
        made = {}
        for place, tensor in enumerate(loss.roles):
            column = torch.full_like(grid[:, 0], gain) if tensor.name == "advantages" else grid[:, place]
            made[tensor.name] = column.reshape(4, 25).clone().requires_grad_(tensor.differentiable)
        values = loss.function(**made)
        assert values.isfinite().all()
        gradients = torch.autograd.grad(values.sum(), [one for one in made.values() if one.requires_grad])
        assert all(one.isfinite().all() for one in gradients)
