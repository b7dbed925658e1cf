"""Checks the fields of a batch once, and makes of them what metrics take and what losses take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossmeter.errors import Flaw, Invalid, pointer
from lossmeter.evaluation.fields import MAX_NAME_LENGTH
from lossmeter.evaluation.labels import indices
from lossmeter.evaluation.loss_inputs import LossInputs
from lossmeter.evaluation.plan import Plan
from lossmeter.metrics.batches import Batch
from lossmeter.metrics.tasks import RawBatch
from lossmeter.metrics.tasks.raw import Ids
from lossmeter.tensors import Array, Datatype, Tensor, load
from lossmeter.validation import shown

ROLES = ("predictions", "labels", "sample_weight", "mask")
ROUNDING = 1e-6
"""The largest logarithm of a probability that is taken for rounding."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """A checked batch.

    Attributes:
        batch: for the metrics.
        losses: for the losses; None if the plan has none.
        samples: how many samples were sent, whether or not they count.
        ids: of the samples.
        clustered: whether samples were drawn in groups.
        slices: by column, the value of each sample.
        classes: number of classes or labels; None where the task has none.
    """

    batch: Batch
    losses: LossInputs | None
    samples: int
    ids: Ids
    clustered: bool
    slices: Mapping[str, Sequence[Any]]
    classes: int | None


def check_fields(plan: Plan, fields: Mapping[str, Any], batch_id: str) -> Inputs:
    """Makes the batch that the fields describe.

    Raises:
        Invalid: with a pointer to the field and the index of its first wrong element.
    """
    task = plan.task
    missing = [Flaw(pointer(name), f"{name} is missing") for name in ROLES[:2] if fields.get(name) is None]
    if missing:
        raise Invalid.of(task.name, missing)
    fields = indices(plan, fields)
    narrow = ROLES[:2] if plan.measured_as == "values" else ()
    predictions, labels, weight, mask = (_values(fields.get(name), narrow=name in narrow) for name in ROLES)
    mask = _without_ignored(plan.ignore_index, labels, mask)
    classes = task.classes(predictions, plan.predictions_are, plan.classes)
    ids, groups = (_names(task.name, fields, name) for name in ("sample_ids", "groups"))
    exponential = plan.measured_as != plan.predictions_are
    raw = RawBatch.of(
        task.name,
        plan.measured_as,
        _exponential(predictions) if exponential else predictions,
        labels,
        classes=plan.classes,
        sample_weight=weight,
        mask=mask,
        sample_ids=ids,
        groups=groups,
        batch_id=batch_id,
        logarithms=_rounded(predictions) if exponential else None,
    )
    batch = task.read(raw)
    slices = fields.get("slices") or {}
    _check_slices(plan, slices, len(labels))
    losses = _loss_inputs(plan, predictions, labels, weight, mask, classes) if plan.criteria else None
    return Inputs(batch, losses, len(labels), ids, groups is not None, slices, classes)


def _values(field: Any, *, narrow: bool) -> Any:
    """Returns a tensor as an array of float64, int64 or bool; anything else, such as a list of texts, as it is.

    Args:
        narrow: whether float32 stays what it is.
    """
    if not isinstance(field, Tensor):
        return field
    floating = np.float32 if narrow and field.datatype is Datatype.FP32 else np.float64
    kind = {"floating": floating, "index": np.int64, "boolean": np.bool_}[field.datatype.kind]
    empty = not field.declared and field.datatype is not Datatype.BOOL and not len(field.data)
    # Sums over what does not lie at whole multiples of its size come out otherwise in the last bits.
    flat = np.require(load(field, np.dtype(np.float64 if empty else kind)), requirements="A")
    return flat.reshape(field.shape)


def _without_ignored(ignored: int | None, labels: Array, mask: Array | None) -> Array | None:
    """Returns the mask, false too where the label is the one that does not count; leaves a wrong one for others to refuse."""
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


def _exponential(logarithms: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(_rounded(logarithms)))


def _rounded(logarithms: Array) -> Array:
    logarithms = logarithms.astype(np.float64, copy=False)
    return np.where((logarithms > 0) & (logarithms <= ROUNDING), 0.0, logarithms)


def _names(task: str, fields: Mapping[str, Any], role: str) -> Ids:
    names: list[Any] | None = fields.get(role)
    if set(map(type, names or ())) <= {str, int}:
        check_lengths(task, role, pointer(role), names or ())
        return names
    for position, name in enumerate(names or ()):
        if type(name) not in (str, int):
            message = f"{role}[{position}] is {shown(name)}; expected a string or an integer"
            raise Invalid.at(task, pointer(role), message, (position,))
    return names


def check_lengths(task: str, role: str, at: str, names: Sequence[Any]) -> None:
    """Makes sure that no text among the names of samples, groups or slices is long: they are kept, compared and sorted.

    Raises:
        Invalid: one is, with its index.
    """
    longest = max((name for name in names if type(name) is str), key=len, default="")
    if len(longest) > MAX_NAME_LENGTH:
        position = names.index(longest)
        message = f"{role}[{position}] has {len(longest)} characters; expected at most {MAX_NAME_LENGTH}"
        raise Invalid.at(task, at, message, (position,))


def _check_slices(plan: Plan, slices: Mapping[str, Sequence[Any]], samples: int) -> None:
    flaws = []
    for column in dict.fromkeys((*plan.slices, *slices)):
        at = pointer("slices", column)
        if len(column) > MAX_NAME_LENGTH:
            message = f"slices: {shown(column)} has {len(column)} characters; expected at most {MAX_NAME_LENGTH}"
            raise Invalid.at(plan.task.name, pointer("slices"), message)
        if column not in slices:
            flaws.append(Flaw(at, f"slices.{column} is missing; expected {samples} values, one for each sample"))
        elif column not in plan.slices:
            known = ", ".join(plan.slices) or "(there is none)"
            flaws.append(Flaw(at, f"slices.{column} is none of the columns {known}"))
        elif len(slices[column]) != samples:
            count = len(slices[column])
            flaws.append(Flaw(at, f"slices.{column} has {count} values; expected {samples}, one for each sample"))
    if flaws:
        raise Invalid.of(plan.task.name, flaws)


def _loss_inputs(
    plan: Plan,
    predictions: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    weight: Array | None,
    mask: Array | None,
    classes: int | None,
) -> LossInputs:
    """Makes what the losses take: 0 where something does not count and could not be computed with."""
    counted = np.ones(labels.shape, bool)
    for one in (None if weight is None else weight > 0, mask):
        if one is not None:
            counted = counted & _spread(np.asarray(one), labels.ndim)
    whole = bool(counted.all())
    predictions = predictions.astype(np.float64, copy=False)
    if not plan.task.losses.indices:
        labels = labels.astype(np.float64, copy=False)
        kept = counted if whole else counted | np.isfinite(labels)
    else:
        kept = counted if whole else counted | ((labels >= 0) & (labels < (classes or 2)))
        labels = np.where(kept, labels, 0).astype(np.int64)
    if not whole:
        scored = np.expand_dims(counted, 1) if predictions.ndim > labels.ndim else counted
        predictions, labels = np.where(scored, predictions, 0), np.where(kept, labels, 0)
    return LossInputs(predictions, labels, weight, mask, plan.precision)
