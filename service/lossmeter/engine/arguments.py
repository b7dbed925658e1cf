"""Check: from tensors as they stood on the wire to arguments that no kernel can choke on.

On a GPU a class index out of range kills the process for everybody, so everything is checked here, on the host, before any
kernel sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lossmeter.engine.bound_shapes import BoundShapes, bind_shapes
from lossmeter.engine.calls import Call, Warned
from lossmeter.engine.elements import BOOL, INT64, ElementCheck, aligned
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.losses import Loss
from lossmeter.losses.vocabulary import Meaning
from lossmeter.tensors import Array, Tensor, brackets, coordinates, load

WEIGHT = Meaning("weights", "how much each sample counts, not negative", minimum=0.0, exact=True)
MASK = Meaning("mask", "true where it counts", kind="boolean")
UPSTREAM = Meaning("upstream gradient", "the gradient that flows in from outside")


def convert(name: str, tensor: Tensor, meaning: Meaning, dtype: np.dtype[Any], flaws: list[Flaw]) -> Array | None:
    """Returns the elements as their role needs them, if their datatype can be that."""
    kind = tensor.datatype.kind
    empty = not tensor.declared and not len(tensor.data)
    if meaning.kind == "floating":
        plain = not tensor.declared and kind == "index"  # numbers of a nested array, all of them whole
        if kind == "floating" or meaning.exact or plain or empty:
            return load(tensor, dtype)
        expected = "a floating datatype" if tensor.declared else "numbers"
    elif meaning.kind == "index":
        if kind == "index" or empty:
            return load(tensor, INT64)
        expected = "an integer datatype" if tensor.declared else "integers"
        if not tensor.declared and kind == "floating":
            whole = np.trunc(tensor.data) == tensor.data
            first = 0 if whole.all() else int(np.argmin(whole))
            index = coordinates(first, tensor.shape)
            message = f"{name}{brackets(index)} is {tensor.data[first]}; expected an integer ({meaning.name})"
            flaws.append(Flaw(pointer(name), message, index))
            return None
    else:
        if kind == "boolean" or empty:
            return load(tensor, BOOL)
        expected = "datatype BOOL" if tensor.declared else "true or false"
    given = (
        f"datatype {tensor.datatype.name}" if tensor.declared else "numbers" if kind != "boolean" else "true and false"
    )
    flaws.append(Flaw(pointer(name), f"{name} has {given}; expected {expected} ({meaning.name})"))
    return None


@dataclass(slots=True)
class Arguments:
    """Arguments on the host, checked, in the precision of the call."""

    tensors: dict[str, torch.Tensor]
    shapes: BoundShapes
    warned: Sequence[Warned] = ()


def check_arguments(
    loss: Loss,
    given: Mapping[str, Tensor],
    parameters: Mapping[str, Any],
    gradients: Sequence[str],
    dtype: np.dtype[Any],
    *,
    non_finite: bool,
    out_of_domain: bool = False,
) -> Arguments:
    """Checks all tensors of a call.

    Raises:
        Invalid: with every flaw.
    """
    shapes = bind_shapes(loss, tuple((name, given[name].shape) for name in loss.tensor if name in given), parameters)
    elements = ElementCheck(non_finite=non_finite, out_of_domain=out_of_domain)
    elements.flaws += _too_large(parameters, dtype)
    ignored = parameters.get("ignore_index")
    loaded: dict[str, torch.Tensor] = {}
    for name, role in shapes.roles.items():
        meaning, tensor = role.meaning, given[name]
        array = convert(name, tensor, meaning, dtype, elements.flaws)
        if array is None:
            continue
        if meaning.counts:
            elements.check(name, array, meaning, tensor, shapes.sizes[meaning.counts][0], ignored)
        else:
            elements.check(name, array, meaning, tensor)
        if loss.aligned:
            array = aligned(array)
        loaded[name] = torch.from_numpy(array.reshape(tensor.shape))
    for name in gradients:
        if name in loaded and not loaded[name].is_floating_point():
            message = f"gradients names {name}, which holds {shapes.roles[name].meaning.name}: there is no gradient"
            elements.flaws.append(Flaw(pointer("gradients"), message))
    if not elements.flaws and loss.check is not None:
        for flaw in loss.check(all_arguments(loss, loaded, parameters, gradients)):
            elements.report(flaw, given, shapes.roles)
    if elements.flaws:
        raise Invalid.of(loss.name, elements.flaws)
    return Arguments(loaded, shapes, elements.warned)


def all_arguments(
    loss: Loss, tensors: Mapping[str, torch.Tensor], parameters: Mapping[str, Any], gradients: Sequence[str]
) -> dict[str, Any]:
    """Returns what the hooks of a loss are given: every argument by its name, None for a tensor that is left out."""
    absent = {argument.name: None for argument in loss.tensors if argument.name not in tensors}
    return {**absent, **tensors, **parameters, "gradients": tuple(gradients)}


def _too_large(parameters: Mapping[str, Any], dtype: np.dtype[Any]) -> list[Flaw]:
    """Returns numbers that the precision of the call has no room for; a kernel would give up on them."""
    most = float(np.finfo(dtype).max)
    return [
        Flaw(
            pointer(name), f"{name} is {value}; expected a number of at most {most:g} either way, that of {dtype.name}"
        )
        for name, value in parameters.items()
        if isinstance(value, float) and abs(value) > most
    ]


def check_weights(
    call: Call, output: tuple[int, ...], dtype: np.dtype[Any], weight_dtype: np.dtype[Any]
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Checks sample weights, mask and upstream gradient, and returns them.

    Args:
        weight_dtype: of the sample weights.

    Raises:
        Invalid: with every flaw.
    """
    if call.sample_weight is None and call.mask is None and call.upstream is None:
        return None, None, None
    elements = ElementCheck(non_finite=False)
    by_row = [output, (output[0],)] if output else [output]
    whole = [output] if call.reduction == "none" else [()]
    loaded: list[torch.Tensor | None] = []
    for name, given, meaning, shapes, form in (
        ("sample_weight", call.sample_weight, WEIGHT, by_row, weight_dtype),
        ("mask", call.mask, MASK, by_row, dtype),
        ("upstream", call.upstream, UPSTREAM, whole, dtype),
    ):
        if given is None:
            loaded.append(None)
            continue
        array = convert(name, given, meaning, form, elements.flaws)
        if given.shape not in shapes:
            allowed = " or ".join(str(list(shape)) for shape in dict.fromkeys(shapes))
            elements.flaws.append(Flaw(pointer(name), f"{name} has shape {list(given.shape)}; expected {allowed}"))
        elif array is not None:
            elements.check(name, array, meaning, given)
            loaded.append(torch.from_numpy(array.reshape(given.shape)))
    if elements.flaws:
        raise Invalid.of(call.loss.name, elements.flaws)
    weight, mask, upstream = loaded
    return weight, mask, upstream
