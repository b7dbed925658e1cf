"""Losses for tokens against those that they generalise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses import LOSSES
from tests.support.inputs import Source


def call(name: str, **given: Any) -> Tensor:
    values: Tensor = LOSSES[name].function(**given)
    return values


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_token_cross_entropy_is_cross_entropy_with_the_classes_last(smoothing: float) -> None:
    source = Source("tokens")
    logits, labels = source.normal(3, 4, 7), source.indices(3, 4, below=7)
    labels[0, 1] = -100
    ours = call("token_cross_entropy", predictions=logits, labels=labels, label_smoothing=smoothing)
    theirs = call("cross_entropy", predictions=logits.movedim(-1, 1), labels=labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_z_loss_pulls_the_denominator_towards_one() -> None:
    logits = (Source("z").normal(2, 3, 5) + 4).requires_grad_()
    labels = torch.zeros(2, 3, dtype=torch.int64)
    plain, with_z = (call("token_cross_entropy", predictions=logits, labels=labels, z_loss=z) for z in (0.0, 0.01))
    difference = (with_z - plain).sum()
    normalizer = logits.logsumexp(-1)
    torch.testing.assert_close(difference, 0.01 * normalizer.square().sum())
    (found,) = torch.autograd.grad(difference, logits)
    torch.testing.assert_close(found, 0.02 * normalizer.unsqueeze(-1) * logits.softmax(-1))


def test_ignored_tokens_have_neither_value_nor_gradient() -> None:
    logits = Source("ignored").normal(1, 3, 5).requires_grad_()
    labels = torch.tensor([[-100, 2, -100]])
    values = call("token_cross_entropy", predictions=logits, labels=labels, z_loss=0.1, label_smoothing=0.1)
    (found,) = torch.autograd.grad(values.sum(), logits)
    assert values[0, [0, 2]].tolist() == [0, 0]
    assert found[0, [0, 2]].abs().max() == 0
    assert found[0, 1].abs().min() > 0


def test_distillation_over_all_tokens_is_the_whole_divergence() -> None:
    source = Source("whole")
    student, teacher = (source.normal(2, 3, 9).log_softmax(-1) for _ in range(2))
    for direction, true, model in (("forward", teacher, student), ("reverse", student, teacher)):
        whole = F.kl_div(model, true, log_target=True, reduction="none").sum(-1)
        for tail in (False, True):
            ours = call("topk_distillation", predictions=student, teacher=teacher, direction=direction, tail=tail)
            torch.testing.assert_close(ours, whole, rtol=1e-9, atol=1e-11)


def test_the_tail_makes_a_divergence_that_is_never_above_the_whole_one() -> None:
    source = Source("tail")
    student, teacher = (2 * source.normal(40, 1, 50) for _ in range(2))
    student, teacher = student.log_softmax(-1), teacher.log_softmax(-1)
    whole = (teacher.exp() * (teacher - student)).sum(-1)
    likeliest = teacher.topk(8, dim=-1).indices
    given = {"predictions": student.gather(-1, likeliest), "teacher": teacher.gather(-1, likeliest)}
    with_tail = call("topk_distillation", **given)
    assert (with_tail >= 0).all()
    assert (with_tail <= whole + 1e-12).all()
    assert call("topk_distillation", predictions=given["teacher"], teacher=given["teacher"]).abs().max() < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_teacher_or_student_that_is_certain_has_finite_values_and_gradients(
    direction: str, dtype: torch.dtype
) -> None:
    certain = torch.tensor([[[0.0, -1e9], [-1e-9, -90.0], [-1e6, -1e6], [-0.7, -0.7], [1e-7, -20.0]]], dtype=dtype)
    for tail in (False, True):
        for student, teacher in ((certain, certain.flip(1)), (certain, certain)):
            leaves = [student.clone().requires_grad_(), teacher.clone().requires_grad_()]
            values = call("topk_distillation", predictions=leaves[0], teacher=leaves[1], direction=direction, tail=tail)
            assert values.isfinite().all()
            assert all(one.isfinite().all() for one in torch.autograd.grad(values.sum(), leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_logits_of_any_size_have_finite_values_and_gradients(dtype: torch.dtype) -> None:
    logits = torch.tensor(
        [[[1e9, -1e9, 0.0], [-1e15, -1e15, -1e15], [88.0, 89.0, 90.0]]], dtype=dtype, requires_grad=True
    )
    labels = torch.tensor([[1, 0, 2]])
    values = call("token_cross_entropy", predictions=logits, labels=labels, z_loss=1e-4, label_smoothing=0.1)
    (found,) = torch.autograd.grad(values.sum(), logits)
    assert values.isfinite().all()
    assert found.isfinite().all()
