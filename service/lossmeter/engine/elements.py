"""Elements of tensors against what they mean: one pass that says yes, and a slower one that names every flaw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite

import numpy as np
import torch

from lossmeter.engine.calls import Warned
from lossmeter.errors import Flaw, pointer
from lossmeter.losses.vocabulary import Meaning, Role
from lossmeter.tensors import Array, Datatype, Tensor, brackets, coordinates, load

BOOL, INT64 = np.dtype(np.bool_), np.dtype(np.int64)
DOT_ELEMENTS = 1 << 13
"""Elements up to which BLAS takes a product in one thread."""

ALIGNMENT_BYTES = 64

Test = Callable[[Array], bool]


def aligned(array: Array) -> Array:
    """Returns the elements in memory that begins where torch's own does, so that products of matrices come out alike."""
    return array if array.ctypes.data % ALIGNMENT_BYTES == 0 else torch.from_numpy(array).clone().numpy()


def is_finite(array: Array) -> bool:
    """Tells whether all elements of a flat array are finite; to be called where numpy ignores overflow and what is invalid."""
    # One pass without a temporary array: what is not finite makes a sum so, too. A sum that overflows decides nothing.
    if len(array) <= DOT_ELEMENTS:
        if isfinite(array.dot(array)):
            return True
    elif isfinite(torch.from_numpy(array).sum()):
        return True
    return bool(np.isfinite(array).all())


def is_below(array: Array, bound: float) -> bool:
    """Tells whether the magnitudes of all elements of a flat array are below a bound; NaN is not."""
    # As above: no element has a larger square than all together, and no rounding makes a sum smaller than a part of it.
    if len(array) <= DOT_ELEMENTS and array.dot(array) < bound * bound:
        return True
    return bool(np.minimum.reduce(array) > -bound and np.maximum.reduce(array) < bound)


def element_test(meaning: Meaning, bound: int | None, *, non_finite: bool) -> Test | None:
    """Returns a test that passes only arrays in which `ElementCheck` finds no flaw; None if there is nothing to test.

    Args:
        meaning: what the elements mean.
        bound: the size of the dimension that indices point into.
        non_finite: infinities and NaN are allowed where the meaning does not have both bounds.
    """
    if meaning.kind == "boolean":
        return None
    if meaning.choices:
        return lambda array: sum(np.count_nonzero(array == choice) for choice in meaning.choices) == len(array)
    low = meaning.minimum
    high = meaning.maximum if bound is None else bound - 1
    if low is None and high is None:
        return None if non_finite or meaning.kind == "index" else is_finite
    if low == 0 and bound is not None:
        # As unsigned numbers, negative ones are larger than any index.
        return lambda array: bool(np.maximum.reduce(array.view(np.uint64)) < bound)
    least = -inf if low is None else low
    most = inf if high is None else high

    def passes(array: Array) -> bool:
        smallest, largest = np.minimum.reduce(array), np.maximum.reduce(array)
        within = least <= smallest and largest <= most
        return bool(within and (non_finite or (isfinite(smallest) and isfinite(largest))))

    return passes


class ElementCheck:
    """Checks the elements of tensors against what they mean, and collects their flaws.

    Args:
        non_finite: infinities and NaN are allowed.
        out_of_domain: numbers that the meaning does not provide for are allowed, with a warning, where kernels take them.
    """

    def __init__(self, *, non_finite: bool, out_of_domain: bool = False) -> None:
        self.non_finite = non_finite
        self.out_of_domain = out_of_domain
        self.flaws: list[Flaw] = []
        self.warned: list[Warned] = []

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
            self._report(name, wrong, given, " or ".join(f"{choice:g}" for choice in meaning.choices), meaning)
        elif (least is not None and not low >= least) or (most is not None and not high <= most):
            wrong = np.zeros(len(array), np.bool_)
            if least is not None:
                wrong |= array < least
            if most is not None:
                wrong |= array > most
            if least is not None and most is not None:
                wrong |= np.isnan(array)  # kernels assert that what has both bounds lies between them
            if ignored is not None:
                wrong &= array != ignored
            self._report(name, wrong, given, _range(meaning, least, most, ignored), meaning)

    def report(self, flaw: Flaw, given: Mapping[str, Tensor], roles: Mapping[str, Role]) -> None:
        """Takes a flaw that a loss has found by itself; one of a single number is a warning, where kernels take that."""
        name = flaw.pointer[1:]
        if flaw.index is not None and name in roles and self._allows(roles[name].meaning):
            place = int(np.ravel_multi_index(flaw.index, given[name].shape)) if flaw.index else 0
            value = load(given[name], np.dtype(np.float64))[place]
            self.warned.append(Warned("out_of_domain", flaw.message, flaw.pointer, flaw.index, str(value)))
        else:
            self.flaws.append(flaw)

    def _allows(self, meaning: Meaning | None) -> bool:
        return self.out_of_domain and meaning is not None and meaning.kind == "floating" and not meaning.asserted

    def _report(self, name: str, wrong: Array, given: Tensor, expected: str, meaning: Meaning | None = None) -> None:
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        first = int(np.argmax(wrong))
        index = coordinates(first, given.shape)
        more = f" (and {count - 1} more like it)" if count > 1 else ""
        value = load(given, np.dtype(np.float64))[first] if given.datatype is Datatype.BF16 else given.data[first]
        message = f"{name}{brackets(index)} is {value}; expected {expected}{more}"
        if self._allows(meaning):
            self.warned.append(Warned("out_of_domain", message, pointer(name), index, str(value)))
        else:
            self.flaws.append(Flaw(pointer(name), message, index))


def _range(meaning: Meaning, least: float | None, most: float | None, ignored: int | None) -> str:
    if least is not None and most is not None:
        text = f"{meaning.name} in [{least:g}, {most:g}]" if most >= least else f"none, as {meaning.counts} is 0"
    elif least is not None:
        text = f"{meaning.name} of at least {least:g}"
    else:
        text = f"{meaning.name} of at most {most:g}"
    return text if ignored is None else f"{text} or ignore_index, {ignored}"
