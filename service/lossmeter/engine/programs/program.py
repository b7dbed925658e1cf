"""Programs: recordings compiled into straight-line Python over the kernels of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from lossmeter.engine.programs.recording import Recording, Rows, Step, Variable

Program = Callable[..., tuple[torch.Tensor, tuple[torch.Tensor | None, ...]] | None]
"""Takes the tensors of a loss in their order, and then the gradient of the unreduced values if gradients are wanted.

Gives the unreduced values and the gradients; None if the program does not hold for these tensors. Memory for each gradient
may follow, perhaps the tensor's own: a gradient lies there if it can be computed there.
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
    inputs = [f"v{number}" for number in range(recording.inputs)]
    rooms = [f"room{place}=None" for place in range(len(recording.gradients))]
    lines = [f"def program({', '.join(inputs + rooms)}):"]
    if batched is not None:
        lines.append(f"    rows = v{batched}.shape[0]")
    last = _last_uses(recording)
    given = _given_rooms(recording)
    for place, step in enumerate(recording.steps):
        names[f"f{place}"] = bind(step.kernel)
        line = _call(place, step, names)
        if place in given:
            room, (names[f"g{place}"], out) = given[place]
            there = line.replace(f"f{place}(", f"g{place}(").removesuffix(")") + f", {out}=room{room})"
            lines.append(f"    if room{room} is None: {line}")
            line = f"else: {there}"
        lines.append(f"    {line}")
        unused = [number for number, use in last.items() if use == place]
        if unused:
            lines.append(f"    del {', '.join(f'v{number}' for number in unused)}")
    gradients = "".join("None, " if one is None else f"v{one.number}, " for one in recording.gradients)
    lines.append(f"    return v{recording.values.number}, ({gradients})")
    exec("\n".join(lines), names)  # noqa: S102 - written above, from numbers and names of our own
    program: Program = names["program"]
    return program


def _given_rooms(recording: Recording) -> dict[int, tuple[int, tuple[Any, str]]]:
    """Finds the last steps that can write a gradient into memory that is given, be it that of the tensor itself.

    Whatever follows a step that overwrites a tensor neither reads one nor takes memory, of which there may be too little.

    Returns for each the number of the gradient, the kernel, and the name of its argument for that.
    """
    found: dict[int, tuple[int, tuple[Any, str]]] = {}
    numbers = [None if one is None else one.number for one in recording.gradients]
    for place in range(len(recording.steps) - 1, -1, -1):
        step = recording.steps[place]
        result = step.results[0] if len(step.results) == 1 else None
        writing = None if step.kernel._schema.is_mutable else _writing(step.kernel)
        if result is None or result.number not in numbers or writing is None:
            break
        read = {variable.number for variable in _variables((step.arguments, tuple(step.named.values())))}
        inputs = read & recording.views
        # Element by element, tensors that lie in the very same place may be read and written at a time.
        if not inputs or (torch.Tag.pointwise in step.kernel.tags and max(inputs) < recording.inputs):
            found[place] = numbers.index(result.number), writing
        if inputs or place not in found:
            break
    return found


def _writing(kernel: Any) -> tuple[Any, str] | None:
    """Returns the overload of a kernel that writes into a tensor that it is given, and the name of that argument."""

    def outline(arguments: Iterable[Any]) -> list[tuple[str, str]]:
        return [(one.name, str(one.type)) for one in arguments]

    packet = kernel.overloadpacket
    for name in packet.overloads():
        overload = getattr(packet, name)
        *others, last = overload._schema.arguments
        if last.is_out and outline(others) == outline(kernel._schema.arguments):
            return exact(overload), last.name
    return None


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
