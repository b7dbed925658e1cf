"""A batch as it was sent, and the checks that several tasks share. What predictions are is declared, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.errors import Invalid
from lossmeter.metrics.batches import Chosen, Index, Places, Rows
from lossmeter.metrics.draws import Hashes, hashes, positions
from lossmeter.metrics.weighting import Array, Booleans, Integers

Ids = Sequence[str] | Sequence[int] | None


def everywhere(flags: Booleans) -> bool:
    """Tells whether all flags are true; looks once at one that stands for all."""
    return bool(flags.all() if any(flags.strides) or not flags.size else flags.flat[0])


@dataclass(frozen=True, eq=False)
class RawBatch:
    """A batch as it was sent.

    Attributes:
        task, predictions_are: as the plan declares them.
        classes: the declared number of classes; None if it is read off the predictions.
        predictions, labels: arrays, or lists with one entry per sample where a task takes texts or boxes.
        sample_weight: not negative; one per sample, or per element.
        mask: false where an element does not count; one per sample, or per element.
        identify: makes the hashes of the ids of the samples, or of their groups.
        logarithms: what predictions are the exponentials of, if they are.
    """

    task: str
    predictions_are: str
    classes: int | None
    predictions: Any
    labels: Any
    sample_weight: npt.NDArray[Any] | None
    mask: npt.NDArray[Any] | None
    identify: Callable[[], Hashes]
    logarithms: Array | None = None

    @classmethod
    def of(
        cls,
        task: str,
        predictions_are: str,
        predictions: Any,
        labels: Any,
        *,
        classes: int | None = None,
        sample_weight: npt.NDArray[Any] | None = None,
        mask: npt.NDArray[Any] | None = None,
        sample_ids: Ids = None,
        groups: Ids = None,
        batch_id: str = "",
        logarithms: Array | None = None,
    ) -> RawBatch:
        """Makes one, in which samples are named: by their group, their id, or else their place in the batch.

        Raises:
            Invalid: there are no samples in it, or not as many as names.
        """
        for value in (predictions, labels):
            if isinstance(value, np.ndarray) and not value.ndim:
                message = "predictions and labels need at least one dimension, the samples"
                raise Invalid.at(task, "/predictions", message)
        count = len(predictions)
        names = groups if groups is not None else sample_ids
        if names is not None and len(names) != count:
            role = "groups" if groups is not None else "sample_ids"
            message = f"{role} has {len(names)} entries; expected {count}, one for each sample"
            raise Invalid.at(task, f"/{role}", message)

        def identify() -> Hashes:
            return positions(batch_id, count) if names is None else hashes(names)

        return cls(task, predictions_are, classes, predictions, labels, sample_weight, mask, identify, logarithms)

    def wrong(self, role: str, message: str, index: Index | None = None) -> Invalid:
        return Invalid.at(self.task, f"/{role}", message, index)

    def check(
        self, role: str, valid: npt.NDArray[Any], message: Callable[[Any], str], source: npt.NDArray[Any]
    ) -> None:
        """Raises Invalid at the first element that is not valid."""
        if not valid.all():
            index = tuple(int(item) for item in np.argwhere(~valid)[0])
            raise self.wrong(role, f"{role}{list(index)} is {message(source[index])}", index)

    def floats(self, role: str, counted: Booleans) -> Array:
        """The role in float64, which must be finite where it counts; elsewhere it becomes 0."""
        return self.finite(role, counted).astype(np.float64, copy=False)

    def finite(self, role: str, counted: Booleans) -> npt.NDArray[Any]:
        """The role in the precision in which it came, which must be finite where it counts; elsewhere it becomes 0."""
        array: npt.NDArray[Any] = getattr(self, role)
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        finite = np.isfinite(array)
        if finite.all() and everywhere(counted):
            return np.asarray(array)
        self.check(role, finite | ~counted, lambda item: f"{item}; expected a finite number", array)
        return np.where(counted, array, array.dtype.type(0))

    def indices(self, role: str, counted: Booleans, size: int | None, lowest: int = 0) -> Integers:
        """The role as whole numbers from `lowest` to size - 1 where it counts; elsewhere it becomes `lowest`."""
        array = getattr(self, role)
        whole = np.round(array) if array.dtype.kind == "f" else array
        if whole is not array:
            self.check(
                role,
                (whole == array) | ~counted,
                lambda item: f"{item}; expected a whole number, the index of a class",
                array,
            )
        least, most = (lowest, size - 1) if size is not None else (-(2**53), 2**53)
        bad = (whole < least) | (whole > most)
        expected = f"an index from {least} to {most}"
        self.check(role, ~(bad & counted), lambda item: f"{item}; expected {expected}", whole)
        return np.where(counted, whole, lowest).astype(np.int64)

    def decisions(self, counted: Booleans) -> npt.NDArray[Any]:
        """Predictions as logits, probabilities, scores, or decisions 0 and 1, elementwise."""
        if self.predictions_are == "classes":
            return self.indices("predictions", counted, 2)
        raw = self.floats("predictions", counted)
        if self.predictions_are == "probabilities":
            valid = (raw >= 0) & (raw <= 1)
            self.check("predictions", valid, lambda p: f"{p}; expected a probability, from 0 to 1", raw)
        return raw

    def check_shape(self, shape: Index, what: str) -> None:
        """Raises Invalid if the labels have another shape."""
        if self.labels.shape != shape:
            raise self.wrong("labels", f"labels has shape {list(self.labels.shape)}; expected {list(shape)}, {what}")

    def weights(self, shape: Index) -> Array:
        """Weight times mask in the given shape, from one number per sample or per element; a single 1 for all, if neither."""
        total: Array = np.broadcast_to(np.ones(()), shape)
        for role, given in (("sample_weight", self.sample_weight), ("mask", self.mask)):
            if given is None:
                continue
            if given.shape not in {shape, shape[:1]}:
                raise self.wrong(
                    role, f"{role} has shape {list(given.shape)}; expected {list(shape[:1])} or {list(shape)}"
                )
            if role == "mask":
                if given.dtype.kind != "b":
                    raise self.wrong(role, f"mask has datatype {given.dtype}; expected booleans")
            else:
                given = given.astype(np.float64, copy=False)
                self.check(role, np.isfinite(given) & (given >= 0), lambda item: f"{item}; expected 0 or more", given)
            total = total * given.reshape(given.shape + (1,) * (len(shape) - given.ndim))
        return total

    def counted(self, weight: Array) -> Booleans:
        """Tells what counts: a single flag for all, if there is a single weight."""
        return weight > 0 if any(weight.strides) else np.broadcast_to(np.True_, weight.shape)

    def kept(self, weight: Array) -> tuple[dict[str, Any], Chosen]:
        """The fields that all batches share, and which elements (flattened) they keep."""
        identify = self.identify
        value = weight.reshape(-1)
        whole = everywhere(self.counted(value))
        keep: Chosen = slice(None) if whole else value > 0
        if weight.ndim == 1:
            samples: Rows = slice(0, len(value)) if whole else np.flatnonzero(value > 0)
            fields = {"places": Places(samples, weight.shape), "value": value[keep], "unit": None, "samples": samples}
            return fields | {"identify": lambda: identify()[keep]}, keep
        flat = np.flatnonzero(value > 0)
        fields = {"places": Places(flat, weight.shape), "value": value[keep]}
        rows, unit = np.unique(flat // max(1, weight[0].size if len(weight) else 1), return_inverse=True)
        return fields | {"unit": unit.astype(np.int64), "samples": rows, "identify": lambda: identify()[rows]}, keep
