"""Logarithms that keep their digits: of numbers near each other, and of numbers whose squares overflow."""

from __future__ import annotations

import torch
from torch import Tensor


def log_ratio(numerator: Tensor, denominator: Tensor, difference: Tensor) -> Tensor:
    """log(numerator / denominator) of positive numbers, given their difference: exact however near they are."""
    near = difference.abs() < denominator / 2
    ratio = torch.where(near, difference, 0.0) / torch.where(near, denominator, 1.0)
    far = torch.where(near, 1.0, numerator).log() - torch.where(near, 1.0, denominator).log()
    return torch.where(near, ratio.log1p(), far)


def log1p_square(number: Tensor, unit: Tensor) -> Tensor:
    """log(1 + (number / unit)²), also where the quotient or its square overflows."""
    size = number.abs()
    small = size < unit
    near = (torch.where(small, size, 0.0) / unit).square().log1p()
    large = torch.where(small, unit, size)
    return torch.where(small, near, 2 * (large.log() - unit.log()) + (unit / large).square().log1p())


def excess(observed: Tensor, expected: Tensor, difference: Tensor) -> Tensor:
    """observed log(observed / expected) - difference: half of a Poisson deviance, given observed - expected.

    It is never negative, and 0 only where the two are equal. An observation of 0 costs what was expected.
    """
    absent = observed == 0
    ratio = log_ratio(torch.where(absent, expected, observed), expected, torch.where(absent, 0.0, difference))
    return observed * ratio - difference


def divergence(log_true: Tensor, log_model: Tensor) -> Tensor:
    """p (log p - log q) - p + q for log-probabilities: a term of a Kullback-Leibler divergence, never negative.

    The terms of distributions sum to the same as those without -p + q, and keep their digits where p is near q.
    """
    difference = log_true - log_model
    near = difference.abs() < 1
    small = torch.where(near, difference, 0.0)
    true = log_true.exp()
    return true * torch.where(near, torch.expm1(-small) + small, difference) + torch.where(
        near, 0.0, log_model.exp() - true
    )
