"""Reduce: the one place where weights, masks, sums and means are defined.

With unreduced values v, weights w (the sample weights, zero where the mask is false) and denominators d (one, or what the loss
declares), the sum is Σwv, the normalizer is Σwd, and the mean is their quotient. Both sums are accumulated in float64.

Reductions over sequences add up the weighted values of each sequence, divided by the number of its tokens that count
(`sequence_mean`), by one (`sequence_sum`) or by the horizon (`sequence_sum_norm`), and divide by the number of sequences
in which any token counts. Weights do not enter these denominators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from lossmeter.losses import SEQUENCE_REDUCTIONS, Support
from lossmeter.losses.shapes import Sizes
from lossmeter.tensors import Array

FLOAT64 = torch.float64


class RowSums(NamedTuple):
    """Sums over each row of the batch: its part of the sum, of the normalizer and of the count of a loss."""

    numerator: torch.Tensor
    denominator: torch.Tensor
    counted: torch.Tensor


@dataclass(frozen=True, slots=True)
class ElementWeights:
    """The weight of each unreduced value; None stands for ones. All on the host, in the shape of the unreduced loss.

    Attributes:
        weight, mask: of the request.
        scale: a factor on each value under `mean` alone.
        share: what each value adds to the denominator; None for one where it counts.
        counted: which values count.
        normalizer, count: sums of the two.
    """

    weight: torch.Tensor | None
    mask: torch.Tensor | None
    scale: torch.Tensor | None
    share: torch.Tensor | None
    counted: torch.Tensor | None
    normalizer: float
    count: int

    @property
    def plain(self) -> bool:
        """Tells whether all values count the same, those that a loss sets to 0 by itself included."""
        return self.weight is self.mask is self.scale is None

    def rows(self, start: int, stop: int) -> ElementWeights:
        """Returns the part that belongs to some rows of the batch."""
        if self.plain:
            return self
        weight, mask, scale = (None if x is None else x[start:stop] for x in (self.weight, self.mask, self.scale))
        return ElementWeights(weight, mask, scale, self.share, self.counted, self.normalizer, self.count)

    def by_row(self, weighted: torch.Tensor) -> RowSums:
        """Sums row by row; `weighted` is the whole batch, on the host."""

        def summed(values: torch.Tensor) -> torch.Tensor:
            return values.to(FLOAT64) if values.dim() == 1 else values.flatten(1).sum(dim=1, dtype=FLOAT64)

        counted = torch.ones(weighted.shape, dtype=torch.bool) if self.counted is None else self.counted
        count = summed(counted)
        return RowSums(summed(weighted), count if self.share is None else summed(self.share), count)

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """Weighs the values; those that do not count become 0, whatever they were."""
        if self.weight is not None:
            values = values * self.weight.to(values.device)
        if self.mask is not None:
            values = torch.where(self.mask.to(values.device), values, 0.0)
        return values

    def total(self, weighted: torch.Tensor) -> float:
        """Sums in float64."""
        if weighted.device.type == "cpu":
            return precise_sum(weighted.numpy())
        return float(torch.sum(weighted, dtype=FLOAT64))

    def numerator(self, weighted: torch.Tensor) -> float:
        """Returns what `mean` divides by the normalizer."""
        if self.scale is not None:
            weighted = weighted * self.scale.to(weighted.device)
        return self.total(weighted)


def precise_sum(array: Array) -> float:
    """Sums in float64; unlike torch, numpy makes no copy of all elements in that precision for it."""
    return float(np.add.reduce(array, axis=None, dtype=np.float64))


def weigh(
    output: Sizes,
    support: Support,
    sample_weight: torch.Tensor | None,
    mask: torch.Tensor | None,
    *,
    reduction: str,
    horizon: float | None = None,
) -> ElementWeights:
    """Joins sample weights, mask and the loss's own support.

    Args:
        reduction: what becomes of the values; all that are means over elements have the same weights.
        horizon: what `sequence_sum_norm` divides by.
    """
    weight = None if sample_weight is None else _spread(sample_weight, output)
    kept = None if mask is None else _spread(mask, output)
    counted = support.counted
    if kept is not None:
        counted = kept if counted is None else counted & kept
    count = math.prod(output) if counted is None else int(np.count_nonzero(counted.numpy()))
    share, scale = None, support.scale
    if reduction in SEQUENCE_REDUCTIONS:
        normalizer = _sequences(output, counted)
        scale = _scale(output, counted, reduction, horizon)
    elif reduction == "batchmean":
        normalizer = _rows(output, sample_weight, counted)
    elif weight is None and support.denominator is None:
        normalizer = float(count)
    else:
        share = torch.ones(output, dtype=FLOAT64) if support.denominator is None else support.denominator.to(FLOAT64)
        if weight is not None:
            share = share * weight
        if counted is not None:
            share = torch.where(counted, share, 0.0)
        normalizer = float(share.sum())
    return ElementWeights(weight, kept, scale, share, counted, normalizer, count)


def _sequences(output: Sizes, counted: torch.Tensor | None) -> float:
    """Returns the number of sequences in which a token counts."""
    if counted is None:
        return float(output[0] if output[1] else 0)
    return float(counted.any(dim=1).sum())


def _scale(output: Sizes, counted: torch.Tensor | None, reduction: str, horizon: float | None) -> torch.Tensor | None:
    """Returns what each token is multiplied with before sequences are added up."""
    if reduction == "sequence_sum":
        return None
    if reduction == "sequence_mean" and counted is not None:
        return counted.sum(dim=1, keepdim=True).clamp(min=1).to(FLOAT64).reciprocal().expand(output)
    tokens = output[1] if reduction == "sequence_mean" or horizon is None else horizon
    return torch.tensor(1 / (tokens or 1), dtype=FLOAT64).expand(output)


def _rows(output: Sizes, sample_weight: torch.Tensor | None, counted: torch.Tensor | None) -> float:
    """Returns the size of the batch: the rows in which anything counts, weighted if there is one weight a row."""
    if not output:
        return 1.0
    rows = torch.ones(output[0], dtype=FLOAT64)
    if counted is not None:
        rows = counted.reshape(output[0], math.prod(output[1:])).any(dim=1).to(FLOAT64)
    if sample_weight is not None and sample_weight.shape == (output[0],):
        rows = rows * sample_weight
    return float(rows.sum())


def _spread(tensor: torch.Tensor, output: Sizes) -> torch.Tensor:
    """Spreads one number a row over the shape of the unreduced loss."""
    if tensor.shape == output:
        return tensor
    return tensor.view(-1, *(1,) * (len(output) - 1)).expand(output)
