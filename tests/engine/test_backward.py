"""The short way through autograd gives what the public one gives."""

from __future__ import annotations

import torch

from lossmeter.engine import backward
from lossmeter.losses import Loss
from tests.losses.test_losses import each, tracked
from tests.support.inputs import Case, smooth


def test_the_direct_way_is_the_one_in_use() -> None:
    assert backward.gradients is backward.direct


@each(smooth)
def test_both_ways_give_the_same_bits(loss: Loss, case: Case) -> None:
    given, leaves = tracked(loss, case)
    values = loss.function(**given)
    again, other_leaves = tracked(loss, case)
    expected = backward.public(loss.function(**again), other_leaves, torch.ones_like(values))
    for ours, theirs in zip(backward.direct(values, leaves, torch.ones_like(values)), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert all(leaf.grad is None for leaf in leaves)


def test_an_input_that_does_not_matter_has_no_gradient() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    for way in (backward.direct, backward.public):
        gradient, none = way(used * 2, [used, unused], torch.ones(2))
        assert gradient is not None
        assert gradient.tolist() == [2, 2]
        assert none is None
