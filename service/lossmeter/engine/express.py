"""Express: calls of a kind that is known through and through, many of them in one run of its program.

What a plan has found out once holds for all calls of its kind; what depends on numbers is tested for all calls of a batch
at once. Where a test does not pass, or a result is not finite, nobody gets an answer here: the way that names what is wrong
begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from lossmeter.engine.advice import Glance
from lossmeter.engine.calls import PRECISIONS
from lossmeter.engine.elements import Test, is_below, is_finite
from lossmeter.engine.plans import SHORT_OPERATIONS, Plan
from lossmeter.engine.reduction import precise_sum
from lossmeter.engine.threads import Threads
from lossmeter.engine.work import Work, is_for, uniform_factor
from lossmeter.tensors import Array

LARGEST = 2.0**45
"""Magnitude up to which numbers go this way: integers are exact in float64, and whatever is larger may be infinite."""
MOST_SUMMED = 1 << 13
"""Values up to which numpy adds the rows of a float64 matrix as it adds float32 numbers in float64, bit for bit."""


class Results(NamedTuple):
    """Results of a batch: values and sums of its calls, and for each gradient a matrix with a row for each call."""

    values: list[float]
    sums: list[float]
    gradients: list[Array]


class _Input(NamedTuple):
    """A tensor of the kind: how to join those of a batch, and what has to hold for their elements."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    floating: bool
    test: Test | None


@dataclass(slots=True, eq=False)
class Express:
    """All calls of one kind.

    Attributes:
        names: of the tensors, in the order in which they are given.
        whole: names of those that hold integers.
        elements: of all of them.
        most: the largest batch.
        normalizer, count: of each call.
        device: where they are computed.
    """

    names: tuple[str, ...]
    whole: frozenset[str]
    elements: int
    most: int
    normalizer: float
    count: int
    device: str
    _plan: Plan
    _inputs: tuple[_Input, ...]
    _inflow: torch.Tensor | None
    _divisor: float
    _values: int
    _single: bool
    _glance: Glance | None

    @classmethod
    def of(cls, work: Work) -> Self | None:
        """Returns the kind of a call; None if such calls cannot go this way, or not yet."""
        call, plan, weights = work.call, work.plan, work.weights
        plain = call.sample_weight is call.mask is call.upstream is None and plan.weights is weights and weights.plain
        if not plain or plan.check is not None or call.reduction == "none" or call.non_finite != "error":
            return None
        if plan.program is None or plan.program.program is None or not is_for(plan, plan.rows) or not plan.short:
            return None
        normalizer = weights.normalizer if call.normalizer is None else call.normalizer
        if plan.device.type != "cpu" or not normalizer or not all(argument.shape for argument in plan.arguments):
            return None
        most = 1
        if plan.batch_key is not None:
            most = max(1, min(SHORT_OPERATIONS // plan.elements, plan.program_rows // plan.rows))
        dtype = PRECISIONS[call.precision]
        inputs = tuple(
            _Input(
                argument.dtype,
                argument.shape[1:] if most > 1 else argument.shape,
                argument.dtype.kind == "f",
                None if argument.test is is_finite else argument.test,
            )
            for argument in plan.arguments
        )
        inflow = None
        if call.gradients:
            output = plan.shapes.output
            shape = (most * plan.rows, *output[1:]) if output else ()
            inflow = torch.from_numpy(np.full(shape, uniform_factor(work), dtype))
        return cls(
            tuple(argument.name for argument in plan.arguments),
            frozenset(argument.name for argument in plan.arguments if argument.dtype.kind == "i"),
            sum(tensor.numel() for tensor in work.tensors.values()),
            most,
            normalizer,
            weights.count,
            str(plan.device),
            plan,
            inputs,
            inflow,
            1.0 if call.reduction == "sum" else normalizer,
            max(1, int(np.prod(plan.shapes.output, dtype=np.int64))),
            call.precision == "float32",
            Glance(work, [argument.name for argument in plan.arguments]) if call.advice else None,
        )

    def advises(self, arrays: Sequence[Array], value: float, gradients: Sequence[Array]) -> bool:
        """Tells whether there is advice on a call, which then has to take another way."""
        return self._glance is not None and self._glance.advises(arrays, value, gradients)

    def compute(self, batch: Sequence[Sequence[Array]]) -> Results | None:
        """Computes up to `most` calls; None if one of them has to take another way.

        Args:
            batch: for each call its tensors, flat, as `names` has them.
        """
        number = len(batch)
        given: list[torch.Tensor] = []
        with np.errstate(over="ignore", invalid="ignore"), Threads(1):
            for place, (dtype, shape, floating, test) in enumerate(self._inputs):
                # A copy in any case: torch wants memory that may be written to.
                flat = np.concatenate([tensors[place] for tensors in batch], dtype=dtype, casting="same_kind")
                if floating and not is_below(flat, LARGEST):
                    return None
                if test is not None and not test(flat):
                    return None
                given.append(torch.from_numpy(flat.reshape(shape if self.most == 1 else (-1, *shape))))
            if self._inflow is not None:
                inflow = self._inflow
                given.append(inflow if number == self.most else inflow[: number * self._plan.rows])
            kind = self._plan.program
            passed = None if kind is None or kind.program is None else kind.program(*given)
            if passed is None:
                return None
            gradients = []
            for gradient in passed[1]:
                if gradient is None:
                    return None
                rows = np.ascontiguousarray(gradient.numpy()).reshape(number, -1)
                if not is_finite(rows.reshape(-1)):
                    return None
                gradients.append(rows)
            sums = self._sums(passed[0].numpy(), number)
            values = sums / self._divisor
            if self._single:
                values = values.astype(np.float32)
            if not is_finite(values) or not is_finite(sums):
                return None
        return Results(values.tolist(), sums.tolist(), gradients)

    def _sums(self, values: Array, number: int) -> Array:
        """Sums the values of each call in float64, to the bits of `precise_sum`."""
        if values.flags.c_contiguous and self._values <= MOST_SUMMED:
            return np.add.reduce(values.reshape(number, -1).astype(np.float64), axis=1)  # type: ignore[no-any-return]
        rows = self._plan.rows
        pieces = [values] if number == 1 else [values[i * rows : (i + 1) * rows] for i in range(number)]
        return np.array([precise_sum(piece) for piece in pieces])
