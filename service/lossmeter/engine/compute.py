"""One loss: its value and its gradients."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lossmeter.engine import devices
from lossmeter.engine.arguments import Domain, convert, prepare
from lossmeter.engine.calls import PRECISIONS, Call, Outcome
from lossmeter.engine.outcomes import outcome
from lossmeter.engine.reduction import Rows, weigh
from lossmeter.engine.work import Done, Work, run_together
from lossmeter.errors import DoesNotFit, Flaw, Invalid, pointer
from lossmeter.losses import Support, find
from lossmeter.losses.vocabulary import Meaning
from lossmeter.tensors import Datatype, Tensor

log = logging.getLogger(__name__)

TOGETHER_ELEMENTS = 1 << 15
"""Elements up to which torch works on a tensor in one thread: larger batches are not put together."""

WEIGHT = Meaning("weights", "how much each sample counts, not negative", minimum=0.0, exact=True)
MASK = Meaning("mask", "true where it counts", kind="boolean")
UPSTREAM = Meaning("upstream gradient", "the gradient that flows in from outside")


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
        work = self.check(call)
        return outcome(work, self.run(work))

    def by_row(self, call: Call, upstream: float = 1.0) -> tuple[Rows, dict[str, torch.Tensor]]:
        """Computes what each row adds to sum, normalizer and count, and the gradients of the mean, in one forward pass.

        Args:
            call: its gradients are those of `mean`; its reduction is not looked at.
            upstream: the gradient that flows into the mean.

        Raises:
            Invalid, DoesNotFit: as `compute`.
        """
        work = self.check(replace(call, reduction="none", upstream=None))
        assert work.fit.output, "a single sample has no rows"
        weighting = work.weighting
        if call.gradients:
            dtype = work.tensors[call.gradients[0]].dtype
            inflow = upstream / weighting.normalizer if weighting.normalizer else math.nan
            if abs(inflow) > torch.finfo(dtype).max:  # torch rounds no number to infinity by itself
                inflow = math.copysign(math.inf, inflow)
            work.upstream = torch.full(work.fit.output, inflow, dtype=dtype)
            if weighting.scale is not None:
                work.upstream = work.upstream * weighting.scale
        done = self.run(work)
        assert done.values is not None
        return weighting.by_row(done.values), done.gradients

    def check(self, call: Call) -> Work:
        """The first half of `compute`: everything that can be wrong with a call, without any kernel.

        Raises:
            Invalid: if the arguments are not what the loss declares.
        """
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
        return Work(call, prepared.tensors, prepared.fit, weighting, upstream, device)

    def run(self, work: Work) -> Done:
        """The second half: forward and backward, in as many chunks as the memory asks for.

        Raises:
            DoesNotFit: if the device has too little memory, even in the smallest chunks.
        """
        rows = self._rows(work)
        while True:
            try:
                return work.run(rows)
            except (RuntimeError, MemoryError) as error:
                if not devices.is_full(error):
                    raise
            # Outside the handler, so that the traceback no longer holds the tensors that filled the device.
            devices.release(work.device)
            smaller = max(1, rows // 2)
            name, shape = work.call.loss.name, list(work.fit.output)
            if not work.divisible or smaller == rows:
                raise DoesNotFit(f"{name}: a batch of shape {shape} does not fit into the memory of {work.device}.")
            log.warning("%s does not fit into %s in chunks of %d rows; trying %d", name, work.device, rows, smaller)
            self.halvings += 1
            rows = smaller

    def run_together(self, works: Sequence[Work]) -> list[Done]:
        """The same as `run` for each of some works of the same kin, in less time: calling torch costs more than small sums.

        Raises:
            DoesNotFit: as `run`.
        """
        done: list[Done] = []
        batch: list[Work] = []
        room = TOGETHER_ELEMENTS
        for work in works:
            if batch and work.elements > room:
                done += self._run_batch(batch)
                batch, room = [], TOGETHER_ELEMENTS
            batch.append(work)
            room -= work.elements
        return done + self._run_batch(batch)

    def _run_batch(self, works: Sequence[Work]) -> list[Done]:
        return run_together(works) if len(works) > 1 else [self.run(work) for work in works]

    def warm_up(self) -> None:
        """Computes something small, so that the first request does not pay for what torch loads lazily."""
        two = Tensor(Datatype.FP32, (2,), np.zeros(2, np.float32))
        self.compute(Call(find("mse"), {"predictions": two, "labels": two}, gradients=("predictions",)))

    def _rows(self, work: Work) -> int:
        """How many rows of the batch to compute at a time."""
        size = work.elements
        if not work.divisible or size <= self.chunk_elements:
            return work.batch
        # A piece of a single row can differ in its last bits: torch takes other ways through a tensor of one.
        return max(2, self.chunk_elements // (size // work.batch))


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
