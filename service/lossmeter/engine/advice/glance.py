"""Looks at calls of one kind, one after the other, at the cost of their first elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lossmeter.engine.advice.looks import Checked, looks
from lossmeter.engine.advice.results import of_results
from lossmeter.tensors import Array, Tensor


class Glance:
    """Tells which calls of a kind would get advice.

    Args:
        work: a checked call of the kind.
        names: of its tensors, in the order in which they are given.
    """

    def __init__(self, work: Checked, names: Sequence[str]) -> None:
        self._tensors = {name: work.call.tensors[name] for name in names}
        self.call = replace(work.call, tensors=self._tensors)
        self.shapes = work.shapes
        self.weights = work.weights
        self._looks = looks(self.call.loss)

    def advises(self, arrays: Sequence[Array], value: float, gradients: Sequence[Array]) -> bool:
        """Tells whether there is advice on a call, given its tensors, its value and its gradients, all flat."""
        tensors = self._tensors
        for (name, tensor), array in zip(list(tensors.items()), arrays, strict=True):
            tensors[name] = Tensor(tensor.datatype, tensor.shape, array)
        for look in self._looks:
            if look(self) is not None:
                return True
        found = {
            name: Tensor(tensors[name].datatype, (), rows)
            for name, rows in zip(self.call.gradients, gradients, strict=True)
        }
        return bool(of_results(self.call, value, found))
