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


def _ties(source: Source) -> Iterator[Case]:
    """Classes of no sample, of one and of many; all of them without any."""
    for counts in ([0.0, 1.0, 50.0, 1e9], [7.0, 7.0, 7.0, 7.0], [0.0, 0.0, 0.0, 0.0]):
        case = {"predictions": source.normal(5, 4), "labels": torch.tensor([0, 1, 2, 3, -100])}
        yield {**case, "counts": torch.tensor(counts, dtype=torch.float64)}


def _certain(source: Source) -> Iterator[Case]:
    """Probabilities of exactly 0 and 1, and equal distributions."""
    logarithms = torch.tensor([[0.0, -1e4], [-1e4, 0.0], [-1.0, -0.5]], dtype=torch.float64)
    yield {"predictions": logarithms, "labels": torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.3, 0.7]], dtype=torch.float64)}
    yield {"predictions": logarithms[2:], "labels": logarithms[2:].exp()}


def _taught(source: Source) -> Iterator[Case]:
    logarithms = source.distribution(4, 3).log()
    yield {"predictions": logarithms, "teacher": logarithms}
    yield {"predictions": logarithms, "teacher": logarithms.flip(0) - 1e4, "beta": 0.3}


def _softened(source: Source) -> Iterator[Case]:
    logits = source.normal(4, 3)
    yield {"predictions": logits, "teacher": logits + 1e-6 * source.normal(4, 3)}
    yield {"predictions": logits, "teacher": 100 * logits.flip(0), "temperature": 0.1}
    yield {"predictions": logits, "teacher": source.normal(4, 3), "temperature": 300.0}


FOCUS = {"gamma": (0.0, 0.5, 3.0)}
DECLARED = {
    "focal": Inputs(parameters=FOCUS),
    "binary_focal": Inputs(parameters=FOCUS),
    "linear_cross_entropy": Inputs(edges=_linear),
    "poly1": Inputs(parameters={"epsilon": (0.0, -1.0, -2.0, 2.0)}),
    "symmetric_cross_entropy": Inputs(parameters={"log_zero": (0.0, -6.0)}),
    "class_balanced_cross_entropy": Inputs(edges=_ties),
    "ldam": Inputs(edges=_ties),
    "js_div": Inputs(edges=_certain),
    "generalized_jsd": Inputs(edges=_taught),
    "distillation": Inputs(edges=_softened),
}
