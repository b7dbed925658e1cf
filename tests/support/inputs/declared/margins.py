"""Losses for margins."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _listed(source: Source) -> Iterator[Case]:
    """No class at all, every class, and one class twice."""
    yield {"predictions": source.normal(3, 3), "labels": torch.tensor([[-1, 0, 1], [0, 1, 2], [1, 1, -1]])}


def _ranges(source: Source) -> Iterator[Case]:
    """A sigmoid that saturates, and the border of a margin, with both labels."""
    for label in (-1.0, 1.0):
        predictions = torch.tensor([-20.0, -1.0, 0.0, 1.0, 20.0], dtype=torch.float64)
        yield {"predictions": predictions, "labels": torch.full_like(predictions, label)}


DECLARED = {
    "multilabel_margin": Inputs(edges=_listed),
    "soft_margin": Inputs(edges=_ranges),
    "hinge_embedding": Inputs(edges=_ranges),
}
