"""A checked call on its way through the device: whole, in chunks along the batch, or together with others of its kind."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from lossmeter.engine import backward
from lossmeter.engine.arguments import Fit
from lossmeter.engine.calls import Call
from lossmeter.engine.reduction import Weighting


@dataclass(slots=True)
class Done:
    """What came of a call, on the host: sums in float64, and tensors."""

    values: torch.Tensor | None
    total: float
    numerator: float
    gradients: dict[str, torch.Tensor]


@dataclass(slots=True)
class Work:
    """A call whose arguments were checked: on the host, in the precision of the call."""

    call: Call
    tensors: dict[str, torch.Tensor]
    fit: Fit
    weighting: Weighting
    upstream: torch.Tensor | None
    device: torch.device

    @property
    def batch(self) -> int:
        """How many rows it has."""
        return self.fit.output[0] if self.fit.output else 1

    @property
    def elements(self) -> int:
        """Elements of the largest tensor."""
        return max((tensor.numel() for tensor in self.tensors.values()), default=0)

    @property
    def divisible(self) -> bool:
        """Whether rows can be computed apart; a gradient that all rows share cannot."""
        batched = self.fit.batched
        return self.call.loss.chunked and bool(batched) and all(name in batched for name in self.call.gradients)

    @property
    def kin(self) -> Hashable:
        """Works for which this is equal can be computed as one batch, bit for bit; None for one that has to be alone."""
        call, kin = self.call, self.fit.kin
        if kin is None or not call.loss.chunked or self.device.type != "cpu":
            return None
        return call.loss.name, kin, repr(call.parameters), call.precision, call.gradients

    def run(self, rows: int) -> Done:
        """Computes it, so many rows at a time."""
        batch = self.batch
        if rows >= batch:
            return _computed(self.tensors, [_Part(self, self.weighting, self.upstream)])[0]
        values = []
        total = numerator = 0.0
        gradients = {name: torch.empty_like(self.tensors[name]) for name in self.call.gradients}
        edges = [*range(0, batch, rows), batch]
        if rows > 1 and edges[-1] - edges[-2] == 1:
            del edges[-2]  # the last row goes with the piece before it
        for start, stop in pairwise(edges):
            tensors = {k: x[start:stop] if k in self.fit.batched else x for k, x in self.tensors.items()}
            split = self.upstream is not None and self.call.reduction == "none"
            upstream = self.upstream[start:stop] if split and self.upstream is not None else self.upstream
            (done,) = _computed(tensors, [_Part(self, self.weighting.rows(start, stop), upstream)])
            if done.values is not None:
                values.append(done.values)
            total += done.total
            numerator += done.numerator
            for name, gradient in done.gradients.items():
                gradients[name][start:stop] = gradient
        return Done(torch.cat(values) if values else None, total, numerator, gradients)


def run_together(works: Sequence[Work]) -> list[Done]:
    """Computes works of the same kin as one batch."""
    tensors = {name: torch.cat([work.tensors[name] for work in works]) for name in works[0].tensors}
    return _computed(tensors, [_Part(work, work.weighting, work.upstream) for work in works])


class _Part(NamedTuple):
    """Rows of a batch that belong to one work, and what they count."""

    work: Work
    weighting: Weighting
    upstream: torch.Tensor | None

    def reduced(self, values: torch.Tensor) -> Done:
        weighted = self.weighting.apply(values)
        total = self.weighting.total(weighted)
        numerator = total if self.weighting.scale is None else self.weighting.numerator(weighted)
        return Done(weighted.cpu() if self.work.call.reduction == "none" else None, total, numerator, {})

    def inflow(self, values: torch.Tensor) -> torch.Tensor:
        """The gradient of the result with respect to the unreduced values."""
        call, weighting, upstream = self.work.call, self.weighting, self.upstream
        if call.reduction == "none":
            inflow = torch.ones_like(values) if upstream is None else upstream.to(values.device)
        else:
            factor = 1.0 if upstream is None else float(upstream)
            if call.reduction != "sum":
                divisor = weighting.normalizer if call.normalizer is None else call.normalizer
                factor = factor / divisor if divisor else 0.0 if call.empty == "zero" else math.nan
            if abs(factor) > torch.finfo(values.dtype).max:  # torch rounds no number to infinity by itself
                factor = math.copysign(math.inf, factor)
            inflow = torch.full_like(values, factor)
            if weighting.scale is not None and call.reduction != "sum":
                inflow = inflow * weighting.scale.to(values.device)
        return weighting.apply(inflow)

    def kept(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient in which what does not count is 0, even where its derivative is not a number."""
        mask = self.weighting.mask
        if mask is None or self.work.call.non_finite != "allow" or name not in self.work.fit.batched:
            return gradient
        if gradient.shape[: mask.dim()] != mask.shape:
            return gradient
        return torch.where(mask.view(*mask.shape, *(1,) * (gradient.dim() - mask.dim())), gradient, 0.0)


def _computed(tensors: dict[str, torch.Tensor], parts: Sequence[_Part]) -> list[Done]:
    """Forward and backward over rows that lie one part after the other."""
    work = parts[0].work
    call = work.call
    arguments = tensors if work.device.type == "cpu" else {k: x.to(work.device) for k, x in tensors.items()}
    if call.gradients:
        arguments = dict(arguments)
        for name in call.gradients:
            arguments[name] = arguments[name].detach().requires_grad_()
    values = call.loss.function(**arguments, **call.parameters)
    plain = values.detach()
    lengths = [part.work.batch for part in parts]
    pieces = _split(plain, lengths)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, the outcome tells
        results = [part.reduced(piece) for part, piece in zip(parts, pieces, strict=True)]
    if not call.gradients:
        return results
    found: backward.Gradients = (None,) * len(call.gradients)
    if values.requires_grad:
        inflows = [part.inflow(piece) for part, piece in zip(parts, pieces, strict=True)]
        wanted = [arguments[name] for name in call.gradients]
        found = backward.gradients(values, wanted, inflows[0] if len(inflows) == 1 else torch.cat(inflows))
    for name, gradient in zip(call.gradients, found, strict=True):
        whole = torch.zeros_like(tensors[name]) if gradient is None else gradient.cpu()
        for part, done, piece in zip(parts, results, _split(whole, lengths), strict=True):
            done.gradients[name] = part.kept(name, piece)
    return results


def _split(tensor: torch.Tensor, lengths: list[int]) -> Sequence[torch.Tensor]:
    return (tensor,) if len(lengths) == 1 else torch.split(tensor, lengths)
