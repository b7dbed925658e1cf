"""A policy learns from rewards with the losses of the service, by the steps that TRL would make."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from lossmeter.client import Client, RemoteLoss


def test_the_policy_learns_to_count(
    example: Callable[[str], ModuleType], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grpo = example("grpo")
    with Client(url) as client:
        curve = grpo.train(client, rounds=16)  # of the many that it takes to count without a mistake
    assert curve[0] < 0.05
    assert curve[-1] > 0.3
    grpo.tell(curve)
    assert f"{curve[-1]:.2f}" in capsys.readouterr().out


def test_a_step_is_that_of_trl(example: Callable[[str], ModuleType], url: str) -> None:
    grpo = example("grpo")
    torch.manual_seed(1)
    policy = grpo.Policy()
    answers = grpo.sample(policy)
    assert not answers.mask.all()
    log_probs = policy(answers.tokens).detach()
    old, first = log_probs + 0.2 * torch.randn_like(log_probs), log_probs + torch.randn_like(log_probs)
    ours, theirs = (log_probs.clone().requires_grad_() for _ in range(2))
    with Client(url) as client:
        loss = RemoteLoss("ppo_clip", client=client, reduction="grpo", clip_low=0.2, clip_high=0.28)(
            ours, old, answers.advantages, mask=answers.mask
        )
        penalty = RemoteLoss("kl_k3", client=client, reduction="grpo")(ours, first, mask=answers.mask)
        (loss + 0.04 * penalty).backward()
    ratio = (theirs - old).exp()
    tokens = -torch.min(ratio * answers.advantages, ratio.clamp(0.8, 1.28) * answers.advantages)
    tokens = tokens + 0.04 * ((first - theirs).exp() - (first - theirs) - 1)
    mask = answers.mask.float()
    ((tokens * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)
