"""Plans: everything about a call that does not depend on its numbers, worked out once for all calls of its kind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lossmeter.cost import NOTHING, Cost
from lossmeter.engine.arguments import Arguments, all_arguments, check_arguments
from lossmeter.engine.bound_shapes import BoundShapes
from lossmeter.engine.calls import PRECISIONS, Call
from lossmeter.engine.elements import Test, aligned, element_test
from lossmeter.engine.programs import Kind, Programs
from lossmeter.engine.programs.samples import Form
from lossmeter.engine.programs.verification import Subject
from lossmeter.engine.reduction import ElementWeights, weigh
from lossmeter.engine.veils import on_shapes_alone
from lossmeter.errors import Flaw, Invalid
from lossmeter.losses import FURTHER_REDUCTIONS, Loss, Support
from lossmeter.tensors import Tensor, load

PLANS = 1024
STUDY_AFTER = 4
SHORT_OPERATIONS = 1 << 15
"""Work up to which a call is short: one thread, and a program where there is one.

Up to so many elements torch adds in one thread anyway, so short work gives the same bits with any number of them.
"""
CHUNK_OPERATIONS = 1 << 18
"""Work up to which a chunk of a long call has a program. Beyond, autograd costs little, and verifying takes memory."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor of a call.

    Attributes:
        name, shape, dtype: what it is called, and what the kernels are given.
        test: passes no flawed elements.
        ignored: an index that is allowed besides.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    test: Test | None
    ignored: int | None


@dataclass(slots=True, eq=False)
class Plan:
    """The plan that all calls of one kind share.

    Attributes:
        shapes: of the tensors, bound to the declaration of the loss.
        arguments: its tensors, in the order in which the loss declares them.
        check, support: hooks of the loss, None where they depend on nothing that varies from call to call.
        weights: what each value counts without weights and mask, where it does not depend on the numbers.
        ignoring: weights hold only for calls in which no label is ignored.
        device: where the call is computed.
        rows: the size of the batch.
        chunk_rows: how many rows to compute at a time, where memory allows.
        batch_key: calls for which this is equal can be computed as one batch, bit for bit; None for one that has to be alone.
        divisible: rows can be computed apart. A gradient that all rows share cannot.
        elements: of the largest tensor, those on the way included.
        short: the call takes so little time that a second thread is not worth waiting for.
        program_rows: the largest batch that a program is for.
        program: of this kind, if there is one.
        inflow: the gradient of the values that was computed last, if it is the same for all of them.
        uses: how many calls it was for.
        cost, long: what a call takes, and whether that is too much for the event loop.
    """

    shapes: BoundShapes
    arguments: tuple[Argument, ...]
    check: Callable[[Mapping[str, Any]], Iterable[Flaw]] | None
    support: Callable[[Mapping[str, Any]], Support] | None
    weights: ElementWeights | None
    ignoring: bool
    device: torch.device
    batch_key: Hashable
    divisible: bool
    elements: int
    short: bool
    program_rows: int
    program: Kind | None
    rows: int
    chunk_rows: int
    inflow: tuple[float, torch.Tensor] | None = None
    uses: int = 0
    cost: Cost = NOTHING
    long: bool = False

    def admit(self, call: Call) -> tuple[dict[str, torch.Tensor], ElementWeights | None] | None:
        """Returns the tensors of a call, and what each value counts as far as the plan knows, if nothing is wrong with it.

        None asks for the check that names what is wrong.
        """
        given, weights = call.tensors, self.weights
        tensors: dict[str, torch.Tensor] = {}
        with np.errstate(over="ignore", invalid="ignore"):
            for argument in self.arguments:
                array = given[argument.name].data
                if array.dtype != argument.dtype:
                    array = load(given[argument.name], argument.dtype)
                if argument.test is not None and not argument.test(array):
                    if argument.ignored is None:
                        return None
                    counted = array[array != argument.ignored]
                    if len(counted) and not argument.test(counted):
                        return None
                    weights = None if self.ignoring else weights
                if call.loss.aligned:
                    array = aligned(array)
                tensors[argument.name] = torch.from_numpy(array.reshape(argument.shape))
        if self.check is not None:
            for _ in self.check(all_arguments(call.loss, tensors, call.parameters, call.gradients)):
                return None
        return tensors, weights


def plan_key(call: Call) -> Hashable:
    """Returns what a plan depends on."""
    return (
        call.loss,
        tuple([(name, x.datatype.kind, x.shape, x.declared) for name, x in call.tensors.items()]),
        repr(call.parameters),  # tells 0.0 from -0.0, and 1 from True
        call.gradients,
        call.precision,
        call.reduction if call.reduction in FURTHER_REDUCTIONS else "",
        call.horizon,
        call.non_finite,
    )


class Plans:
    """Plans of one device, at most `PLANS` of them.

    Args:
        programs: records what calls of a kind compute.
        chunk_elements: a separable loss over more elements is computed in chunks.
    """

    def __init__(self, programs: Programs, chunk_elements: int) -> None:
        self._programs = programs
        self._chunk_elements = chunk_elements
        self._plans: dict[Hashable, Plan] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, key: Hashable) -> Plan | None:
        """Returns the plan of that key, if there is one."""
        return self._plans.get(key)

    def add(self, key: Hashable, plan: Plan) -> None:
        """Keeps a plan for all calls of its key."""
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > PLANS:
                del self._plans[next(iter(self._plans))]

    def study(self, plan: Plan, call: Call, tensors: dict[str, torch.Tensor]) -> None:
        """Finds out which hooks of the loss depend on shapes alone, and need not be called again.

        Takes half a millisecond, for what comes again and again. Other threads use the plan meanwhile: it holds after every
        line.
        """
        loss, shapes = call.loss, plan.shapes
        named = all_arguments(loss, tensors, call.parameters, call.gradients)
        if plan.check is not None and on_shapes_alone(lambda given: [*loss.check(given)], named) == []:  # type: ignore[misc]
            plan.check = None
        support = None if plan.support is None else on_shapes_alone(plan.support, named)
        if support is None or support.denominator is not None or support.scale is not None:
            return
        if support.counted is None:
            plan.weights = _plain_weights(call, shapes)
            return
        # What counts of values that are one for each label can depend on nothing but which labels are ignored (tests hold
        # the catalogue to it), and an index that is none of a class is told from the others by the test of the labels.
        meanings = [role.meaning for role in shapes.roles.values() if role.meaning.counts]
        bounds = [range(int(m.minimum or 0), shapes.sizes[m.counts][0]) for m in meanings if m.counts]
        ignored = call.parameters.get("ignore_index")
        by_label = "labels" in shapes.roles and loss.output == shapes.roles["labels"].shape
        if by_label and ignored is not None and bounds and all(ignored not in bound for bound in bounds):
            plan.ignoring = True
            plan.weights = _plain_weights(call, shapes)

    def make(self, call: Call, arguments: Arguments, device: torch.device) -> Plan:
        """Makes the plan of a call that has been checked."""
        loss, shapes = call.loss, arguments.shapes
        operations = max(shapes.intermediate, math.prod(size for sizes in shapes.sizes.values() for size in sizes))
        together = shapes.batch_key if loss.chunked and device.type == "cpu" else None
        parameters = repr(call.parameters)
        rows = shapes.output[0] if shapes.output else 1
        elements = max((shapes.intermediate, *(tensor.numel() for tensor in arguments.tensors.values())))
        divisible = loss.chunked and bool(shapes.batched) and all(name in shapes.batched for name in call.gradients)
        chunk_rows = rows
        if divisible and elements > self._chunk_elements:
            # A piece of a single row can differ in its last bits: torch takes other ways through a tensor of one.
            chunk_rows = max(2, self._chunk_elements // (elements // rows))
        program_rows, program = self._program(call, shapes, device, operations, chunk_rows)
        return Plan(
            shapes,
            tuple(_argument(call, shapes, name, tensor) for name, tensor in arguments.tensors.items()),
            loss.check,
            loss.support,
            None if loss.support is not None else _plain_weights(call, shapes),
            False,
            device,
            together and (loss.name, together, parameters, call.precision, call.gradients),
            divisible,
            elements,
            operations <= SHORT_OPERATIONS,
            program_rows,
            program,
            rows,
            chunk_rows,
        )

    def _program(
        self, call: Call, shapes: BoundShapes, device: torch.device, operations: int, chunk_rows: int
    ) -> tuple[int, Kind | None]:
        """Returns how many rows the program of a call is for, and its kind. The sizes of 0 and 1 are unlike all others."""
        rows = shapes.output[0] if shapes.batched else 1
        in_chunks = chunk_rows < rows and chunk_rows * (operations // rows) <= CHUNK_OPERATIONS
        if not (rows and operations) or (operations > SHORT_OPERATIONS and not in_chunks):
            return 0, None
        most = None
        if rows > 1:
            most = chunk_rows if in_chunks else SHORT_OPERATIONS // (operations // rows)
        given = tuple(
            (
                name,
                role.meaning.name,
                name in shapes.batched,
                *call.tensors[name].shape[rows > 1 and name in shapes.batched :],
            )
            for name, role in shapes.roles.items()
        )
        key = (call.loss, given, rows > 1, in_chunks, repr(call.parameters), call.precision, call.gradients)
        form = Form(
            shapes.roles,
            {name: call.tensors[name].shape for name in shapes.roles},
            shapes.batched,
            {name: shapes.sizes[m][0] if (m := role.meaning.counts) else None for name, role in shapes.roles.items()},
            PRECISIONS[call.precision],
            call.parameters.get("ignore_index"),
        )
        check = partial(_check_sample, call.loss, dict(call.parameters), call.gradients, form, device)
        subject = Subject(call.loss.function, dict(call.parameters), call.gradients, form, most, check)
        return most or (shapes.output[0] if shapes.output else 1), self._programs.kind(key, subject)


def _plain_weights(call: Call, shapes: BoundShapes) -> ElementWeights:
    return weigh(shapes.output, Support(), None, None, reduction=call.reduction, horizon=call.horizon)


def _argument(call: Call, shapes: BoundShapes, name: str, tensor: torch.Tensor) -> Argument:
    meaning = shapes.roles[name].meaning
    bound = shapes.sizes[meaning.counts][0] if meaning.counts else None
    ignored = call.parameters.get("ignore_index") if meaning.counts else None
    test = element_test(meaning, bound, non_finite=call.non_finite == "allow") if tensor.numel() else None
    return Argument(name, tuple(tensor.shape), tensor.numpy().dtype, test, ignored)


def _check_sample(
    loss: Loss,
    parameters: Mapping[str, Any],
    gradients: tuple[str, ...],
    form: Form,
    device: torch.device,
    tensors: dict[str, Tensor],
) -> dict[str, torch.Tensor]:
    """Puts a sample through the checks of a request; one that came out as another kind of call is none.

    Raises:
        Invalid: with every flaw.
    """
    checked = check_arguments(loss, tensors, parameters, gradients, form.dtype, non_finite=False)
    if checked.shapes.batched != form.batched or checked.shapes.roles != form.roles:
        raise Invalid.at(loss.name, "", "these shapes are bound in another way")
    return {name: tensor.to(device) for name, tensor in checked.tensors.items()}
