"""Points at which a loss is differentiable, from its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from lossmeter.losses import Loss
from tests.support.inputs.placements import Parameters, Placement, main, placements, variants
from tests.support.inputs.source import Case, Source


def tensors(source: Source, loss: Loss, placement: Placement, *, optional: bool, narrow: bool = False) -> Case:
    """A tensor for each role, and for each optional tensor if they are wanted."""
    return {one.name: placement.make(source, one, narrow=narrow) for one in loss.tensors if one.required or optional}


def generated_smooth(loss: Loss, source: Source, declared: Parameters) -> Iterator[Case]:
    """Every shape with and without the optional tensors; every set of parameters, on a batch."""
    sets = list(variants(loss, declared))
    turn = cycle(sets)
    narrow = cycle((False, True))
    optional = any(not one.required for one in loss.tensors)
    for placement in placements(loss):
        yield tensors(source, loss, placement, optional=False)
        if optional or len(sets) > 1:
            yield {**tensors(source, loss, placement, optional=True, narrow=next(narrow)), **next(turn)}
    for placement in main(loss):
        for number, parameters in enumerate(sets[1:]):
            yield {**tensors(source, loss, placement, optional=number % 2 == 1), **parameters}
        alone = [one.name for one in loss.tensors if not one.required]
        for name in alone if len(alone) > 1 else ():
            case = tensors(source, loss, placement, optional=True)
            yield {one: value for one, value in case.items() if one == name or one not in alone}
