"""Directions of vectors and their similarities, for every finite input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 1e-12


def directions(vectors: Tensor) -> Tensor:
    """Returns vectors of length 1, in the last dimension.

    A vector whose largest number is below 1e-12 has no direction: it stays 0, is similar to nothing, and has a gradient of 0.
    """
    if not vectors.shape[-1]:
        return vectors
    size = vectors.detach().abs().amax(-1, keepdim=True)
    long = size >= SHORT
    # A vector has the direction of its multiples; squares of numbers around 1 neither overflow nor vanish.
    scaled = torch.where(long, vectors, 1.0) / torch.where(long, size, 1.0)
    return torch.where(long, scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True), 0.0)


def log_sum(logits: Tensor, kept: Tensor) -> Tensor:
    """Returns the logarithm of the sum of the exponentials that are kept in each row; very small where none is."""
    lowest = torch.finfo(logits.dtype).min
    return F.pad(logits.masked_fill(~kept, lowest), (1, 0), value=lowest).logsumexp(-1)


def log_share(own: Tensor, others: Tensor) -> Tensor:
    """Returns log(e^own / (e^own + e^others)), exact where it is nearly 0."""
    return F.logsigmoid(own - others)


def different(count: int, device: torch.device) -> Tensor:
    """Returns a square of booleans, true off the diagonal."""
    return ~torch.eye(count, dtype=torch.bool, device=device)


def same_group(labels: Tensor) -> Tensor:
    """Returns which pairs of different samples have the same label."""
    return (labels.unsqueeze(0) == labels.unsqueeze(1)) & different(len(labels), labels.device)
