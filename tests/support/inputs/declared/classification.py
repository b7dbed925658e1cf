"""Losses for one class of several."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _linear(source: Source) -> Iterator[Case]:
    case = {"features": source.normal(4, 3), "classifier": source.normal(5, 3), "weight": source.uniform(5)}
    yield {**case, "labels": torch.tensor([0, -100, 4, -100])}
    yield {**case, "labels": torch.tensor([0, 2, 4, 2]), "ignore_index": 2, "label_smoothing": 0.1}
    yield {**case, "labels": torch.full((4,), 2), "ignore_index": 2}


FOCUS = {"gamma": (0.0, 0.5, 3.0)}
DECLARED = {
    "focal": Inputs(parameters=FOCUS),
    "binary_focal": Inputs(parameters=FOCUS),
    "linear_cross_entropy": Inputs(edges=_linear),
}
