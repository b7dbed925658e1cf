"""The engine: computes one loss, its value and its gradients."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lossmeter.budget import Budget, spend
from lossmeter.engine import devices
from lossmeter.engine.arguments import all_arguments, check_arguments, check_weights
from lossmeter.engine.calls import PRECISIONS, Call, Outcome, Warned
from lossmeter.engine.costs import LONG_OPERATIONS, cost_of
from lossmeter.engine.outcomes import outcome
from lossmeter.engine.plans import STUDY_AFTER, Plans, plan_key
from lossmeter.engine.programs import Programs
from lossmeter.engine.reduction import RowSums, weigh
from lossmeter.engine.threads import Threads
from lossmeter.engine.work import PassResult, Work, rounded, run_together
from lossmeter.errors import DoesNotFit
from lossmeter.losses import Support, find
from lossmeter.tensors import Datatype, Tensor

log = logging.getLogger(__name__)

TOGETHER_ELEMENTS = 1 << 15
"""Elements up to which calls are put together: so many are short work."""


class Engine:
    """Computes calls on one device.

    Args:
        device: the name of a torch device, or `auto`.
        chunk_elements: a separable loss over more elements is computed in chunks; 0 takes what suits the device.
        budget: what calls may take; without one, whatever they ask for.
    """

    def __init__(self, device: str = "auto", chunk_elements: int = 0, budget: Budget | None = None) -> None:
        self.device = devices.choose(device)
        self.chunk_elements = chunk_elements or devices.chunk_elements(self.device)
        self.budget = budget or Budget()
        self.threads = torch.get_num_threads()
        """Threads of long work. Short work has one."""
        self.programs = Programs()
        self.plans = Plans(self.programs, self.chunk_elements)
        self.halvings = 0
        """The number of times that something was tried again in smaller pieces, because memory had run out."""

    def compute(self, call: Call) -> Outcome:
        """Computes value and gradients of one call.

        Raises:
            Invalid: if the arguments are not what the loss declares.
            DoesNotFit: if the device has too little memory, even in the smallest chunks.
        """
        work = self.check(call)
        spend(call.loss.name, work.plan.cost)
        return outcome(work, self.run(work))

    def by_row(self, call: Call, upstream: float = 1.0) -> tuple[RowSums, dict[str, torch.Tensor]]:
        """Computes what each row adds to sum, normalizer and count, and the gradients of the mean, in one forward pass.

        Args:
            call: its gradients are those of `mean`; its reduction is not looked at.
            upstream: the gradient that flows into the mean.

        Raises:
            Invalid, DoesNotFit: as `compute`.
        """
        work = self.check(replace(call, reduction="none", upstream=None), summed=True)
        spend(call.loss.name, work.plan.cost)
        output, weights = work.shapes.output, work.weights
        assert output, "a single sample has no rows"
        if call.gradients:
            dtype = work.tensors[call.gradients[0]].dtype
            inflow = upstream / weights.normalizer if weights.normalizer else math.nan
            work.upstream = torch.full(output, rounded(inflow, dtype), dtype=dtype)
            if weights.scale is not None:
                work.upstream = work.upstream * weights.scale
        result = self.run(work)
        assert result.values is not None
        return weights.by_row(result.values), result.gradients

    def check(self, call: Call, *, summed: bool = False) -> Work:
        """Does the first half of `compute`: finds everything that can be wrong with a call, without any kernel.

        Args:
            summed: the values will be added up, whatever the reduction says; sample weights then keep all their digits.

        Raises:
            Invalid: if the arguments are not what the loss declares.
            TooLarge: if it would take more memory or operations than one request may.
        """
        loss = call.loss
        key = plan_key(call)
        plan = self.plans.get(key)
        admitted = None if plan is None else plan.admit(call)
        warned: Sequence[Warned] = ()
        dtype = PRECISIONS[call.precision]
        if plan is not None and admitted is not None:
            tensors, weights = admitted
            uses = plan.uses = plan.uses + 1
            if uses == STUDY_AFTER:
                self.plans.study(plan, call, tensors)
        else:
            arguments = check_arguments(
                loss,
                call.tensors,
                call.parameters,
                call.gradients,
                dtype,
                non_finite=call.non_finite == "allow",
                out_of_domain=call.out_of_domain == "allow",
            )
            tensors, weights, warned = arguments.tensors, None, arguments.warned
            if plan is None:
                device = self.device if devices.supports(self.device, call.precision) else torch.device("cpu")
                plan = self.plans.make(call, arguments, device)
                plan.cost = cost_of(call, plan)
                plan.long = plan.cost.operations > LONG_OPERATIONS
                self.budget.check(loss.name, plan.cost)
                self.plans.add(key, plan)
        if call.sample_weight is None and call.mask is None and call.upstream is None and weights is not None:
            return Work(call, plan, tensors, weights, None, warned)
        # Unreduced values are weighed as torch would; what is added up is weighed in the arithmetic of the sum.
        weight_dtype = PRECISIONS["float64"] if summed or call.reduction != "none" else dtype
        weight, mask, upstream = check_weights(call, plan.shapes.output, dtype, weight_dtype)
        if weights is None or weight is not None or mask is not None:
            support = Support()
            if plan.support is not None:
                support = plan.support(all_arguments(loss, tensors, call.parameters, call.gradients))
            weights = weigh(plan.shapes.output, support, weight, mask, reduction=call.reduction, horizon=call.horizon)
        return Work(call, plan, tensors, weights, upstream, warned)

    def run(self, work: Work) -> PassResult:
        """Does the second half: forward and backward, in as many chunks as the memory asks for.

        Raises:
            DoesNotFit: if the device has too little memory, even in the smallest chunks.
            Busy: if what else is computed leaves too little room.
            TookTooLong: if the time of the request is over between two chunks.
        """
        if not work.plan.long:
            with Threads(1 if work.plan.short else self.threads):
                return self._run(work)
        with self.budget.reserve(work.call.loss.name, work.plan.cost), Threads(self.threads):
            return self._run(work)

    def _run(self, work: Work) -> PassResult:
        rows = work.plan.chunk_rows
        while True:
            try:
                return work.run(rows)
            except (RuntimeError, MemoryError) as error:
                if not devices.is_full(error):
                    raise
            # Outside the handler, so that the traceback no longer holds the tensors that filled the device.
            devices.release(work.device)
            smaller = max(1, rows // 2)
            name, shape = work.call.loss.name, list(work.shapes.output)
            if not work.plan.divisible or smaller == rows:
                raise DoesNotFit(f"{name}: a batch of shape {shape} does not fit into the memory of {work.device}.")
            log.warning("%s does not fit into %s in chunks of %d rows; trying %d", name, work.device, rows, smaller)
            self.halvings += 1
            rows = smaller

    def run_together(self, works: Sequence[Work]) -> list[PassResult]:
        """Does the same as `run` for works of the same batch key, in less time: calling torch costs more than small sums.

        Raises:
            DoesNotFit: as `run`.
        """
        results: list[PassResult] = []
        batch: list[Work] = []
        room = TOGETHER_ELEMENTS
        for work in works:
            if batch and work.plan.elements > room:
                results += self._run_batch(batch)
                batch, room = [], TOGETHER_ELEMENTS
            batch.append(work)
            room -= work.plan.elements
        return results + self._run_batch(batch)

    def _run_batch(self, works: Sequence[Work]) -> list[PassResult]:
        if len(works) == 1:
            return [self.run(works[0])]
        with Threads(1):
            return run_together(works)

    def warm_up(self) -> None:
        """Computes something small, so that the first request does not pay for what torch loads lazily."""
        two = Tensor(Datatype.FP32, (2,), np.zeros(2, np.float32))
        self.compute(Call(find("mse"), {"predictions": two, "labels": two}, gradients=("predictions",)))
