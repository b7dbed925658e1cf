"""Check: from tensors as they stood on the wire to arguments that no kernel can choke on.

On a GPU a class index out of range kills the process for everybody, so everything is checked here, on the host, before any
kernel sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
import torch

from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.losses import Loss
from lossmeter.losses.shapes import Bindings, Mismatch, Sizes, patterns, unify
from lossmeter.losses.vocabulary import Meaning, Role
from lossmeter.tensors import Array, Datatype, Tensor, brackets, coordinates

Shapes = tuple[tuple[str, Sizes], ...]
Kin = tuple[tuple[str, str, Sizes], ...]

BOOL, INT64 = np.dtype(np.bool_), np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Fit:
    """How the shapes of one call fit the declaration of its loss.

    Attributes:
        roles: the role that each tensor plays, after unions are decided.
        sizes: what the names of dimensions are bound to.
        output: shape of the unreduced loss.
        batched: names of the tensors whose first dimension is the batch.
        kin: what has to be equal for two batches to be one when put together; None if they cannot be.
    """

    roles: Mapping[str, Role]
    sizes: Bindings
    output: Sizes
    batched: frozenset[str]
    kin: Kin | None


@lru_cache(maxsize=4096)
def fit(loss: Loss, shapes: Shapes) -> Fit:
    """Fits shapes to a loss.

    Raises:
        Invalid: naming the first tensor that does not fit, and the shape that would.
    """
    arguments = [loss.tensor[name] for name, _ in shapes]
    mismatch: Mismatch | None = None
    for choice in range(max(len(argument.options) for argument in arguments)):
        roles = {argument.name: argument.options[min(choice, len(argument.options) - 1)] for argument in arguments}
        texts = {name: role.shape for name, role in roles.items()}
        found = unify(texts, dict(shapes))
        if isinstance(found, Mismatch):
            mismatch = mismatch or found
            continue
        sizes, number = found
        output = patterns(loss.output)
        pattern = output[number if len(output) > 1 else 0]
        shape = pattern.substitute(sizes)
        batched = _batched(texts, number, pattern.names, shape, dict(shapes)) if shape else frozenset[str]()
        if not pattern.names or not sizes.get(pattern.names[0]):
            batched = frozenset()  # the leading dimension is none that all share
        return Fit(roles, sizes, shape, batched, _kin(roles, dict(shapes), shape, batched))
    assert mismatch is not None
    expected = mismatch.pattern
    if mismatch.expected is not None:
        text = loss.tensor[mismatch.name].options[0].shape
        twin = next((n for n, s in shapes if s == mismatch.expected and loss.tensor[n].options[0].shape == text), None)
        expected = f"{list(mismatch.expected)}, {f'the shape of {twin}' if twin else expected}"
    message = f"{mismatch.name} has shape {list(mismatch.given)}; expected {expected}"
    raise Invalid.at(loss.name, pointer(mismatch.name), message)


def _batched(
    texts: Mapping[str, str], number: int, output: tuple[str, ...], shape: Sizes, shapes: Mapping[str, Sizes]
) -> frozenset[str]:
    names = set()
    for name, text in texts.items():
        options = patterns(text)
        pattern = options[number if len(options) > 1 else 0]
        if pattern.broadcast:
            if len(shapes[name]) == len(shape) and shapes[name][0] == shape[0] != 1:
                names.add(name)
        elif pattern.names[:1] == output[:1]:
            names.add(name)
    return frozenset(names)


def _kin(roles: Mapping[str, Role], shapes: Mapping[str, Sizes], output: Sizes, batched: frozenset[str]) -> Kin | None:
    # torch takes other ways through a batch of one row, which can differ in the last bits.
    if len(batched) < len(roles) or not output or output[0] < 2:
        return None
    return tuple((name, role.meaning.name, shapes[name][1:]) for name, role in roles.items())


def load(tensor: Tensor, dtype: np.dtype[Any]) -> Array:
    """The elements, flat, in another datatype; without a copy where it is that one already."""
    array = tensor.data
    if tensor.datatype is Datatype.BF16:
        array = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).float().numpy()
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):  # what overflows float32 becomes infinite, and is reported as such
        return array.astype(dtype)


def convert(name: str, tensor: Tensor, meaning: Meaning, dtype: np.dtype[Any], flaws: list[Flaw]) -> Array | None:
    """The elements as their role needs them, if their datatype can be that."""
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


class Domain:
    """Checks the elements of tensors against what they mean, and remembers what is wrong."""

    def __init__(self, *, non_finite: bool) -> None:
        self.non_finite = non_finite
        self.flaws: list[Flaw] = []

    def check(
        self,
        name: str,
        array: Array,
        meaning: Meaning,
        given: Tensor,
        bound: int | None = None,
        ignored: int | None = None,
    ) -> None:
        """Looks at every element; `bound` is the size of the dimension that indices point into."""
        if not len(array) or array.dtype == BOOL:
            return
        low, high = float(np.minimum.reduce(array)), float(np.maximum.reduce(array))
        if not self.non_finite and not (isfinite(low) and isfinite(high)):
            self._report(name, ~np.isfinite(array), given, f"a finite number ({meaning.name})")
            return
        least = meaning.minimum
        most = meaning.maximum if bound is None else bound - 1
        if meaning.choices:
            wrong = ~np.isin(array, meaning.choices)
            self._report(name, wrong, given, " or ".join(f"{choice:g}" for choice in meaning.choices))
        elif (least is not None and not low >= least) or (most is not None and not high <= most):
            wrong = np.zeros(len(array), np.bool_)
            if least is not None:
                wrong |= array < least
            if most is not None:
                wrong |= array > most
            if ignored is not None:
                wrong &= array != ignored
            self._report(name, wrong, given, _range(meaning, least, most, ignored))

    def _report(self, name: str, wrong: Array, given: Tensor, expected: str) -> None:
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        first = int(np.argmax(wrong))
        index = coordinates(first, given.shape)
        more = f" (and {count - 1} more like it)" if count > 1 else ""
        value = load(given, np.dtype(np.float64))[first] if given.datatype is Datatype.BF16 else given.data[first]
        self.flaws.append(Flaw(pointer(name), f"{name}{brackets(index)} is {value}; expected {expected}{more}", index))


def _range(meaning: Meaning, least: float | None, most: float | None, ignored: int | None) -> str:
    if least is not None and most is not None:
        text = f"{meaning.name} in [{least:g}, {most:g}]" if most >= least else f"none, as {meaning.counts} is 0"
    elif least is not None:
        text = f"{meaning.name} of at least {least:g}"
    else:
        text = f"{meaning.name} of at most {most:g}"
    return text if ignored is None else f"{text} or ignore_index, {ignored}"


@dataclass(slots=True)
class Prepared:
    """Arguments on the host, checked, in the precision of the call."""

    tensors: dict[str, torch.Tensor]
    fit: Fit


def _too_large(parameters: Mapping[str, Any], dtype: np.dtype[Any]) -> list[Flaw]:
    """Numbers that the precision of the call has no room for; a kernel would give up on them."""
    most = float(np.finfo(dtype).max)
    return [
        Flaw(
            pointer(name), f"{name} is {value}; expected a number of at most {most:g} either way, that of {dtype.name}"
        )
        for name, value in parameters.items()
        if isinstance(value, float) and abs(value) > most
    ]


def prepare(
    loss: Loss,
    given: Mapping[str, Tensor],
    parameters: Mapping[str, Any],
    gradients: Sequence[str],
    dtype: np.dtype[Any],
    *,
    non_finite: bool,
) -> Prepared:
    """Checks all tensors of a call.

    Raises:
        Invalid: with every flaw that was found.
    """
    fitted = fit(loss, tuple((name, given[name].shape) for name in loss.tensor if name in given))
    domain = Domain(non_finite=non_finite)
    domain.flaws += _too_large(parameters, dtype)
    ignored = parameters.get("ignore_index")
    loaded: dict[str, torch.Tensor] = {}
    for name, role in fitted.roles.items():
        meaning, tensor = role.meaning, given[name]
        array = convert(name, tensor, meaning, dtype, domain.flaws)
        if array is None:
            continue
        if meaning.counts:
            domain.check(name, array, meaning, tensor, fitted.sizes[meaning.counts][0], ignored)
        else:
            domain.check(name, array, meaning, tensor)
        loaded[name] = torch.from_numpy(array.reshape(tensor.shape))
    for name in gradients:
        if name in loaded and not loaded[name].is_floating_point():
            message = f"gradients names {name}, which holds {fitted.roles[name].meaning.name}: there is no gradient"
            domain.flaws.append(Flaw(pointer("gradients"), message))
    if not domain.flaws and loss.check is not None:
        absent = {argument.name: None for argument in loss.tensors if argument.name not in loaded}
        domain.flaws += loss.check({**absent, **loaded, **parameters, "gradients": tuple(gradients)})
    if domain.flaws:
        raise Invalid.of(loss.name, domain.flaws)
    return Prepared(loaded, fitted)
