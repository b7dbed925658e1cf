"""Losses that are alone in their kind."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source


def _watched(source: Source, case: Case) -> Case:
    """At least every other sample has the event."""
    events = case["events"].clone()
    events[::2] = 1.0
    return {**case, "events": events}


def _tied(source: Source) -> Iterator[Case]:
    case = {
        "predictions": 10 * source.normal(6),
        "times": torch.tensor([2.0, 1.0, 2.0, 0.0, 1.0, 2.0], dtype=torch.float64),
    }
    yield {**case, "events": torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)}
    yield {**case, "events": torch.zeros(6, dtype=torch.float64)}
    yield {**case, "times": torch.ones(6, dtype=torch.float64), "events": torch.ones(6, dtype=torch.float64)}
    yield {**case, "predictions": 1e5 * case["predictions"], "events": torch.ones(6, dtype=torch.float64)}


def _known(source: Source) -> Iterator[Case]:
    yield {"mean": torch.zeros(4, 3, dtype=torch.float64), "log_variance": 1e-5 * source.normal(4, 3)}
    yield {"mean": source.normal(4, 3), "log_variance": 100 * source.normal(4, 3).sign()}


DECLARED = {"cox_ph": Inputs(arrange=_watched, edges=_tied), "vae_kl": Inputs(edges=_known)}
