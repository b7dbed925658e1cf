"""Merges recordings of one pass over batches of different sizes: what differs has to be a size."""

from __future__ import annotations

from typing import Any

import torch

from lossmeter.engine.programs.recording import Recording, Rows, Step, Unrecordable, Variable


def merge(first: Recording, rows: int, second: Recording, other_rows: int) -> Recording:
    """Joins recordings of the same pass over batches of different sizes into one that holds for any.

    Raises:
        Unrecordable: if they differ in more than sizes, or in a size that is no multiple of the number of rows.
    """
    _require_equal(_outline(first), _outline(second))
    if not all(same_bits(tensor, second.constants[number]) for number, tensor in first.constants.items()):
        raise Unrecordable("a constant depends on the size or on chance")
    steps = []
    for one, other in zip(first.steps, second.steps, strict=True):
        arguments, named = (
            _joined(mine, theirs, rows, other_rows)
            for mine, theirs in (
                (one.arguments, other.arguments),
                (tuple(one.named.values()), tuple(other.named.values())),
            )
        )
        steps.append(Step(one.kernel, arguments, dict(zip(one.named, named, strict=True)), one.results, one.guard))
    return Recording(first.inputs, steps, first.constants, first.views, first.values, first.gradients)


def _outline(recording: Recording) -> Any:
    """Returns everything about a recording that holds no sizes."""
    steps = [(str(step.kernel), tuple(step.named), step.results, step.guard) for step in recording.steps]
    outside = recording.inputs, recording.views, recording.values, recording.gradients
    return *outside, tuple(recording.constants), steps


def _require_equal(one: Any, other: Any) -> None:
    if one != other:
        raise Unrecordable("the passes differ")


def _joined(one: Any, other: Any, rows: int, other_rows: int) -> Any:
    _require_equal(type(one), type(other))
    if isinstance(one, tuple) and not isinstance(one, Variable):
        _require_equal(len(one), len(other))
        return tuple(_joined(mine, theirs, rows, other_rows) for mine, theirs in zip(one, other, strict=True))
    if repr(one) == repr(other):
        return one
    if type(one) is int and not one % rows and one // rows * other_rows == other:
        return Rows(one // rows)
    raise Unrecordable(f"{one} becomes {other} when {rows} rows become {other_rows}")


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tells whether two tensors are equal in shape, datatype and every bit."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = (tensor.detach().cpu().contiguous().view(-1).view(torch.uint8) for tensor in (one, other))
    return bool(torch.equal(first, second))
