"""The logistic function, so that a batch in pieces gives the bits of the whole."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-x)). torch's own rounds the last few elements of a tensor in another way than those before them."""
    return F.logsigmoid(logits).exp()
