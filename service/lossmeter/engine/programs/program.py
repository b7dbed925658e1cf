"""Programs: recordings compiled into straight-line Python over the kernels of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from lossmeter.engine.programs.recording import Recording, Rows, Step, Variable

Program = Callable[..., tuple[torch.Tensor, tuple[torch.Tensor | None, ...]] | None]
"""Takes the tensors of a loss in their order, and then the gradient of the unreduced values if gradients are wanted.

Gives the unreduced values and the gradients; None if the program does not hold for these tensors.
"""

PLACES = ("_VariableFunctions", "_nn", "TensorBase")
HOMES: tuple[Any, ...] = tuple(getattr(torch._C, place) for place in PLACES if hasattr(torch._C, place))
"""Where torch keeps its own bindings; a version that keeps them elsewhere is called by the overload, which is slower."""


def quick(kernel: Any) -> Any:
    """Returns the binding of a kernel that torch's own functions use: half the time of a call, where there is one."""
    name = kernel._schema.name.removeprefix("aten::")
    return next((getattr(home, name) for home in HOMES if hasattr(home, name)), exact(kernel))


def exact(kernel: Any) -> Any:
    """Returns the very overload that was recorded."""
    return getattr(kernel, "_op", kernel)


def compile_program(recording: Recording, batched: int | None, bind: Callable[[Any], Any]) -> Program:
    """Writes a recording as a function of Python.

    Args:
        recording: the kernels.
        batched: number of an input whose first dimension is the batch.
        bind: chooses what to call for a kernel, `quick` or `exact`.
    """
    names: dict[str, Any] = {f"v{number}": tensor for number, tensor in recording.constants.items()}
    lines = [f"def program({', '.join(f'v{number}' for number in range(recording.inputs))}):"]
    if batched is not None:
        lines.append(f"    rows = v{batched}.shape[0]")
    last = _last_uses(recording)
    for place, step in enumerate(recording.steps):
        names[f"f{place}"] = bind(step.kernel)
        lines.append(f"    {_call(place, step, names)}")
        unused = [number for number, use in last.items() if use == place]
        if unused:
            lines.append(f"    del {', '.join(f'v{number}' for number in unused)}")
    gradients = "".join("None, " if one is None else f"v{one.number}, " for one in recording.gradients)
    lines.append(f"    return v{recording.values.number}, ({gradients})")
    exec("\n".join(lines), names)  # noqa: S102 - written above, from numbers and names of our own
    program: Program = names["program"]
    return program


def _call(place: int, step: Step, names: dict[str, Any]) -> str:
    def written(value: Any, name: str) -> str:
        if isinstance(value, Variable):
            return f"v{value.number}"
        if isinstance(value, Rows):
            return "rows" if value.factor == 1 else f"rows * {value.factor}"
        if isinstance(value, tuple):
            return "[" + ", ".join(written(part, f"{name}_{i}") for i, part in enumerate(value)) + "]"
        if value is None or type(value) in (bool, int):
            return repr(value)
        names[name] = value
        return name

    arguments = [written(value, f"c{place}_{i}") for i, value in enumerate(step.arguments)]
    arguments += [f"{key}={written(value, f'c{place}_{key}')}" for key, value in step.named.items()]
    call = f"f{place}({', '.join(arguments)})"
    if step.guard is not None:
        return f"if {call} != {step.guard!r}: return None"
    results = ", ".join("_" if one is None else f"v{one.number}" for one in step.results)
    return f"{results} = {call}"


def _last_uses(recording: Recording) -> dict[int, int]:
    """For each variable that the program makes and does not give, the last step in which it stands."""
    last: dict[int, int] = {}
    for place, step in enumerate(recording.steps):
        for variable in (*_variables((step.arguments, tuple(step.named.values()))), *filter(None, step.results)):
            last[variable.number] = place
    given = {variable.number for variable in (recording.values, *recording.gradients) if variable is not None}
    return {
        number: place
        for number, place in last.items()
        if number >= recording.inputs and number not in given and number not in recording.constants
    }


def _variables(value: Any) -> Iterator[Variable]:
    if isinstance(value, Variable):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _variables(part)
