"""What the benchmark of losses compares with computes the same: floors by hand, and the formulas of trainers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from lossmeter.losses import find
from tests.benchmarks.rivals import floors, trainers
from tests.support.inputs import Source

SHAPE = (200, 20)


def ours(name: str, given: Mapping[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean of what counts, and its gradient with respect to the first tensor."""
    return differentiated(lambda **roles: find(name).function(**roles)[... if mask is None else mask].mean(), given)


def differentiated(function: Callable[..., Tensor], given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    first = next(iter(given))
    leaf = given[first].clone().requires_grad_()
    value = function(**{**given, first: leaf})
    return value.detach(), torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("name", floors.FLOORS)
def test_a_floor_computes_its_loss(name: str) -> None:
    source = Source("floors")
    one, other = source.normal(*SHAPE), source.normal(*SHAPE)
    pairs = {
        "js_div": (one.log_softmax(1), {"labels": other.softmax(1)}),
        "generalized_jsd": (one.log_softmax(1), {"teacher": other.log_softmax(1)}),
        "distillation": (one, {"teacher": other}),
        "asymmetric": (one, {"labels": (other > 1).to(other.dtype)}),
        "corn": (one, {"labels": torch.arange(SHAPE[0]) % (SHAPE[1] + 1)}),
        "binary_focal": (one, {"labels": (other > 1).to(other.dtype)}),
    }
    predictions, rest = pairs[name]
    given = {"predictions": predictions, **rest}
    value, gradient = floors.whole(floors.FLOORS[name], given)()  # type: ignore[misc]
    expected = ours(name, given)
    assert value == pytest.approx(expected[0].item(), rel=1e-9)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-9, atol=1e-12)


def test_the_formulas_of_trainers_are_those_of_ours() -> None:
    source = Source("trainers")
    roles = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
    pairs = {name: source.normal(50) for name in roles}
    torch.testing.assert_close(differentiated(trainers.dpo, pairs), ours("dpo", pairs))
    mask = source.normal(*SHAPE) < 1
    tokens = {name: source.normal(*SHAPE) for name in ("log_probs", "old_log_probs", "advantages")}
    theirs = differentiated(lambda **given: trainers.ppo_clip(**given, mask=mask), tokens)
    torch.testing.assert_close(theirs, ours("ppo_clip", tokens, mask))
