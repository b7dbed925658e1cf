"""Shapes of one call, bound to the declaration of its loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossmeter.errors import Invalid, pointer
from lossmeter.losses import Loss
from lossmeter.losses.shapes import Bindings, Mismatch, Sizes, patterns, unify
from lossmeter.losses.vocabulary import Role

Shapes = tuple[tuple[str, Sizes], ...]
BatchKey = tuple[tuple[str, str, Sizes], ...]


@dataclass(frozen=True, slots=True)
class BoundShapes:
    """The shapes of one call, matched with the declaration of its loss.

    Attributes:
        roles: the role that each tensor plays, after unions are decided.
        sizes: what the names of dimensions are bound to.
        output: shape of the unreduced loss.
        intermediate: elements of the largest tensor on the way to it, as far as the loss declares one.
        batched: names of the tensors whose first dimension is the batch.
        batch_key: what has to be equal for two batches to be one when put together; None if they cannot be.
    """

    roles: Mapping[str, Role]
    sizes: Bindings
    output: Sizes
    intermediate: int
    batched: frozenset[str]
    batch_key: BatchKey | None


def bind_shapes(loss: Loss, shapes: Shapes, parameters: Mapping[str, Any]) -> BoundShapes:
    """Binds shapes to a loss.

    Args:
        parameters: of the call; the shape of the result may depend on them.

    Raises:
        Invalid: naming the first tensor that does not fit, and the shape that would.
    """
    arguments = [loss.tensor[name] for name, _ in shapes]
    mismatch: Mismatch | None = None
    for choice in range(max(len(argument.options) for argument in arguments)):
        roles = {argument.name: argument.options[min(choice, len(argument.options) - 1)] for argument in arguments}
        texts = {name: role.shape for name, role in roles.items()}
        binding = unify(texts, dict(shapes))
        if isinstance(binding, Mismatch):
            mismatch = mismatch or binding
            continue
        sizes, number = binding
        output = patterns(loss.output)
        if loss.alternative is not None:
            pattern = output[loss.alternative(parameters)]
        else:
            pattern = output[number if len(output) > 1 else 0]
        shape = pattern.substitute(sizes)
        batched = _batched(texts, number, pattern.names, shape, dict(shapes)) if shape else frozenset[str]()
        if not pattern.names or not sizes.get(pattern.names[0]):
            batched = frozenset()  # the leading dimension is none that all share
        large = [one.substitute(sizes) for one in patterns(loss.intermediate) if one.known(sizes)]
        intermediate = max(math.prod(one) for one in large) if loss.intermediate else 0
        return BoundShapes(roles, sizes, shape, intermediate, batched, _batch_key(roles, dict(shapes), shape, batched))
    assert mismatch is not None
    expected = mismatch.pattern
    if mismatch.expected is not None:
        text = loss.tensor[mismatch.name].options[0].shape
        twin = next((n for n, s in shapes if s == mismatch.expected and loss.tensor[n].options[0].shape == text), None)
        expected = f"{list(mismatch.expected)}, {f'the shape of {twin}' if twin else expected}"
    message = f"{mismatch.name} has shape {list(mismatch.given)}; expected {expected}"
    if _classes_are_last(loss, dict(shapes)):
        message += (
            f"; classes belong in dimension 1 of predictions, whose shape is {list(dict(shapes)['predictions'])}: move them "
            "there, or take token_cross_entropy"
        )
    raise Invalid.at(loss.name, pointer(mismatch.name), message)


def _classes_are_last(loss: Loss, shapes: Mapping[str, Sizes]) -> bool:
    """Tells whether predictions would fit labels if their classes stood in the last dimension instead of in dimension 1."""
    predictions, labels = shapes.get("predictions", ()), shapes.get("labels", ())
    declared = loss.tensor["predictions"].options[0].shape if "predictions" in loss.tensor else ""
    return declared.startswith("N C *d") and len(predictions) > 2 and predictions[:-1] == labels


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


def _batch_key(
    roles: Mapping[str, Role], shapes: Mapping[str, Sizes], output: Sizes, batched: frozenset[str]
) -> BatchKey | None:
    # torch takes other ways through a batch of one row, which can differ in the last bits.
    if len(batched) < len(roles) or not output or output[0] < 2:
        return None
    return tuple((name, role.meaning.name, shapes[name][1:]) for name, role in roles.items())
