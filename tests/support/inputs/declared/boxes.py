"""Losses for boxes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _boxes(source: Source, count: int, box_format: str) -> Tensor:
    """Boxes of the unit square and around it: some of a pair meet and some do not."""
    place, size = source.uniform(count, 2, low=-0.5, high=1.0), source.uniform(count, 2, low=0.2, high=1.5)
    return torch.cat([place, place + size if box_format == "xyxy" else size], dim=1)


def _placed(source: Source, case: Case) -> Case:
    box_format = case.get("box_format", "xyxy")
    return {**case, **{role: _boxes(source, len(case[role]), box_format) for role in ("predictions", "labels")}}


PAIRS = [
    ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]),  # equal
    ([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 3.0, 3.0]),  # with a common corner
    ([0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 2.0, 3.0]),  # one inside the other
    ([0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]),  # a point
    ([3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]),  # the same point
    ([0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 2.0]),  # lines
    ([0.0, 0.0, 1e5, 1e5], [1.0, 1.0, 1e5, 1e5]),
]


def _touching(source: Source) -> Iterator[Case]:
    first, second = (torch.tensor(side, dtype=torch.float64) for side in zip(*PAIRS, strict=True))
    for parameters in ({}, {"epsilon": 1e-3}, {"box_format": "xywh"}, {"box_format": "cxcywh"}):
        yield {"predictions": first, "labels": second, **parameters}


BOXES = Inputs(parameters={"epsilon": (1e-3, 0.5)}, arrange=_placed, edges=_touching)
DECLARED = {"iou": BOXES, "giou": BOXES, "diou": BOXES, "ciou": BOXES}
