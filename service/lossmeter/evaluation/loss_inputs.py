"""Predictions, labels, weights and mask as losses take them: each form is made once, and all losses of a plan share it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lossmeter.tensors import Array, Datatype, Tensor

DATATYPES = {"float32": Datatype.FP32, "float64": Datatype.FP64}


class LossInputs:
    """A checked batch, in the forms that losses ask for.

    Args:
        predictions: in float64, 0 where an element does not count.
        labels: real numbers in float64, or indices of classes in int64; 0 where an element does not count.
        sample_weight, mask: as they were sent.
        precision: arithmetic of the losses.
    """

    def __init__(
        self,
        predictions: Array,
        labels: Array,
        sample_weight: Array | None,
        mask: Array | None,
        precision: Literal["float32", "float64"],
    ) -> None:
        self.precision = precision
        self.predictions = predictions
        self.labels = labels
        self.sample_weight = None if sample_weight is None else _weights(sample_weight)
        self.mask = None if mask is None else _tensor(mask, Datatype.BOOL)
        self._forms: dict[Any, Tensor] = {}

    @property
    def datatype(self) -> Datatype:
        """The datatype of the arithmetic."""
        return DATATYPES[self.precision]

    def predicted(self, *, logarithm: bool) -> Tensor:
        """Returns the predictions, or the logarithms of those that are probabilities."""
        if logarithm not in self._forms:
            with np.errstate(divide="ignore"):
                self._forms[logarithm] = self._floating(np.log(self.predictions) if logarithm else self.predictions)
        return self._forms[logarithm]

    def labelled(self, *, signed: bool, floating: bool) -> Tensor:
        """Returns the labels; as ±1 where a loss takes those, as real numbers where a loss takes no indices."""
        form = (signed, floating)
        if form not in self._forms:
            labels = 2 * self.labels - 1 if signed else self.labels
            real = floating or labels.dtype.kind == "f"
            self._forms[form] = self._floating(labels) if real else _tensor(labels, Datatype.INT64)
        return self._forms[form]

    def _floating(self, array: Array) -> Tensor:
        return _tensor(array, self.datatype)


def _weights(array: Array) -> Tensor:
    return _tensor(array, Datatype.BOOL if array.dtype.kind == "b" else Datatype.FP64)


def _tensor(array: Array, datatype: Datatype) -> Tensor:
    with np.errstate(over="ignore"):  # what overflows float32 becomes infinite
        flat = np.ascontiguousarray(array).reshape(-1).astype(datatype.dtype, copy=False)
    return Tensor(datatype, array.shape, flat)
