"""Records what autograd calls: every kernel of one forward and backward pass, in order, with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lossmeter.engine.backward import differentiate


class Unrecordable(Exception):
    """A pass cannot be replayed by a straight list of kernels."""


class Variable(NamedTuple):
    """A tensor of a program: an input, a constant, or what a kernel gave."""

    number: int


class Rows(NamedTuple):
    """A size that is a multiple of the number of rows of the batch."""

    factor: int


@dataclass(slots=True)
class Step:
    """One kernel.

    Attributes:
        results: the variables that it gives, None for what is no tensor.
        guard: the number that it read from a tensor; the program holds only where it reads that again.
    """

    kernel: Any
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    results: tuple[Variable | None, ...]
    guard: bool | int | None = None


@dataclass(slots=True)
class Recording:
    """A pass as a list of kernels.

    Attributes:
        inputs: how many of the variables are given from outside; they have the lowest numbers.
        constants: tensors that depend on nothing from outside.
        views: variables that lie in the memory of an input, the inputs themselves included.
        values, gradients: what the pass gives; None for an input that the values do not depend on.
    """

    inputs: int
    steps: list[Step]
    constants: dict[int, torch.Tensor]
    views: frozenset[int]
    values: Variable
    gradients: tuple[Variable | None, ...]


def record(
    function: Callable[..., torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    parameters: Mapping[str, Any],
    gradients: Sequence[str],
    inflow: Any,
) -> Recording:
    """Records a forward pass, and the backward pass if gradients are wanted: inputs are the tensors and then the inflow.

    Raises:
        Unrecordable: if the pass reads numbers, writes into its inputs, or works on tensors of unknown origin.
    """
    inputs = [*tensors.values(), *([] if inflow is None else [inflow])]
    recorder = _Recorder(inputs)
    with torch.enable_grad(), recorder:
        values, given = differentiate(function, tensors, parameters, gradients, lambda _: inflow)
    results = tuple(None if gradient is None else recorder.result(gradient) for gradient in given)
    views = recorder.lying_in(inputs)
    return Recording(len(inputs), recorder.steps, recorder.constants, views, recorder.result(values), results)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down the kernels that are called below autograd.

    Autograd hands on a tensor as another object, so tensors are told apart by where they lie and how they are laid out;
    all are kept, so that no memory is used twice.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled, and skipping would import all of torch._dynamo

    def __init__(self, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.constants: dict[int, torch.Tensor] = {}
        self._numbers: dict[Any, int] = {}
        self._memory: list[int] = []  # of each number
        self._fixed: set[int] = set()  # memory that the program must not write to
        self._kept: list[Any] = []
        for tensor in inputs:
            self._number(tensor)
            self._fixed.add(tensor.untyped_storage().data_ptr())
        if len(self._numbers) < len(inputs):
            raise Unrecordable("inputs share memory")

    def __torch_dispatch__(self, kernel: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if kernel is torch.ops.aten.lift_fresh.default:  # a tensor of numbers of Python, made where no kernel is seen
            self._kept.append(arguments)
            self._keep_constants(arguments)
            return kernel(*arguments)
        # Before the call, as some kernels give the very tensor another shape.
        referred = self._refer(arguments), {name: self._refer(value) for name, value in named.items()}
        result = kernel(*arguments, **named)
        self._kept.append((arguments, named, result))
        self._write_down(kernel, arguments, named, result, referred)
        return result

    def result(self, tensor: torch.Tensor) -> Variable:
        """Returns the variable of a tensor that the pass gives."""
        variable = self._variable(tensor)
        if tensor.untyped_storage().data_ptr() in self._fixed:
            raise Unrecordable("an input or a constant is handed out")
        return variable

    def lying_in(self, tensors: Sequence[torch.Tensor]) -> frozenset[int]:
        """Returns the numbers of all variables that share memory with some tensors."""
        memory = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        return frozenset(number for number, place in enumerate(self._memory) if place in memory)

    def _write_down(self, kernel: Any, arguments: Any, named: Any, result: Any, referred: Any) -> None:
        schema = kernel._schema
        if schema.is_mutable:
            for argument, declared in zip(arguments, schema.arguments, strict=False):
                if declared.alias_info is not None and declared.alias_info.is_write:
                    self._refuse_fixed(argument)
            if any(declared.kwarg_only and declared.alias_info is not None for declared in schema.arguments):
                raise Unrecordable(f"{kernel} writes into a named argument")
        results = result if isinstance(result, tuple | list) else (result,)
        if all(isinstance(one, torch.Tensor) for one in results):
            numbers = [self._numbers.get(_place(one)) for one in results]
            if not schema.is_mutable and None not in numbers:
                return  # another view of the same: detach, or a shape that it has already
            if not _tensors((arguments, list(named.values()))):
                self._keep_constants(results)
                return
        elif len(results) > 1 or not isinstance(result, bool | int):
            raise Unrecordable(f"{kernel} gives {type(result).__name__}")
        variables = tuple(Variable(self._number(one)) if isinstance(one, torch.Tensor) else None for one in results)
        guard = None if isinstance(result, torch.Tensor | tuple | list) else result
        self.steps.append(Step(kernel, referred[0], referred[1], variables, guard))

    def _keep_constants(self, results: Sequence[torch.Tensor]) -> None:
        for tensor in results:
            self.constants[self._number(tensor)] = tensor
            self._fixed.add(tensor.untyped_storage().data_ptr())

    def _refuse_fixed(self, argument: Any) -> None:
        if any(tensor.untyped_storage().data_ptr() in self._fixed for tensor in _tensors(argument)):
            raise Unrecordable("an input or a constant is written to")

    def _refer(self, value: Any) -> Any:
        """Returns an argument with variables in place of tensors."""
        if isinstance(value, torch.Tensor):
            return self._variable(value)
        if isinstance(value, tuple | list):
            return tuple(map(self._refer, value))
        return value

    def _variable(self, tensor: torch.Tensor) -> Variable:
        number = self._numbers.get(_place(tensor))
        if number is None:
            raise Unrecordable("a tensor comes from nowhere")
        return Variable(number)

    def _number(self, tensor: torch.Tensor) -> int:
        number = self._numbers.setdefault(_place(tensor), len(self._numbers))
        if number == len(self._memory):
            self._memory.append(tensor.untyped_storage().data_ptr())
        return number


def _place(tensor: torch.Tensor) -> Any:
    if not tensor.numel():
        raise Unrecordable("nothing tells empty tensors apart")
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []
