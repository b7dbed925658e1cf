"""Looks at calls of one kind, one after the other, at the cost of their first elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lossmeter.engine.advice.looks import Checked, looks
from lossmeter.engine.advice.results import of_results
from lossmeter.tensors import Array, Datatype, Tensor


class _Tensor:
    """A tensor whose elements are replaced from call to call: making new ones takes longer than looking at them."""

    __slots__ = ("data", "datatype", "shape")

    def __init__(self, like: Tensor) -> None:
        self.datatype, self.shape, self.data = like.datatype, like.shape, like.data


class Glance:
    """Tells which calls of a kind would get advice. Not for several threads at a time.

    Args:
        work: a checked call of the kind.
        names: of its tensors, in the order in which they are given.
    """

    def __init__(self, work: Checked, names: Sequence[str]) -> None:
        tensors: dict[str, Any] = {name: _Tensor(work.call.tensors[name]) for name in names}
        self._given = [*tensors.values()]
        self._half = any(tensor.datatype is Datatype.FP16 for tensor in self._given)
        self._looks = looks(work.call.loss)
        self.call = replace(work.call, tensors=tensors)
        self.shapes = work.shapes
        self.weights = work.weights

    def advises(self, arrays: Sequence[Array], value: float, gradients: Sequence[Array]) -> bool:
        """Tells whether there is advice on a call, given its tensors, its value and its gradients, all flat."""
        for tensor, array in zip(self._given, arrays, strict=True):
            tensor.data = array
        for look in self._looks:
            if look(self) is not None:
                return True
        if not self._half and not (gradients and not gradients[0].item(0)):
            return False
        pairs = zip(self.call.gradients, gradients, strict=True)
        found = {name: Tensor(Datatype.FP64, (), rows) for name, rows in pairs}
        return bool(of_results(self.call, value, found))
