"""Losses for distributions."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.source import Case, Source

EMPTY = ((0,), (0, 3))


def _logarithms(source: Source, case: Case) -> Case:
    """Labels are probabilities, and under `log_target` their logarithms."""
    labels = source.uniform(*case["labels"].shape, low=0.02, high=0.98)
    return {**case, "labels": labels.log() if case.get("log_target") else labels}


def _certain(source: Source) -> Iterator[Case]:
    certain = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    yield {"predictions": source.distribution(2, 3).log(), "labels": certain}


def _rates(source: Source, case: Case) -> Case:
    """Without `log_input` predictions are rates; Stirling's term begins at labels above 1, with a jump."""
    shape = case["labels"].shape
    case = {**case, "labels": source.uniform(*shape, low=1.5, high=9.0)}
    return case if case.get("log_input", True) else {**case, "predictions": source.uniform(*shape, low=0.1, high=9.0)}


def _counted_edges(source: Source) -> Iterator[Case]:
    labels = torch.tensor([0.0, 1.0, 2.0, 1.5, 1000.0, -1.0], dtype=torch.float64)
    for full in (False, True):
        yield {"predictions": source.normal(6), "labels": labels, "full": full}
        yield {"predictions": source.uniform(6) * labels.abs(), "labels": labels, "full": full, "log_input": False}
    for shape in EMPTY:
        yield {"predictions": source.normal(*shape), "labels": source.uniform(*shape)}


# Predictions and variances: the same, one variance per sample, the last dimension of size 1, another one of size 1.
SPREAD = (
    ((), ()),
    ((5,), (5,)),
    ((2, 3, 2), (2, 3, 2)),
    ((4, 3), (4,)),
    ((3,), ()),
    ((4, 3), (4, 1)),
    ((2, 3, 2), (2, 1, 2)),
)


def _spread(source: Source) -> Iterator[Case]:
    for shape, variances in SPREAD:
        for parameters in ({}, {"full": True}, {"eps": 0.1}):
            variance = source.uniform(*variances, low=0.2, high=4.0)
            yield {
                "predictions": source.normal(*shape),
                "labels": source.normal(*shape),
                "variance": variance,
                **parameters,
            }


def _spread_edges(source: Source) -> Iterator[Case]:
    variance = torch.tensor([0.0, 1e-9, 1e-6, 0.3, 1e6], dtype=torch.float64)
    for parameters in ({}, {"eps": 0.3}):
        yield {"predictions": source.normal(5), "labels": source.normal(5), "variance": variance, **parameters}
    for shape in ((0, 3), (0, 1), (0,)):
        yield {"predictions": source.normal(0, 3), "labels": source.normal(0, 3), "variance": source.uniform(*shape)}


DECLARED = {
    "kl_div": Inputs(arrange=_logarithms, edges=_certain),
    "poisson_nll": Inputs(arrange=_rates, edges=_counted_edges, generate_edges=False),
    "gaussian_nll": Inputs(smooth=_spread, edges=_spread_edges, generate_edges=False),
}
