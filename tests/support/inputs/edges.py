"""Points at the edges of what a loss declares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from lossmeter.losses import Loss
from lossmeter.losses.vocabulary import Meaning
from tests.support.inputs.placements import Parameters, Placement, extremes, main, placements, variants
from tests.support.inputs.smooth import tensors
from tests.support.inputs.source import Case, Source

OFFSETS = (0.0, 1.0, -1.0, 0.5, 1e6, -1e6)
LOGITS = (-30.0, -1.0, 0.0, 2.0, 30.0)
POSITIVES = (1e-9, 0.3, 1e6)
IGNORED = (-100, 1, 255)


def generated_edges(loss: Loss, source: Source, declared: Parameters) -> Iterator[Case]:
    sets = list(variants(loss, declared))
    bound = [{one.name: value} for one in loss.parameters if one.name not in declared for value in extremes(one)]
    for placement in main(loss):
        for parameters in [*sets, *bound]:
            yield {**_bordering(source, loss, placement), **parameters}
        if any(one.name == "ignore_index" for one in loss.parameters):
            yield from _ignored(source, loss, placement, [*sets, *bound])
    for placement in placements(loss, empty=True):
        yield tensors(source, loss, placement, optional=False)
        yield tensors(source, loss, placement, optional=True)
    for placement in main(loss):
        if "C" in placement.sizes and placement.roles[loss.roles[0].name].meaning.name != "features":
            yield tensors(
                source,
                loss,
                Placement(placement.roles, placement.number, {**placement.sizes, "C": (1,)}),
                optional=False,
            )


def _borders(meaning: Meaning) -> tuple[float, ...]:
    if meaning.kind != "floating":
        return ()
    if meaning.choices:
        return meaning.choices
    if meaning.name == "logits":
        return LOGITS
    if meaning.name == "positive numbers":
        return POSITIVES
    if meaning.minimum is not None and meaning.maximum is not None:
        return (meaning.minimum, meaning.minimum + 1e-12, (meaning.minimum + meaning.maximum) / 2, meaning.maximum)
    return () if meaning.minimum is None else (meaning.minimum, meaning.minimum + 1e-9, 1.0)


def _bordering(source: Source, loss: Loss, placement: Placement) -> Case:
    """Ties between and within tensors; every border of a domain with every other, as far as there is room."""
    case = tensors(source, loss, placement, optional=False)
    names = list(case)
    borders = {name: _borders(placement.roles[name].meaning) for name in names}
    # Elements that stand at the same place of equal shapes take all combinations.
    flat = [name for name in names if borders[name] and placement.pattern(name).names == ("*shape",)]
    if flat:
        grid = list(itertools.product(*(borders[name] for name in flat)))
        for place, name in enumerate(flat):
            case[name] = torch.tensor([point[place] for point in grid], dtype=torch.float64)
        rest = [name for name in names if name not in flat]
        sized = Placement(placement.roles, placement.number, {**placement.sizes, "*shape": (len(grid),)})
        case.update({name: sized.make(source, loss.tensor[name]) for name in rest})
    first: dict[tuple[str, str], str] = {}
    for name in names:
        role = placement.roles[name]
        meaning = role.meaning
        twin = first.setdefault((meaning.name, role.shape), name)
        if meaning.name in ("values", "scores") and twin != name and case[twin].numel():
            offsets = torch.tensor(OFFSETS, dtype=torch.float64)
            repeated = offsets.repeat(case[twin].numel() // len(OFFSETS) + 1)[: case[twin].numel()]
            case[name] = case[twin] + repeated.reshape(case[twin].shape)
        elif meaning.name in ("scores", "relevances") and twin == name:
            case[name] = (2 * case[name]).round()
        elif meaning.name == "logits" and name not in flat:
            case[name] = 15 * case[name]
        elif meaning.name == "probabilities" and name not in flat:
            case[name] = _certain(case[name], placement, name)
        elif borders[name] and name not in flat and case[name].numel():
            case[name].view(-1)[: len(borders[name])] = torch.tensor(borders[name], dtype=torch.float64)[
                : case[name].numel()
            ]
    return case


def _certain(probabilities: Tensor, placement: Placement, name: str) -> Tensor:
    """Probabilities of exactly 0 and 1."""
    return (
        probabilities.round()
        if probabilities.ndim < 2
        else torch.where(probabilities == probabilities.amax(1, keepdim=True), 1.0, 0.0).double()
    )


def _ignored(source: Source, loss: Loss, placement: Placement, sets: list[Case]) -> Iterator[Case]:
    """Labels that are ignored in part and altogether, under several indices; weights of zero."""
    if placement.roles["labels"].meaning.kind != "index":
        return
    for number in range(max(len(sets), len(IGNORED))):
        parameters = sets[number % len(sets)]
        ignored = IGNORED[number % len(IGNORED)]
        case = tensors(source, loss, placement, optional=number % 2 == 0)
        labels = case["labels"].clone()
        labels.view(-1)[::2] = ignored
        for name in set(case) - {one.name for one in loss.tensors if one.required}:
            _without_one_class(case[name], labels[labels != ignored])
        yield {**case, **parameters, "labels": labels, "ignore_index": ignored}
        yield {**case, **parameters, "labels": torch.full_like(labels, ignored), "ignore_index": ignored}


def _without_one_class(weight: Tensor, labels: Tensor) -> None:
    """Sets the weight of a class to zero, but never those of all labels that count: their mean is not defined."""
    present = labels.unique().tolist()
    absent = [one for one in range(len(weight)) if one not in present]
    weight[present[0] if len(present) > 1 else absent[0]] = 0.0
