"""Losses of language models as their trainers compute them: TRL's DPOTrainer, and verl's `compute_policy_loss`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dpo(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """TRL, `dpo_loss` of the kind `sigmoid`."""
    logits = (policy_chosen - policy_rejected) - (reference_chosen - reference_rejected)
    losses = -F.logsigmoid(beta * logits) * (1 - label_smoothing) - F.logsigmoid(-beta * logits) * label_smoothing
    return losses.mean()


def ppo_clip(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, low: float = 0.2, high: float = 0.2
) -> Tensor:
    """verl, without the figures that it reports beside the loss and without its third bound."""
    ratio = torch.exp(torch.clamp(log_probs - old_log_probs, min=-20.0, max=20.0))
    losses = torch.maximum(-advantages * ratio, -advantages * torch.clamp(ratio, 1 - low, 1 + high))
    return (losses * mask).sum() / (mask.sum() + 1e-8)
