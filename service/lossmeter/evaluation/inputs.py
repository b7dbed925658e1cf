"""A batch, checked: as the metrics take it, and as the losses do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter import metrics
from lossmeter.engine.arguments import load
from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation import sizes
from lossmeter.evaluation.plan import Plan
from lossmeter.metrics._batches import Batch
from lossmeter.tensors import Array, Datatype, Tensor

TENSORS = ("predictions", "labels", "sample_weight", "mask")
ROUNDING = 1e-6
"""How far above 0 the logarithm of a probability may be."""

Ids = Sequence[str] | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class Inputs:
    """A checked batch.

    Attributes:
        batch: for the metrics.
        predictions, labels, sample_weight, mask: for the losses; 0 where an element does not count.
        ids: of the samples.
        clustered: whether samples were drawn in groups.
        slices: by column, the value of each sample.
        classes: number of classes or labels; None where the task has none.
    """

    batch: Batch
    predictions: Array
    labels: Array
    sample_weight: Array | None
    mask: Array | None
    ids: Ids
    clustered: bool
    slices: Mapping[str, Sequence[Any]]
    classes: int | None

    @property
    def samples(self) -> int:
        """How many samples were sent, whether or not they count."""
        return len(self.labels)


def checked(plan: Plan, fields: Mapping[str, Any], batch_id: str) -> Inputs:
    """The batch that the fields describe.

    Raises:
        Invalid: with a pointer to the field and the index of its first wrong element.
    """
    missing = [Flaw(pointer(name), f"{name} is missing") for name in TENSORS[:2] if fields.get(name) is None]
    if missing:
        raise Invalid.of(plan.task, missing)
    predictions, labels, weight, mask = (_array(fields.get(name)) for name in TENSORS)
    assert predictions is not None
    assert labels is not None
    mask = _without_ignored(plan.ignore_index, labels, mask)
    sizes.check(plan, _classes(plan, predictions))
    ids, groups = (_names(plan.task, fields, name) for name in ("sample_ids", "groups"))
    batch = metrics.batch(
        plan.task,
        plan.measured_as,
        _probabilities(predictions) if plan.predictions_are == "log_probabilities" else predictions,
        labels,
        classes=plan.classes,
        sample_weight=weight,
        mask=mask,
        sample_ids=ids,
        groups=groups,
        batch_id=batch_id,
    )
    slices = fields.get("slices") or {}
    _check_slices(plan, slices, len(labels))
    if plan.criteria:
        predictions, labels = _neutral(plan, predictions, labels, weight, mask)
    return Inputs(
        batch, predictions, labels, weight, mask, ids, groups is not None, slices, _classes(plan, predictions)
    )


def _classes(plan: Plan, predictions: Array) -> int | None:
    """The number of classes, or of labels that hold or not; None where the task has none."""
    if plan.task not in ("multiclass", "segmentation", "multilabel"):
        return None
    scores = plan.predictions_are != "classes" or plan.task == "multilabel"
    return predictions.shape[1] if scores and predictions.ndim > 1 else plan.classes


def _array(tensor: Tensor | None) -> npt.NDArray[Any] | None:
    if tensor is None:
        return None
    kind = {"floating": np.float64, "index": np.int64, "boolean": np.bool_}[tensor.datatype.kind]
    empty = not tensor.declared and tensor.datatype is not Datatype.BOOL and not len(tensor.data)
    return load(tensor, np.dtype(np.float64 if empty else kind)).reshape(tensor.shape)


def _without_ignored(ignored: int | None, labels: Array, mask: Array | None) -> Array | None:
    """The mask, false too where the label is the one that does not count; what is no mask is left as it is."""
    if ignored is None:
        return mask
    counted = labels != ignored
    if mask is None:
        return np.asarray(counted)
    if mask.dtype != np.bool_ or mask.shape not in (labels.shape, labels.shape[:1]):
        return mask
    return np.asarray(counted & _spread(mask, labels.ndim))


def _spread(by_row: Array, dimensions: int) -> Array:
    return by_row.reshape(by_row.shape + (1,) * (dimensions - by_row.ndim))


def _probabilities(logarithms: Array) -> Array:
    rounded = np.where((logarithms > 0) & (logarithms <= ROUNDING), 0.0, logarithms)
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(rounded))


def _names(task: str, fields: Mapping[str, Any], role: str) -> Ids:
    names: list[Any] | None = fields.get(role)
    if set(map(type, names or ())) <= {str, int}:
        return names
    for position, name in enumerate(names or ()):
        if type(name) not in (str, int):
            message = f"{role}[{position}] is {name!r}; expected a string or an integer"
            raise Invalid.at(task, pointer(role), message, (position,))
    return names


def _check_slices(plan: Plan, slices: Mapping[str, Sequence[Any]], samples: int) -> None:
    flaws = []
    for column in dict.fromkeys((*plan.slices, *slices)):
        at = pointer("slices", column)
        if column not in slices:
            flaws.append(Flaw(at, f"slices.{column} is missing; expected {samples} values, one for each sample"))
        elif column not in plan.slices:
            flaws.append(
                Flaw(at, f"slices.{column} is none of the columns {', '.join(plan.slices) or '(there is none)'}")
            )
        elif len(slices[column]) != samples:
            count = len(slices[column])
            flaws.append(Flaw(at, f"slices.{column} has {count} values; expected {samples}, one for each sample"))
    if flaws:
        raise Invalid.of(plan.task, flaws)


def _neutral(
    plan: Plan, predictions: Array, labels: Array, weight: Array | None, mask: Array | None
) -> tuple[Array, Array]:
    """Predictions and labels for the losses: 0 where they do not count and could not be computed with."""
    counted = np.ones(labels.shape, bool)
    for one in (None if weight is None else weight > 0, mask):
        if one is not None:
            counted = counted & _spread(np.asarray(one), labels.ndim)
    whole = bool(counted.all())
    predictions = predictions.astype(np.float64, copy=False)
    if plan.task == "regression":
        labels = labels.astype(np.float64, copy=False)
        kept = counted if whole else counted | np.isfinite(labels)
    else:
        kept = counted if whole else counted | ((labels >= 0) & (labels < (_classes(plan, predictions) or 2)))
        labels = np.where(kept, labels, 0).astype(np.int64)
    if whole:
        return predictions, labels
    scored = np.expand_dims(counted, 1) if predictions.ndim > labels.ndim else counted
    return np.where(scored, predictions, 0), np.where(kept, labels, 0)
