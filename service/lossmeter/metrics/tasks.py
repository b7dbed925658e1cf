"""From the tensors of a request to a batch, task by task. What predictions are is declared, never guessed from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.errors import Invalid
from lossmeter.metrics._batches import Batch, Groups, Index, Labelled, Labels, Numbers, Places, Queries
from lossmeter.metrics._draws import Hashes, hashes, positions
from lossmeter.metrics._weighting import Array, Booleans, Integers

PREDICTIONS_ARE: dict[str, tuple[str, ...]] = {
    "regression": ("values",),
    "binary": ("logits", "probabilities", "scores", "classes"),
    "multiclass": ("logits", "probabilities", "scores", "classes"),
    "multilabel": ("logits", "probabilities", "scores", "classes"),
    "segmentation": ("logits", "probabilities", "scores", "classes"),
    "ranking": ("scores",),
    "clustering": ("classes",),
}
# How far the probabilities of one sample may be from a sum of 1: float32 softmax over 100,000 classes stays within it.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Inputs:
    """The tensors of one batch, as arrays, and what they are."""

    task: str
    predictions_are: str
    classes: int | None
    predictions: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    sample_weight: npt.NDArray[Any] | None
    mask: npt.NDArray[Any] | None
    hashes: Hashes

    def wrong(self, role: str, message: str, index: Index | None = None) -> Invalid:
        return Invalid.at(self.task, f"/{role}", message, index)

    def first(
        self, role: str, valid: npt.NDArray[Any], message: Callable[[Any], str], source: npt.NDArray[Any]
    ) -> None:
        """Raises Invalid at the first element that is not valid."""
        if not valid.all():
            index = tuple(int(item) for item in np.argwhere(~valid)[0])
            raise self.wrong(role, f"{role}{list(index)} is {message(source[index])}", index)

    def floats(self, role: str, counted: Booleans) -> Array:
        """The role in float64, which must be finite where it counts; elsewhere it becomes 0."""
        array = getattr(self, role)
        if array.dtype.kind not in "fiub":
            raise self.wrong(role, f"{role} has datatype {array.dtype}; expected numbers")
        array = array.astype(np.float64)
        self.first(role, np.isfinite(array) | ~counted, lambda item: f"{item}; expected a finite number", array)
        return np.where(counted, array, 0.0)

    def indices(self, role: str, counted: Booleans, size: int | None, lowest: int = 0) -> Integers:
        """The role as whole numbers from `lowest` to size - 1 where it counts; elsewhere it becomes `lowest`."""
        array = getattr(self, role)
        whole = array if array.dtype.kind in "iub" else np.round(array) if array.dtype.kind == "f" else None
        if whole is None or not np.array_equal(whole[counted], array[counted]):
            raise self.wrong(role, f"{role} has datatype {array.dtype}; expected whole numbers, the indices of classes")
        least, most = (lowest, size - 1) if size is not None else (-(2**53), 2**53)
        bad = (whole < least) | (whole > most)
        expected = f"an index from {least} to {most}"
        self.first(role, ~(bad & counted), lambda item: f"{item}; expected {expected}", whole)
        return np.where(counted, whole, lowest).astype(np.int64)

    def same_shape(self, shape: Index, what: str) -> None:
        if self.labels.shape != shape:
            raise self.wrong("labels", f"labels has shape {list(self.labels.shape)}; expected {list(shape)}, {what}")

    def weights(self, shape: Index) -> Array:
        """Weight times mask in the given shape, from one number per sample or per element."""
        total = np.ones(shape)
        for role, given in (("sample_weight", self.sample_weight), ("mask", self.mask)):
            if given is None:
                continue
            if given.shape not in {shape, shape[:1]}:
                raise self.wrong(
                    role, f"{role} has shape {list(given.shape)}; expected {list(shape[:1])} or {list(shape)}"
                )
            if given.dtype.kind not in "fiub":
                raise self.wrong(role, f"{role} has datatype {given.dtype}; expected numbers")
            if role == "mask":
                if given.dtype.kind != "b":
                    raise self.wrong(role, f"mask has datatype {given.dtype}; expected booleans")
            else:
                given = given.astype(np.float64)
                self.first(role, np.isfinite(given) & (given >= 0), lambda item: f"{item}; expected 0 or more", given)
            total = total * given.reshape(given.shape + (1,) * (len(shape) - given.ndim))
        return total


def batch(
    task: str,
    predictions_are: str,
    predictions: Any,
    labels: Any,
    *,
    classes: int | None = None,
    sample_weight: Any = None,
    mask: Any = None,
    sample_ids: Sequence[str] | Sequence[int] | None = None,
    groups: Sequence[str] | Sequence[int] | None = None,
    batch_id: str = "",
) -> Batch:
    """A checked batch.

    Args:
        task: one of TASKS.
        predictions_are: what the predictions are, one of PREDICTIONS_ARE[task].
        predictions: regression (N, *d); binary (N, *d); multiclass and segmentation (N, C, *d), or (N, *d) if they are
            classes; multilabel (N, L); ranking (Q, D); clustering (N,).
        labels: values, class indices (N, *d), decisions 0 or 1, relevance (Q, D), or true classes (N,).
        classes: number of classes; needed where predictions are classes.
        sample_weight: not negative; one per sample, or per element.
        mask: false where an element does not count; one per sample, or per element.
        sample_ids: one per sample; replicates of the bootstrap draw by them.
        groups: one per sample, drawn together (all rows of a patient, say); instead of `sample_ids`.
        batch_id: with the position, stands in for `sample_ids`.

    Raises:
        Invalid: with a pointer to the tensor and the index of its first wrong element.
    """
    if task not in _READERS:
        raise Invalid.at("task", "/task", f"{task!r} is not a task; expected one of {', '.join(_READERS)}")
    if predictions_are not in PREDICTIONS_ARE[task]:
        choices = ", ".join(PREDICTIONS_ARE[task])
        raise Invalid.at(task, "/predictions_are", f"predictions_are is {predictions_are!r}; expected one of {choices}")
    arrays = [None if item is None else np.asarray(item) for item in (predictions, labels, sample_weight, mask)]
    if arrays[0] is None or arrays[1] is None or not arrays[0].ndim or not arrays[1].ndim:
        raise Invalid.at(task, "/predictions", "predictions and labels need at least one dimension, the samples")
    count = len(arrays[0])
    names = groups if groups is not None else sample_ids
    if names is not None and len(names) != count:
        role = "groups" if groups is not None else "sample_ids"
        raise Invalid.at(task, f"/{role}", f"{role} has {len(names)} entries; expected {count}, one for each sample")
    units = positions(batch_id, count) if names is None else hashes(names)
    inputs = Inputs(task, predictions_are, classes, arrays[0], arrays[1], arrays[2], arrays[3], units)
    return _READERS[task](inputs)


def _kept(inputs: Inputs, weight: Array) -> tuple[dict[str, Any], Booleans]:
    """The fields that all batches share, and which elements (flattened) they keep."""
    keep = weight.reshape(-1) > 0
    flat = np.flatnonzero(keep)
    fields: dict[str, Any] = {"places": Places(flat, weight.shape), "value": weight.reshape(-1)[keep]}
    if weight.ndim == 1:
        return fields | {"unit": None, "hashes": inputs.hashes[keep], "samples": flat}, keep
    rows, unit = np.unique(flat // max(1, weight[0].size if len(weight) else 1), return_inverse=True)
    return fields | {"unit": unit.astype(np.int64), "hashes": inputs.hashes[rows], "samples": rows}, keep


def _regression(inputs: Inputs) -> Batch:
    inputs.same_shape(inputs.predictions.shape, "the shape of predictions")
    weight = inputs.weights(inputs.labels.shape)
    x, y = (inputs.floats(role, weight > 0).reshape(-1) for role in ("predictions", "labels"))
    fields, keep = _kept(inputs, weight)
    return Numbers(**fields, x=x[keep], y=y[keep])


def _numbers(inputs: Inputs, counted: Booleans) -> npt.NDArray[Any]:
    """Predictions as logits, probabilities, scores, or decisions 0 and 1, elementwise."""
    if inputs.predictions_are == "classes":
        return inputs.indices("predictions", counted, 2)
    raw = inputs.floats("predictions", counted)
    if inputs.predictions_are == "probabilities":
        inputs.first("predictions", (raw >= 0) & (raw <= 1), lambda p: f"{p}; expected a probability, from 0 to 1", raw)
    return raw


def _binary(inputs: Inputs) -> Batch:
    inputs.same_shape(inputs.predictions.shape, "the shape of predictions")
    weight = inputs.weights(inputs.labels.shape)
    raw = _numbers(inputs, weight > 0).reshape(-1)
    label = inputs.indices("labels", weight > 0, 2).reshape(-1)
    fields, keep = _kept(inputs, weight)
    return Labelled(
        **fields, classes=2, binary=True, label=label[keep], predictions_are=inputs.predictions_are, raw=raw[keep]
    )


def _multiclass(inputs: Inputs) -> Batch:
    predictions, are = inputs.predictions, inputs.predictions_are
    if are == "classes":
        if inputs.classes is None:
            raise inputs.wrong("classes", "classes is missing; needed where predictions are classes")
        classes, shape = inputs.classes, predictions.shape
    else:
        if predictions.ndim < 2 or predictions.shape[1] < 2:
            raise inputs.wrong(
                "predictions", f"predictions has shape {list(predictions.shape)}; expected (N, C, …), C at least 2"
            )
        classes, shape = predictions.shape[1], predictions.shape[:1] + predictions.shape[2:]
        if inputs.classes not in {None, classes}:
            raise inputs.wrong("predictions", f"predictions has {classes} classes; expected {inputs.classes}")
    inputs.same_shape(shape, "the shape of predictions without its classes")
    weight = inputs.weights(shape)
    counted = weight > 0
    label = inputs.indices("labels", counted, classes).reshape(-1)
    if are == "classes":
        raw: npt.NDArray[Any] = inputs.indices("predictions", counted, classes).reshape(-1)
    else:
        full = _numbers(inputs, np.broadcast_to(np.expand_dims(counted, 1), predictions.shape))
        if are == "probabilities":
            sums = full.sum(axis=1)
            close = (np.abs(sums - 1) <= SUM_TOLERANCE) | ~counted
            inputs.first("predictions", close, lambda s: f"a sum of probabilities of {s}; expected 1", sums)
        raw = np.moveaxis(full, 1, -1).reshape(-1, classes)
    fields, keep = _kept(inputs, weight)
    return Labelled(**fields, classes=classes, binary=False, label=label[keep], predictions_are=are, raw=raw[keep])


def _multilabel(inputs: Inputs) -> Batch:
    shape = inputs.predictions.shape
    inputs.same_shape(shape, "the shape of predictions")
    if len(shape) != 2 or inputs.classes not in {None, shape[1]}:
        raise inputs.wrong("predictions", f"predictions has shape {list(shape)}; expected (N, {inputs.classes or 'L'})")
    weight = inputs.weights(shape)
    raw = _numbers(inputs, weight > 0).reshape(-1)
    actual = inputs.indices("labels", weight > 0, 2).reshape(-1) == 1
    column = np.broadcast_to(np.arange(shape[1]), shape).reshape(-1)
    fields, keep = _kept(inputs, weight)
    return Labels(
        **fields,
        labels=shape[1],
        predictions_are=inputs.predictions_are,
        column=column[keep],
        actual=actual[keep],
        raw=raw[keep],
    )


def _ranking(inputs: Inputs) -> Batch:
    shape = inputs.predictions.shape
    inputs.same_shape(shape, "the shape of predictions")
    if len(shape) != 2:
        raise inputs.wrong("predictions", f"predictions has shape {list(shape)}; expected (Q, D), whole queries")
    weight = inputs.sample_weight
    if weight is not None and weight.shape != shape[:1]:
        raise inputs.wrong("sample_weight", f"sample_weight has shape {list(weight.shape)}; expected {list(shape[:1])}")
    counted = inputs.weights(shape) > 0
    scores, relevance = (inputs.floats(role, counted) for role in ("predictions", "labels"))
    inputs.first("labels", relevance >= 0, lambda item: f"{item}; expected a relevance of 0 or more", relevance)
    value = (np.ones(shape[0]) if weight is None else weight.astype(np.float64)) * counted.any(axis=1)
    fields, keep = _kept(inputs, value)
    return Queries(**fields, scores=scores[keep], relevance=relevance[keep], counted=counted[keep])


def _clustering(inputs: Inputs) -> Batch:
    inputs.same_shape(inputs.predictions.shape, "the shape of predictions")
    weight = inputs.weights(inputs.labels.shape)
    cluster, label = (inputs.indices(role, weight > 0, None).reshape(-1) for role in ("predictions", "labels"))
    fields, keep = _kept(inputs, weight)
    return Groups(**fields, cluster=cluster[keep], label=label[keep])


_READERS: dict[str, Callable[[Inputs], Batch]] = {
    "regression": _regression,
    "binary": _binary,
    "multiclass": _multiclass,
    "multilabel": _multilabel,
    "segmentation": _multiclass,
    "ranking": _ranking,
    "clustering": _clustering,
}
