"""Work: a checked call on its way through the device, whole, in chunks along the batch, or together with others of its kind."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch

from lossmeter.engine import advice, backward
from lossmeter.engine.bound_shapes import BoundShapes
from lossmeter.engine.calls import PRECISIONS, Call, Warned
from lossmeter.engine.plans import Plan
from lossmeter.engine.programs import Program
from lossmeter.engine.reduction import ElementWeights, precise_sum
from lossmeter.stopping import checkpoint

KEPT_ELEMENTS = 1 << 10
"""Elements up to which a plan keeps the gradient of the values for the next call."""


@dataclass(slots=True)
class PassResult:
    """The result of a forward and backward pass, on the host: sums in float64, and tensors."""

    values: torch.Tensor | None
    total: float
    numerator: float
    gradients: dict[str, torch.Tensor]


@dataclass(slots=True)
class Work:
    """A call whose arguments were checked: on the host, in the precision of the call.

    Attributes:
        pieces: what was computed before memory ran out.
        advised: the advice on its tensors, where they may be overwritten.
    """

    call: Call
    plan: Plan
    tensors: dict[str, torch.Tensor]
    weights: ElementWeights
    upstream: torch.Tensor | None
    warned: Sequence[Warned] = ()
    pieces: _Pieces | None = None
    advised: list[Warned] | None = None

    @property
    def shapes(self) -> BoundShapes:
        """Its shapes, bound to the declaration of the loss."""
        return self.plan.shapes

    @property
    def batch(self) -> int:
        """The number of its rows."""
        return self.plan.rows

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return self.plan.device

    @property
    def batch_key(self) -> Hashable:
        """Equal for works that can be computed as one batch, bit for bit; None for one that has to be alone."""
        return self.plan.batch_key

    @property
    def keeps_values(self) -> bool:
        """Tells whether the values of all pieces are kept until the end."""
        return self.call.reduction == "none" or len(self.shapes.output) == 1

    def run(self, rows: int) -> PassResult:
        """Computes it, so many rows at a time. Pieces that were done before memory ran out are not done again."""
        _count_use(self.plan, min(rows, self.plan.rows))
        if rows >= self.plan.rows:
            return _compute(self.tensors, [_Part(self, self.plan.rows, self.weights, self.upstream)])[0]
        if self.call.advice and self.advised is None:
            self.advised = advice.of_inputs(self)  # gradients may take the place of the tensors
        pieces = self.pieces = self.pieces or _Pieces.of(self)
        pieces.add(self, rows)
        self.pieces = None
        return pieces.together(self)


@dataclass(slots=True)
class _Pieces:
    """Results of the first rows of a work.

    Attributes:
        rows: how many these are.
        values: of each piece, if they are wanted or few: few are added up at the end, all at once.
        total, numerator: sums of those that are not kept.
        gradients: room for all rows.
        inflow: the gradient of the values of the largest piece, if it is the same for all values.
    """

    rows: int
    values: list[torch.Tensor]
    total: float
    numerator: float
    gradients: dict[str, torch.Tensor]
    inflow: torch.Tensor | None = None

    @classmethod
    def of(cls, work: Work) -> Self:
        """Begins without any, and with room for the gradients."""
        call = work.call
        room = {
            name: work.tensors[name] if call.expendable else torch.empty_like(work.tensors[name])
            for name in call.gradients
        }
        return cls(0, [], 0.0, 0.0, room)

    def add(self, work: Work, rows: int) -> None:
        """Computes the others, so many at a time."""
        first, left = self.rows, work.plan.rows - self.rows
        sizes = [rows] * (left // rows) + ([left % rows] if left % rows else [])
        if rows > 1 and len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [sizes[-2] + 1]  # the last row goes with the piece before it
        batched, call = work.plan.shapes.batched, work.call
        split = [
            torch.split(tensor[first:], sizes) if name in batched else [tensor] * len(sizes)
            for name, tensor in work.tensors.items()
        ]
        rooms = [torch.split(room[first:], sizes) for room in self.gradients.values()]
        # Whatever else takes memory after a tensor has made room for its gradient could not be done again.
        given = bool(rooms) and (work.weights.plain or not call.expendable)
        upstream = work.upstream
        for place, size in enumerate(sizes):
            checkpoint()
            start, stop = self.rows, self.rows + size
            part = _Part(
                work,
                size,
                work.weights.rows(start, stop),
                upstream[start:stop] if upstream is not None and call.reduction == "none" else upstream,
            )
            tensors = {name: pieces[place] for name, pieces in zip(work.tensors, split, strict=True)}
            self._add(part, tensors, [pieces[place] for pieces in rooms], given=given)
            self.rows = stop

    def _add(
        self, part: _Part, tensors: dict[str, torch.Tensor], rooms: Sequence[torch.Tensor], *, given: bool
    ) -> None:
        work = part.work
        if part.uniform and rooms and (self.inflow is None or len(self.inflow) < part.rows):
            self.inflow = _joined_inflow(work.plan, [part], part.rows)
        inflow = self.inflow[: part.rows] if part.uniform and self.inflow is not None else None
        values, gradients = _passed(tensors, [part], rooms if given else (), inflow)
        if part.weights.mask is not None:
            pairs = zip(self.gradients, gradients, strict=True)
            gradients = tuple(one if one is None else part.keep(name, one.cpu()) for name, one in pairs)
        if work.keeps_values:
            values = values.cpu()
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                result = part.reduce(values)
        # From here on nothing takes memory: a piece that has been noted, even in part, could not be done again.
        for room, gradient in zip(rooms, gradients, strict=True):
            if gradient is None:
                room.zero_()
            elif gradient.data_ptr() != room.data_ptr():
                room.copy_(gradient)
        if work.keeps_values:
            self.values.append(values)
        else:
            self.total += result.total
            self.numerator += result.numerator

    def together(self, work: Work) -> PassResult:
        if not self.values:
            return PassResult(None, self.total, self.numerator, self.gradients)
        part = _Part(work, work.plan.rows, work.weights, work.upstream)
        with np.errstate(over="ignore", invalid="ignore"):
            result = part.reduce(torch.cat(self.values))
        result.gradients = self.gradients
        return result


def run_together(works: Sequence[Work]) -> list[PassResult]:
    """Computes works of the same batch key as one batch."""
    tensors = {name: torch.cat([work.tensors[name] for work in works]) for name in works[0].tensors}
    _count_use(works[0].plan, sum([work.plan.rows for work in works]))
    return _compute(tensors, [_Part(work, work.plan.rows, work.weights, work.upstream) for work in works])


class _Part(NamedTuple):
    """Rows of a batch that belong to one work, and how much they count."""

    work: Work
    rows: int
    weights: ElementWeights
    upstream: torch.Tensor | None

    def reduce(self, values: torch.Tensor) -> PassResult:
        """Adds up its values."""
        weights = self.weights
        weighted = values if weights.plain else weights.apply(values)
        total = weights.total(weighted)
        numerator = total if weights.scale is None else weights.numerator(weighted)
        return PassResult(weighted.cpu() if self.work.call.reduction == "none" else None, total, numerator, {})

    def factor(self) -> float:
        """Returns the gradient of the result with respect to each value, as far as it is the same for all of them."""
        call = self.work.call
        if call.reduction == "none":
            return 1.0
        factor = 1.0 if self.upstream is None else float(self.upstream)
        if call.reduction != "sum":
            divisor = self.weights.normalizer if call.normalizer is None else call.normalizer
            factor = factor / divisor if divisor else 0.0 if call.empty == "zero" else math.nan
        return factor

    @property
    def uniform(self) -> bool:
        """Tells whether the gradient of the result is the same for all values."""
        return self.weights.plain and (self.upstream is None or self.work.call.reduction != "none")

    def inflow(self, values: torch.Tensor) -> torch.Tensor:
        """Returns the gradient of the result with respect to the unreduced values."""
        call, weights, upstream = self.work.call, self.weights, self.upstream
        if call.reduction == "none" and upstream is not None:
            return weights.apply(upstream.to(values.device)).to(values.dtype)
        inflow = torch.full_like(values, rounded(self.factor(), values.dtype))
        if weights.scale is not None and call.reduction not in ("none", "sum"):
            inflow = inflow * weights.scale.to(values.device, values.dtype)
        return weights.apply(inflow).to(values.dtype)

    def keep(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """Returns a gradient in which what does not count is 0, even where its derivative is not a number."""
        mask = self.weights.mask
        if mask is None or self.work.call.non_finite != "allow" or name not in self.work.plan.shapes.batched:
            return gradient
        loss = self.work.call.loss
        if (
            not loss.separable
            or (mask.dim() > 1 and not loss.elementwise)
            or gradient.shape[: mask.dim()] != mask.shape
        ):
            return gradient  # what does not count itself is part of what does
        return torch.where(mask.view(*mask.shape, *(1,) * (gradient.dim() - mask.dim())), gradient, 0.0)


def _compute(tensors: dict[str, torch.Tensor], parts: Sequence[_Part]) -> list[PassResult]:
    """Forward and backward over rows that lie one part after the other."""
    call = parts[0].work.call
    lengths = [part.rows for part in parts]
    values, gradients = _passed(tensors, parts)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, the outcome tells
        results = _reduce(values, parts)
    for name, gradient in zip(call.gradients, gradients, strict=True):
        whole = torch.zeros_like(tensors[name]) if gradient is None else gradient.cpu()
        for part, result, piece in zip(parts, results, _split(whole, lengths), strict=True):
            result.gradients[name] = piece if part.weights.mask is None else part.keep(name, piece)
    return results


def _reduce(values: torch.Tensor, parts: Sequence[_Part]) -> list[PassResult]:
    """Adds up the values of each part."""
    if len(parts) == 1 or values.device.type != "cpu":
        return [part.reduce(piece) for part, piece in zip(parts, _split(values, [p.rows for p in parts]), strict=True)]
    array = values.numpy()  # once, as each view of torch costs as much as adding a small one up
    results = []
    start = 0
    for part in parts:
        stop = start + part.rows
        piece = array[start:stop]
        if part.weights.plain and part.work.call.reduction != "none":
            total = precise_sum(piece)
            results.append(PassResult(None, total, total, {}))
        else:
            results.append(part.reduce(values[start:stop]))
        start = stop
    return results


Pass = tuple[torch.Tensor, backward.Gradients]


def _passed(
    tensors: dict[str, torch.Tensor],
    parts: Sequence[_Part],
    rooms: Sequence[torch.Tensor] = (),
    inflow: torch.Tensor | None = None,
) -> Pass:
    """Computes values and gradients.

    Args:
        rooms: memory for each gradient, in which it lies if that saves a copy; perhaps that of the tensor itself.
        inflow: the gradient of the values, if it is there already.
    """
    plan = parts[0].work.plan
    if plan.program is not None and plan.program.program is not None:
        rows = sum([part.rows for part in parts])
        if is_for(plan, rows):
            passed = _replay(plan.program.program, tensors, parts, rooms, inflow, rows)
            if passed is not None:
                return passed
    return _differentiate(tensors, parts)


def _replay(
    program: Program,
    tensors: dict[str, torch.Tensor],
    parts: Sequence[_Part],
    rooms: Sequence[torch.Tensor],
    inflow: torch.Tensor | None,
    rows: int,
) -> Pass | None:
    """Computes values and gradients by the program of this kind, if it holds."""
    plan = parts[0].work.plan
    given = [*tensors.values()]
    if parts[0].work.call.gradients:
        given.append(_joined_inflow(plan, parts, rows) if inflow is None else inflow)
    if plan.device.type != "cpu":
        given, rooms = [tensor.to(plan.device) for tensor in given], ()
    return program(*given, *rooms)


def is_for(plan: Plan, rows: int) -> bool:
    """Tells whether the program of a plan is for batches of that size; sizes of 0 and 1 are unlike all others."""
    return rows <= plan.program_rows and (rows > 1 or plan.rows == 1)


def _differentiate(tensors: dict[str, torch.Tensor], parts: Sequence[_Part]) -> Pass:
    """Computes values and gradients by way of autograd."""
    plan, call = parts[0].work.plan, parts[0].work.call
    lengths = [part.rows for part in parts]

    def inflow(values: torch.Tensor) -> torch.Tensor:
        inflows = [part.inflow(piece) for part, piece in zip(parts, _split(values, lengths), strict=True)]
        return inflows[0] if len(inflows) == 1 else torch.cat(inflows)

    arguments = tensors if plan.device.type == "cpu" else {k: x.to(plan.device) for k, x in tensors.items()}
    return backward.differentiate(call.loss.function, arguments, call.parameters, call.gradients, inflow)


def _count_use(plan: Plan, rows: int) -> None:
    """Notes that a call was computed without a program, if one would have been for it."""
    if plan.program is not None and plan.program.program is None and is_for(plan, rows):
        plan.program.count_use()


def _joined_inflow(plan: Plan, parts: Sequence[_Part], rows: int) -> torch.Tensor:
    """Returns the gradients of the results with respect to the unreduced values, one part after the other."""
    output = plan.shapes.output
    alone = len(parts) == 1 and rows == plan.rows and parts[0].uniform
    kept = plan.inflow  # once, as other threads replace it
    if alone and kept is not None and kept[0] == parts[0].factor():
        return kept[1]
    array = np.empty((rows, *output[1:]) if output else (), PRECISIONS[parts[0].work.call.precision])
    whole = torch.from_numpy(array)
    start = 0
    for part in parts:
        stop = start + part.rows
        place = slice(start, stop) if output else ()
        if part.uniform:
            array[place] = factor = rounded(part.factor(), whole.dtype)
        else:
            whole[place] = part.inflow(whole[place])
        start = stop
    if alone and factor and array.size <= KEPT_ELEMENTS:  # 0.0 equals -0.0
        plan.inflow = factor, whole
    return whole


def uniform_factor(work: Work) -> float:
    """Returns the gradient of the result with respect to each value, for a work in which all values count the same."""
    part = _Part(work, work.plan.rows, work.weights, work.upstream)
    return rounded(part.factor(), torch.float64 if work.call.precision == "float64" else torch.float32)


def rounded(factor: float, dtype: torch.dtype) -> float:
    """Returns a factor, infinite where it is too large for the datatype: torch rounds no number to infinity by itself."""
    return math.copysign(math.inf, factor) if abs(factor) > torch.finfo(dtype).max else factor


def _split(tensor: torch.Tensor, lengths: list[int]) -> Sequence[torch.Tensor]:
    return (tensor,) if len(lengths) == 1 else torch.split(tensor, lengths)
