"""The cost of a call: follows from its shapes and from what its loss declares, and is worked out once for each plan."""

from __future__ import annotations

import math

from lossmeter.cost import PRODUCTS, TEXT_BYTES, Cost
from lossmeter.engine.bound_shapes import BoundShapes
from lossmeter.engine.calls import PRECISIONS, Call
from lossmeter.engine.plans import Plan
from lossmeter.errors import pointer
from lossmeter.losses.shapes import patterns

LONG_OPERATIONS = 1 << 21
"""Operations above which a call is none for the event loop: some milliseconds."""


def cost_of(call: Call, plan: Plan) -> Cost:
    """Returns what a call takes beside its arguments, in chunks if there are any, and to be answered as text."""
    loss, shapes = call.loss, plan.shapes
    given = sum(math.prod(tensor.shape) for tensor in call.tensors.values())
    item = PRECISIONS[call.precision].itemsize
    share = min(1.0, plan.chunk_rows / plan.rows) if plan.divisible and plan.rows else 1.0
    working = math.ceil(item * loss.copies * (given + shapes.intermediate) * share)
    answered = sum(math.prod(call.tensors[name].shape) for name in call.gradients)
    answered += math.prod(shapes.output) if call.reduction == "none" else 0
    operations = loss.sweeps * (given + shapes.intermediate) + _size(loss.loops, shapes)
    operations += 3 * _size(loss.products, shapes) / PRODUCTS
    largest = max(call.tensors, key=lambda name: math.prod(call.tensors[name].shape))
    cause = (
        f"a tensor of {shapes.intermediate} elements ({loss.intermediate})" if shapes.intermediate > given else largest
    )
    kept = answered * item if share < 1 else 0  # else it is one of the copies
    return Cost(working + kept + answered * TEXT_BYTES, math.ceil(operations), cause, pointer(largest))


def _size(text: str, shapes: BoundShapes) -> int:
    """Counts the elements of a shape, of alternatives those of the largest whose dimensions are there."""
    known = [one.substitute(shapes.sizes) for one in patterns(text) if one.known(shapes.sizes)] if text else []
    return max(map(math.prod, known), default=0)
