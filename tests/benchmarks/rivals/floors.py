"""Losses as few operations of torch by hand, forward and backward, over rows that fit the cache: the least that was found.

They hold for the figures of the benchmark alone: nothing is checked, and extreme numbers are not looked after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

ROWS = 131

Floor = Callable[..., tuple[Tensor, Tensor]]
"""Gives the sum of the values of some rows, and its gradient with respect to the predictions."""


def whole(function: Floor, tensors: Mapping[str, Tensor]) -> Callable[[], object]:
    """The mean of all rows and its gradient."""
    rows = len(next(iter(tensors.values())))

    def step() -> tuple[float, Tensor]:
        gradient = torch.empty_like(tensors["predictions"])
        total = 0.0
        for start in range(0, rows, ROWS):
            part = {name: tensor[start : start + ROWS] for name, tensor in tensors.items()}
            value, given = function(**part)
            torch.mul(given, 1 / rows, out=gradient[start : start + ROWS])
            total += value.item()
        return total / rows, gradient

    return step


def js_div(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    p = predictions.exp()
    middle = (p + labels).mul_(0.5).log_()
    ratio = torch.sub(labels.log(), middle)
    value = (ratio * labels).sum()
    gradient = (predictions - middle).mul_(p)
    return (value + gradient.sum()) / 2, gradient.mul_(0.5)


def generalized_jsd(predictions: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    student, taught = predictions.exp(), teacher.exp()
    middle = (student + taught).mul_(0.5).log_()
    value = (teacher - middle).mul_(taught).sum()
    gradient = (predictions - middle).mul_(student)
    return (value + gradient.sum()) / 2, gradient.mul_(0.5)


def distillation(predictions: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    student, taught = (predictions / 4).log_softmax(1), (teacher / 4).log_softmax(1)
    probabilities = taught.exp()
    value = taught.sub_(student).mul_(probabilities).sum()
    return 16 * value, student.exp_().sub_(probabilities).mul_(4)


def asymmetric(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """With one exponential and one logarithm; powers as products."""
    missing = labels - 1
    signs = torch.rsub(labels, 1, alpha=2)
    odds = (predictions * signs).exp_()  # of what is wrong
    right = (odds + 1).reciprocal_()
    wrong = odds * right
    denied = torch.add(wrong, missing, alpha=0.05).relu_()
    taken = missing * denied
    # The loss of a present label is log(1 + odds), that of an absent one log(1 - denied).
    given = odds.mul_(labels).add_(taken)
    logs = given.log1p()
    weights = (taken * denied.square()).add_(labels)
    value = denied.mul_(weights).mul_(logs).sum()
    rest = torch.addcmul(missing.new_ones(()), missing, given, value=-1)
    gradient = given.div_(rest).addcmul_(torch.rsub(labels, 4, alpha=3), logs)
    size = predictions.shape[1]
    return value / size, gradient.mul_(wrong).mul_(right).mul_(weights).mul_(signs.div_(size))


def corn(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    size, dtype = predictions.shape[1], predictions.dtype
    gaps = (2 * labels.to(dtype) - 1).unsqueeze(1) - torch.arange(0, 2 * size, 2, dtype=dtype)
    signs = gaps.clamp(-1, 1).neg_()
    asked = gaps.add_(2).clamp_(0, 1)
    odds = (predictions * signs).exp_()
    value = odds.log1p().mul_(asked).sum()
    return value, odds.div_(odds + 1).mul_(signs.mul_(asked))


def binary_focal(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For labels of 0 and 1 alone."""
    signs = torch.rsub(labels, 1, alpha=2)
    odds = (predictions * signs).exp_()
    right = (odds + 1).reciprocal_()
    wrong = odds * right
    logs = odds.log1p_()
    weights = wrong.square().mul_(signs.mul(0.25).add_(0.5))
    value = (weights * logs).sum()
    gradient = logs.mul_(right).mul_(2).add_(wrong).mul_(weights).mul_(signs)
    size = predictions.shape[1]
    return value / size, gradient.div_(size)


FLOORS: Mapping[str, Floor] = {
    function.__name__: function for function in (js_div, generalized_jsd, distillation, asymmetric, corn, binary_focal)
}
