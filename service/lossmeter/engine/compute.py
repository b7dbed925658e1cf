"""One loss: its value and its gradients, whole or in chunks along the batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from ctypes import c_float
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch

from lossmeter.engine import backward, devices
from lossmeter.engine.arguments import Domain, Fit, convert, prepare
from lossmeter.engine.reduction import Rows, Weighting, weigh
from lossmeter.errors import DoesNotFit, Flaw, Invalid, pointer
from lossmeter.losses import Loss, Support, find
from lossmeter.losses._types import Meaning
from lossmeter.tensors import Datatype, Tensor, coordinates

log = logging.getLogger(__name__)

PRECISIONS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
LISTED = 8
"""Non-finite results that are listed one by one."""

WEIGHT = Meaning("weights", "how much each sample counts, not negative", minimum=0.0, exact=True)
MASK = Meaning("mask", "true where it counts", kind="boolean")
UPSTREAM = Meaning("upstream gradient", "the gradient that flows in from outside")


@dataclass(frozen=True, slots=True)
class Call:
    """A loss and everything that one request says of it."""

    loss: Loss
    tensors: Mapping[str, Tensor]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reduction: str = "mean"
    gradients: tuple[str, ...] = ()
    upstream: Tensor | None = None
    sample_weight: Tensor | None = None
    mask: Tensor | None = None
    normalizer: float | None = None
    empty: Literal["nan", "zero", "error"] = "nan"
    precision: Literal["float32", "float64"] = "float32"
    non_finite: Literal["error", "allow"] = "error"


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the caller should know of a result."""

    code: str
    message: str
    pointer: str
    index: tuple[int, ...] | None
    value: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave: `value` for `mean` and `sum`, `values` for `none`."""

    value: float | None
    values: Tensor | None
    sum: float
    normalizer: float
    count: int
    gradients: dict[str, Tensor]
    device: str
    warnings: list[Warned]


class Engine:
    """Computes calls on one device.

    Args:
        device: the name of a torch device, or `auto`.
        chunk_elements: a separable loss over more elements is computed in chunks; 0 takes what suits the device.
    """

    def __init__(self, device: str = "auto", chunk_elements: int = 0) -> None:
        self.device = devices.choose(device)
        self.chunk_elements = chunk_elements or devices.chunk_elements(self.device)
        self.halvings = 0
        """How often something was tried again in smaller pieces, because memory had run out."""

    def compute(self, call: Call) -> Outcome:
        """Value and gradients of one call.

        Raises:
            Invalid: if the arguments are not what the loss declares.
            DoesNotFit: if the device has too little memory, even in the smallest chunks.
        """
        return _outcome(call, *self._computed(call))

    def by_row(self, call: Call) -> Rows:
        """What each row of the batch adds to sum, normalizer and count: of everything together, those of `compute`.

        Raises:
            Invalid, DoesNotFit: as `compute`.
        """
        done, weighting, output, _ = self._computed(replace(call, reduction="none", gradients=()))
        assert done.values is not None
        assert output, "a single sample has no rows"
        return weighting.by_row(done.values)

    def _computed(self, call: Call) -> tuple[_Done, Weighting, tuple[int, ...], str]:
        loss = call.loss
        dtype = PRECISIONS[call.precision]
        device = self.device if devices.supports(self.device, call.precision) else torch.device("cpu")
        prepared = prepare(
            loss, call.tensors, call.parameters, call.gradients, dtype, non_finite=call.non_finite == "allow"
        )
        output = prepared.fit.output
        weight, mask, upstream = _common(call, output, dtype)
        support = Support()
        if loss.support is not None:
            absent = {argument.name: None for argument in loss.tensors if argument.name not in prepared.tensors}
            support = loss.support({**absent, **prepared.tensors, **call.parameters})
        weighting = weigh(output, support, weight, mask, batchmean=call.reduction == "batchmean")
        work = _Work(call, prepared.tensors, prepared.fit, weighting, upstream, device)
        rows = self._rows(work)
        while True:
            try:
                done = work.run(rows)
                break
            except (RuntimeError, MemoryError) as error:
                if not devices.is_full(error):
                    raise
            # Outside the handler, so that the traceback no longer holds the tensors that filled the device.
            devices.release(device)
            smaller = max(1, rows // 2)
            if not work.divisible or smaller == rows:
                raise DoesNotFit(
                    f"{loss.name}: a batch of shape {list(output)} does not fit into the memory of {device}."
                )
            log.warning("%s does not fit into %s in chunks of %d rows; trying %d", loss.name, device, rows, smaller)
            self.halvings += 1
            rows = smaller
        return done, weighting, output, str(device)

    def warm_up(self) -> None:
        """Computes something small, so that the first request does not pay for what torch loads lazily."""
        two = Tensor(Datatype.FP32, (2,), np.zeros(2, np.float32))
        self.compute(Call(find("mse"), {"predictions": two, "labels": two}, gradients=("predictions",)))

    def _rows(self, work: _Work) -> int:
        """How many rows of the batch to compute at a time."""
        size = max((tensor.numel() for tensor in work.tensors.values()), default=0)
        batch = work.fit.output[0] if work.fit.output else 1
        if not work.divisible or size <= self.chunk_elements:
            return batch
        # A piece of a single row can differ in its last bits: torch takes other ways through a tensor of one.
        return max(2, self.chunk_elements // (size // batch))


@dataclass(slots=True)
class _Done:
    values: torch.Tensor | None
    total: float
    numerator: float
    gradients: dict[str, torch.Tensor]


@dataclass(slots=True)
class _Work:
    call: Call
    tensors: dict[str, torch.Tensor]
    fit: Fit
    weighting: Weighting
    upstream: torch.Tensor | None
    device: torch.device

    @property
    def divisible(self) -> bool:
        """Whether rows can be computed apart; a gradient that all rows share cannot."""
        batched = self.fit.batched
        return self.call.loss.chunked and bool(batched) and all(name in batched for name in self.call.gradients)

    def run(self, rows: int) -> _Done:
        batch = self.fit.output[0] if self.fit.output else 1
        if rows >= batch:
            return self._part(self.tensors, self.weighting, self.upstream)
        values = []
        total = numerator = 0.0
        gradients = {name: torch.empty_like(self.tensors[name]) for name in self.call.gradients}
        edges = [*range(0, batch, rows), batch]
        if rows > 1 and edges[-1] - edges[-2] == 1:
            del edges[-2]  # the last row goes with the piece before it
        for start, stop in pairwise(edges):
            part = {k: x[start:stop] if k in self.fit.batched else x for k, x in self.tensors.items()}
            split = self.upstream is not None and self.call.reduction == "none"
            upstream = self.upstream[start:stop] if split and self.upstream is not None else self.upstream
            done = self._part(part, self.weighting.rows(start, stop), upstream)
            if done.values is not None:
                values.append(done.values)
            total += done.total
            numerator += done.numerator
            for name, gradient in done.gradients.items():
                gradients[name][start:stop] = gradient
        return _Done(torch.cat(values) if values else None, total, numerator, gradients)

    def _part(self, tensors: dict[str, torch.Tensor], weighting: Weighting, upstream: torch.Tensor | None) -> _Done:
        wanted = self.call.gradients
        arguments = tensors if self.device.type == "cpu" else {k: x.to(self.device) for k, x in tensors.items()}
        if wanted:
            arguments = dict(arguments)
            for name in wanted:
                arguments[name] = arguments[name].detach().requires_grad_()
        values = self.call.loss.function(**arguments, **self.call.parameters)
        plain = values.detach()
        weighted = weighting.apply(plain)
        total = weighting.total(weighted)
        numerator = total if weighting.scale is None else weighting.numerator(weighted)
        gradients: dict[str, torch.Tensor] = {}
        if wanted:
            gradients = self._gradients(values, plain, {name: arguments[name] for name in wanted}, weighting, upstream)
        return _Done(weighted.cpu() if self.call.reduction == "none" else None, total, numerator, gradients)

    def _gradients(
        self,
        values: torch.Tensor,
        plain: torch.Tensor,
        wanted: dict[str, torch.Tensor],
        weighting: Weighting,
        upstream: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        if not values.requires_grad:
            return {name: torch.zeros_like(tensor, device="cpu") for name, tensor in wanted.items()}
        inflow = self._inflow(plain, weighting, upstream)
        found = backward.gradients(values, list(wanted.values()), inflow)
        gradients = {
            name: torch.zeros_like(tensor, device="cpu") if gradient is None else gradient.cpu()
            for (name, tensor), gradient in zip(wanted.items(), found, strict=True)
        }
        if weighting.mask is not None and self.call.non_finite == "allow":
            # What does not count contributes nothing, even where its derivative is not a number.
            for name, gradient in gradients.items():
                if name in self.fit.batched and gradient.shape[: weighting.mask.dim()] == weighting.mask.shape:
                    kept = weighting.mask.view(*weighting.mask.shape, *(1,) * (gradient.dim() - weighting.mask.dim()))
                    gradients[name] = torch.where(kept, gradient, 0.0)
        return gradients

    def _inflow(self, values: torch.Tensor, weighting: Weighting, upstream: torch.Tensor | None) -> torch.Tensor:
        """The gradient of the result with respect to the unreduced values."""
        if self.call.reduction == "none":
            inflow = torch.ones_like(values) if upstream is None else upstream.to(values.device)
        else:
            factor = 1.0 if upstream is None else float(upstream)
            if self.call.reduction != "sum":
                divisor = weighting.normalizer if self.call.normalizer is None else self.call.normalizer
                factor = factor / divisor if divisor else 0.0 if self.call.empty == "zero" else math.nan
            inflow = torch.full_like(values, factor)
            if weighting.scale is not None and self.call.reduction != "sum":
                inflow = inflow * weighting.scale.to(values.device)
        return weighting.apply(inflow)


def _common(
    call: Call, output: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Sample weights, mask and upstream gradient, checked."""
    if call.sample_weight is None and call.mask is None and call.upstream is None:
        return None, None, None
    domain = Domain(non_finite=False)
    by_row = [output, (output[0],)] if output else [output]
    whole = [output] if call.reduction == "none" else [()]
    loaded: list[torch.Tensor | None] = []
    for name, given, meaning, shapes in (
        ("sample_weight", call.sample_weight, WEIGHT, by_row),
        ("mask", call.mask, MASK, by_row),
        ("upstream", call.upstream, UPSTREAM, whole),
    ):
        if given is None:
            loaded.append(None)
            continue
        array = convert(name, given, meaning, dtype, domain.flaws)
        if given.shape not in shapes:
            allowed = " or ".join(str(list(shape)) for shape in dict.fromkeys(shapes))
            domain.flaws.append(Flaw(pointer(name), f"{name} has shape {list(given.shape)}; expected {allowed}"))
        elif array is not None:
            domain.check(name, array, meaning, given)
            loaded.append(torch.from_numpy(array.reshape(given.shape)))
    if domain.flaws:
        raise Invalid.of(call.loss.name, domain.flaws)
    weight, mask, upstream = loaded
    return weight, mask, upstream


def _outcome(call: Call, done: _Done, weighting: Weighting, output: tuple[int, ...], device: str) -> Outcome:
    normalizer = weighting.normalizer if call.normalizer is None else call.normalizer
    warnings: list[Warned] = []
    value: float | None = None
    if call.reduction == "sum":
        value = _rounded(done.total, call.precision)
    elif call.reduction != "none":
        value = _mean(call, done.numerator, normalizer)
    for name, number in (("value", value), ("sum", done.total)):
        if number is not None and not math.isfinite(number):
            empty = " because nothing counts: the normalizer is 0" if name == "value" and not normalizer else ""
            word = _word(number)
            warnings.append(Warned("non_finite", f"{name} is {word}{empty}", pointer(name), None, word))
    values = None
    if done.values is not None:
        values = _result(("values",), done.values, output, warnings)
    gradients = {
        name: _result(("gradients", name), gradient, tuple(gradient.shape), warnings)
        for name, gradient in done.gradients.items()
    }
    return Outcome(value, values, done.total, normalizer, weighting.count, gradients, device, warnings)


def _mean(call: Call, numerator: float, normalizer: float) -> float:
    if normalizer:
        return _rounded(numerator / normalizer, call.precision)
    if call.empty == "error":
        raise Invalid.at(call.loss.name, "", "nothing counts: the normalizer of the mean is 0, and empty is 'error'")
    return 0.0 if call.empty == "zero" else math.nan


def _rounded(number: float, precision: str) -> float:
    return c_float(number).value if precision == "float32" else number


def _result(path: tuple[str, ...], tensor: torch.Tensor, shape: tuple[int, ...], warnings: list[Warned]) -> Tensor:
    flat = tensor.numpy().reshape(-1)
    finite = np.isfinite(flat)
    if not finite.all():
        positions = np.flatnonzero(~finite)
        for position in positions[:LISTED].tolist():
            index = coordinates(position, shape)
            word = _word(float(flat[position]))
            name = ".".join(path)
            message = f"{name}{list(index)} is {word}; {len(positions)} of {len(flat)} elements are not finite"
            warnings.append(Warned("non_finite", message, pointer(*path), index, word))
    return Tensor(Datatype.FP64 if flat.dtype == np.float64 else Datatype.FP32, shape, flat)


def _word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
