"""Losses for numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.support.inputs.declared._inputs import Inputs
from tests.support.inputs.declared.distributions import SPREAD
from tests.support.inputs.source import Case, Source


def _numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _not_negative(source: Source, case: Case) -> Case:
    return {**case, **{role: case[role].abs() for role in ("predictions", "labels")}}


def _negative(source: Source) -> Iterator[Case]:
    yield {"predictions": _numbers(-0.5, -1 + 1e-6, 1e6, -0.2), "labels": _numbers(-0.5, 1e9, -1 + 1e-6, -0.2 + 1e-9)}


def _positive(source: Source, case: Case) -> Case:
    """Means and observations above 0, which every power allows."""
    return {**case, **{role: case[role].abs() + 0.2 for role in ("predictions", "labels")}}


def _deviating(source: Source) -> Iterator[Case]:
    pairs = {
        "predictions": _numbers(0.5, 2.0, 1e-6, 1e6, 1.0, 3.0),
        "labels": _numbers(0.0, 0.0, 1.0, 1.0, 1.0 + 1e-9, 2e5),
    }
    yield from ({**pairs, "power": power} for power in (1.0, 1.01, 1.5, 1.99))
    negative = {**pairs, "labels": _numbers(-2.0, 0.0, 1.0, 1.0, 1.0 + 1e-9, 2e5)}
    yield {**negative, "power": -1.0}
    yield {**negative, "predictions": -pairs["predictions"], "power": 0.0}
    yield {**pairs, "labels": pairs["labels"] + 0.1, "power": 3.0}
    for shape in ((0,), (0, 3)):
        yield {"predictions": source.normal(*shape), "labels": source.normal(*shape)}


QUANTILES = ([0.5], [0.1, 0.9], [0.05, 0.5, 0.6, 0.95])


def _spread_quantiles(source: Source) -> Iterator[Case]:
    for shape in ((), (5,), (4, 3), (2, 3, 2)):
        for quantiles in QUANTILES:
            case = {"predictions": source.normal(*shape, len(quantiles)), "labels": source.normal(*shape)}
            yield case if quantiles == [0.5] else {**case, "quantiles": quantiles}


def _tied_quantiles(source: Source) -> Iterator[Case]:
    yield {"predictions": _numbers(0.0, 1.0, 2.0).reshape(3, 1), "labels": _numbers(0.0, 0.0, 1e6)}
    for shape in ((0,), (0, 3)):
        yield {"predictions": source.normal(*shape, 2), "labels": source.normal(*shape), "quantiles": [0.2, 0.7]}


def _one_member(source: Source) -> Iterator[Case]:
    for fair in (False, True):
        yield {"predictions": source.normal(4, 1), "labels": source.normal(4), "fair": fair}
        yield {
            "predictions": torch.ones(4, 3, dtype=torch.float64),
            "labels": _numbers(1.0, 1.0, 2.0, -1e6),
            "fair": fair,
        }


def _directions(source: Source) -> Iterator[Case]:
    vectors = source.normal(6, 3)
    vectors[0], vectors[1] = 0.0, 1e-10 * vectors[1]
    others = torch.stack([vectors[0], vectors[1], vectors[2], -vectors[3], vectors[4] * (1 + 1e-7), 0 * vectors[5]])
    yield {"predictions": vectors, "labels": others}
    yield {"predictions": 1e30 * vectors, "labels": 1e-20 * others, "epsilon": 1e-35}


def _spread(source: Source) -> Iterator[Case]:
    for shape, variances in SPREAD:
        for parameters in ({}, {"full": True, "beta": 1.0}, {"eps": 0.1, "beta": 0.2}, {"beta": 0.0}):
            case = {"predictions": source.normal(*shape), "labels": source.normal(*shape), **parameters}
            yield {**case, "variance": source.uniform(*variances, low=0.2, high=4.0)}


def _spread_edges(source: Source) -> Iterator[Case]:
    yield {"predictions": source.normal(5), "labels": source.normal(5), "variance": _numbers(0.0, 1e-9, 1e-6, 0.3, 1e6)}
    for shape in ((0, 3), (0, 1), (0,)):
        yield {"predictions": source.normal(0, 3), "labels": source.normal(0, 3), "variance": source.uniform(*shape)}


def _counted(source: Source) -> Iterator[Case]:
    """Few and many events, and dispersions on both sides of where the computation changes."""
    rates, counts = _numbers(1e-9, 0.3, 7.0, 5e5, 1e6), _numbers(0.0, 1.0, 2.5, 40.0, 1e6)
    for alpha in (0.0, 1e-12, 1e-3, 1 / 16, 0.07, 1.0, 1e3):
        yield {"predictions": rates, "labels": counts, "dispersion": torch.full_like(rates, alpha)}


DECLARED = {
    "barron": Inputs(parameters={"alpha": (2.0, 0.0, -2.0, 3.5, -1e8, 1e-9), "scale": (0.3, 2.5)}),
    "mape": Inputs(parameters={"epsilon": (0.01, 3.0)}),
    "charbonnier": Inputs(parameters={"epsilon": (0.01, 3.0)}),
    "msle": Inputs(arrange=_not_negative, edges=_negative),
    "tweedie": Inputs(
        parameters={"power": (1.0, 2.0, 0.0, 1.2, 1.9, 3.0, -1.0)},
        arrange=_positive,
        edges=_deviating,
        generate_edges=False,
    ),
    "quantile": Inputs(smooth=_spread_quantiles, edges=_tied_quantiles, generate_edges=False),
    "crps_ensemble": Inputs(edges=_one_member),
    "cosine_distance": Inputs(edges=_directions),
    "beta_nll": Inputs(smooth=_spread, edges=_spread_edges, generate_edges=False),
    "student_t_nll": Inputs(parameters={"df": (1.0, 2.5, 299.0, 301.0, 1e9)}),
    "negative_binomial_nll": Inputs(edges=_counted),
}
