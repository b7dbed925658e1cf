"""A checked call on its way through the device: whole, in chunks along the batch, or together with others of its kind."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

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
    pieces: _Pieces | None = None

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
        """Computes it, so many rows at a time. Pieces that were done before memory ran out are not done again."""
        if rows >= self.batch:
            return _computed(self.tensors, [_Part(self, self.weighting, self.upstream)])[0]
        pieces = self.pieces = self.pieces or _Pieces.of(self)
        pieces.add(self, rows)
        self.pieces = None
        return pieces.together()


@dataclass(slots=True)
class _Pieces:
    """What came of the first rows of a work."""

    rows: int
    values: list[torch.Tensor]
    total: float
    numerator: float
    gradients: dict[str, torch.Tensor]

    @classmethod
    def of(cls, work: Work) -> Self:
        """None so far, and room for the gradients."""
        call = work.call
        room = {
            name: work.tensors[name] if call.expendable else torch.empty_like(work.tensors[name])
            for name in call.gradients
        }
        return cls(0, [], 0.0, 0.0, room)

    def add(self, work: Work, rows: int) -> None:
        """Computes the others, so many at a time."""
        edges = [*range(self.rows, work.batch, rows), work.batch]
        if rows > 1 and edges[-1] - edges[-2] == 1:
            del edges[-2]  # the last row goes with the piece before it
        for start, stop in pairwise(edges):
            self._add(work, start, stop)
            self.rows = stop

    def _add(self, work: Work, start: int, stop: int) -> None:
        tensors = {k: x[start:stop] if k in work.fit.batched else x for k, x in work.tensors.items()}
        upstream = work.upstream
        if upstream is not None and work.call.reduction == "none":
            upstream = upstream[start:stop]
        (done,) = _computed(tensors, [_Part(work, work.weighting.rows(start, stop), upstream)])
        if done.values is not None:
            self.values.append(done.values)
        self.total += done.total
        self.numerator += done.numerator
        for name, gradient in done.gradients.items():
            self.gradients[name][start:stop] = gradient

    def together(self) -> Done:
        return Done(torch.cat(self.values) if self.values else None, self.total, self.numerator, self.gradients)


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
