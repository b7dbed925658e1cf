"""Losses for sequences."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _spoken(source: Source) -> Iterator[Case]:
    batch = {
        "predictions": source.normal(5, 3, 3).log_softmax(-1),
        "prediction_lengths": torch.tensor([5, 4, 3]),
        "label_lengths": torch.tensor([2, 1, 2]),
    }
    yield {**batch, "labels": torch.tensor([[1, 2], [2, -1], [1, 2]])}
    yield {**batch, "labels": torch.tensor([1, 1, 2, 1, 2])}
    yield {**batch, "labels": torch.tensor([[0, 1], [1, 2], [0, 0]]), "blank": 2}
    yield {
        "predictions": source.normal(4, 3).log_softmax(-1),
        "labels": torch.tensor([2, 1]),
        "prediction_lengths": torch.tensor(4),
        "label_lengths": torch.tensor(2),
    }


def _spoken_edges(source: Source) -> Iterator[Case]:
    batch = {
        "predictions": source.normal(3, 4, 3).log_softmax(-1),
        "labels": torch.tensor([[1, 1, 1], [1, 2, 7], [2, 2, 0], [5, 5, 5]]),
        "prediction_lengths": torch.tensor([3, 3, 0, 0]),
        "label_lengths": torch.tensor([3, 2, 1, 0]),
    }
    yield batch
    yield {**batch, "zero_infinity": True}
    yield {**batch, "labels": torch.zeros(4, 0, dtype=torch.int64), "label_lengths": torch.zeros(4, dtype=torch.int64)}
    yield {**batch, "labels": torch.zeros(0, dtype=torch.int64), "label_lengths": torch.zeros(4, dtype=torch.int64)}


DECLARED = {"ctc": Inputs(smooth=_spoken, edges=_spoken_edges, generate_edges=False)}
