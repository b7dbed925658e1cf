"""Losses that are alone in their kind: identities, other libraries and extreme numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from lossmeter.losses import LOSSES, Support
from tests.support.inputs import Source

F64 = torch.float64


def value(name: str, *roles: Any) -> Tensor:
    return LOSSES[name].function(*(torch.as_tensor(one, dtype=F64) for one in roles))


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def test_vae_kl_is_the_divergence_of_normal_distributions() -> None:
    source = Source("codes")
    mean, log_variance = source.normal(20, 4), source.normal(20, 4)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    close(value("vae_kl", mean, log_variance), expected)


def test_vae_kl_near_its_minimum_keeps_its_digits() -> None:
    close(value("vae_kl", [[1e-9, 0.0]], [[0.0, 1e-6]]), [(1e-18 + 0.5e-12) / 2], rtol=1e-6, atol=0)
    assert value("vae_kl", [[0.0]], [[0.0]]).item() == 0


def test_wasserstein_is_scipys_and_does_not_depend_on_the_order() -> None:
    source = Source("samples")
    x, y = source.normal(10, 30), source.normal(10, 30) * 2
    expected = [stats.wasserstein_distance(a, b) for a, b in zip(x, y, strict=True)]
    close(value("wasserstein_1d", x, y), expected)
    assert torch.equal(value("wasserstein_1d", x.flip(1), y), value("wasserstein_1d", x, y))
    close(value("wasserstein_1d", x, x + 3), np.full(10, 3.0))


def survival() -> tuple[Tensor, Tensor, Tensor]:
    source = Source("survival")
    return source.normal(40), source.uniform(40, high=5.0), source.indices(40, below=2).double()


def test_cox_is_breslows_partial_likelihood() -> None:
    risk, times, events = survival()
    times = times.round(decimals=1)  # with ties
    expected = 0.0
    for n in range(40):
        if events[n]:
            expected -= float(risk[n]) - math.log(sum(math.exp(risk[j]) for j in range(40) if times[j] >= times[n]))
    close(value("cox_ph", risk, times, events).sum(), expected)


def test_cox_of_the_first_event_is_cross_entropy() -> None:
    risk, times, events = survival()
    first = int(times.argmin())
    events = torch.zeros(40, dtype=F64)
    events[first] = 1.0
    expected = torch.nn.functional.cross_entropy(risk, torch.tensor(first))
    close(value("cox_ph", risk, times, events).sum(), expected)


def test_cox_depends_on_the_order_of_times_and_the_differences_of_risks_alone() -> None:
    risk, times, events = survival()
    close(value("cox_ph", risk + 7, times.exp(), events), value("cox_ph", risk, times, events), rtol=1e-10)
    turned = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    close(value("cox_ph", risk[turned], times[turned], events[turned]), value("cox_ph", risk, times, events)[turned])


def test_only_events_count() -> None:
    loss = LOSSES["cox_ph"]
    assert loss.support is not None
    support = loss.support({"events": torch.tensor([1.0, 0.0, 1.0])})
    assert isinstance(support, Support)
    assert support.counted is not None
    assert support.counted.tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 1e30])
def test_risks_of_every_size_give_finite_values_and_gradients(size: float, dtype: torch.dtype) -> None:
    risk, times, events = (one.to(dtype) for one in survival())
    times[:20] = 1.0
    for scaled in (size * risk, size * risk.abs(), -size * risk.abs(), size * torch.ones_like(risk)):
        leaf = scaled.clone().requires_grad_()
        values = LOSSES["cox_ph"].function(leaf, times, events)
        assert values.isfinite().all()
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        assert gradient.isfinite().all()
        if size <= 1.0 or scaled.unique().numel() == 1:
            assert gradient.sum().abs() < 1e-5
