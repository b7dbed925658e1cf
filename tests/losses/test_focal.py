"""Focal loss against the definition, two other libraries, and its own identities; and where others break down."""

from __future__ import annotations

import itertools

import mpmath
import pytest
import torch
import torch.nn.functional as F
from kornia.losses import binary_focal_loss_with_logits, focal_loss
from torch import Tensor
from torch.autograd import gradcheck

from lossmeter.losses.binary import binary_focal
from lossmeter.losses.classification import focal
from tests.support.inputs import Source
from tests.support.references import REFERENCES

GAMMAS = (0.0, 0.05, 0.5, 1.0, 2.0, 5.0)
SATURATED = (-1e4, -120.0, -30.0, 0.0, 30.0, 120.0, 1e4)
every_gamma = pytest.mark.parametrize("gamma", GAMMAS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

# optax.sigmoid_focal_loss(LOGITS, LABELS, alpha=alpha, gamma=gamma) and the gradient of its sum with respect to the logits,
# in float64, computed with optax 0.2.8 and jax 0.10.2.
LOGITS = (-8.0, -2.5, -0.3, 0.0, 0.7, 3.0, 8.0)
LABELS = (0.0, 1.0, 0.25, 0.5, 1.0, 0.0, 1.0)
# fmt: off
OPTAX = [
    (None, 2.0,
     (3.771970342931269e-11, 2.202470097639714, 0.13478533958386452, 0.17328679513998632, 0.04439052374130767,
      2.766280441025262, 3.771970342931269e-11),
     (1.1312748666571775e-10, -1.1234030735546956, 0.10879714950877731, 0.0, -0.09585472244050613, 1.1267498806348886,
      -1.1312748666571775e-10)),
    (0.25, 2.0,
     (2.8289777571984518e-11, 0.5506175244099285, 0.08424083723991532, 0.08664339756999316, 0.011097630935326917,
      2.0747103307689465, 9.429925857328173e-12),
     (8.48456149992883e-11, -0.2808507683886739, 0.06799821844298581, 0.0, -0.023963680610126534, 0.8450624104761664,
      -2.8281871666429437e-11)),
    (0.25, 0.5,
     (4.6066138965924204e-06, 0.6197864737126084, 0.26758549830128586, 0.2450645358671368, 0.05806196077858205,
      2.2315637472376437, 1.5355379655308069e-06),
     (6.908375973138619e-06, -0.2456076227937008, 0.10997983150329425, 0.0, -0.06718171553546617, 0.7502005048841169,
      -2.3027919910462066e-06)),
    (0.7, 0.0,
     (0.00010062191186873067, 1.8052228140047846, 0.25174209778741086, 0.34657359027997264, 0.28223023421982046,
      0.9145762054721227, 0.00023478446102703817),
     (0.00010060503913994343, -0.6468992739851295, 0.07022299327533642, 0.0, -0.2322685594822837, 0.28577223804673,
      -0.00023474509132653462)),
    (0.9, 5.0,
     (1.4225374493962104e-22, 1.564474185211572, 0.004007597659198731, 0.010830424696249145, 0.0014595196213329695,
      0.2391071428755254, 1.2802837044565897e-21),
     (8.532600918387645e-22, -1.1540181343479137, 0.006410346933603557, 0.0, -0.0060773146665171725, 0.1314117252335982,
      -7.679340826548882e-21)),
]
# fmt: on


def close(actual: Tensor, expected: object, rtol: float = 1e-12, atol: float = 0.0) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=rtol, atol=atol)


def batch() -> tuple[Tensor, Tensor]:
    source = Source("focal batch")
    return 4 * source.normal(64, 5), source.indices(64, below=5)


@pytest.mark.parametrize(("alpha", "gamma", "values", "gradient"), OPTAX)
def test_binary_focal_is_that_of_optax(alpha: float | None, gamma: float, values: object, gradient: object) -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    losses = binary_focal(logits, torch.tensor(LABELS, dtype=torch.float64), alpha=alpha, gamma=gamma)
    close(losses.detach(), values)
    close(torch.autograd.grad(losses.sum(), logits)[0], gradient, atol=1e-16)


@every_gamma
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_binary_focal_is_that_of_kornia_for_hard_labels(alpha: float | None, gamma: float) -> None:
    source = Source("kornia")
    logits, labels = 4 * source.normal(64, 5), source.indices(64, 5, below=2).double()
    pos_weight = source.uniform(5, high=3.0)
    expected = binary_focal_loss_with_logits(logits, labels, alpha=alpha, gamma=gamma, pos_weight=pos_weight)
    close(binary_focal(logits, labels, alpha=alpha, gamma=gamma, pos_weight=pos_weight), expected)


@every_gamma
def test_focal_is_that_of_kornia(gamma: float) -> None:
    logits, labels = batch()
    alpha = Source("kornia").uniform(5, high=3.0)
    labels[::7] = -100
    expected = focal_loss(logits, labels, alpha=None, gamma=gamma, weight=alpha).sum(1)
    # kornia takes 1 - p of a rounded p, which costs it digits where p is near 1.
    close(focal(logits, labels, gamma=gamma, alpha=alpha), expected, atol=1e-15)


@every_gamma
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_focal_is_its_definition_in_fifty_digits(gamma: float, label_smoothing: float) -> None:
    logits, labels = batch()
    expected = REFERENCES["focal"](logits.numpy(), labels.numpy(), gamma=gamma, label_smoothing=label_smoothing)
    close(focal(logits, labels, gamma=gamma, label_smoothing=label_smoothing), expected)


@every_gamma
def test_binary_focal_is_its_definition_in_fifty_digits(gamma: float) -> None:
    source = Source("digits")
    logits, labels = 8 * source.normal(64), source.uniform(64).round(decimals=1)
    expected = REFERENCES["binary_focal"](logits.numpy(), labels.numpy(), gamma=gamma)
    close(binary_focal(logits, labels, gamma=gamma), expected)


@every_dtype
def test_focal_without_gamma_is_cross_entropy(dtype: torch.dtype) -> None:
    logits, labels = batch()
    logits = logits.to(dtype)
    labels[::5] = 3
    alpha = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=dtype)
    for label_smoothing, weight, ignore_index in itertools.product((0.0, 0.1), (None, alpha), (-100, 3)):
        given = {"label_smoothing": label_smoothing, "ignore_index": ignore_index}
        expected = F.cross_entropy(logits, labels, weight=weight, reduction="none", **given)
        # torch's cross entropy itself is exact to the rounding of the logits only.
        close(
            focal(logits, labels, gamma=0.0, alpha=weight, **given),
            expected,
            rtol=1e-5,
            atol=20 * torch.finfo(dtype).eps,
        )


@every_dtype
def test_binary_focal_without_gamma_and_alpha_is_binary_cross_entropy(dtype: torch.dtype) -> None:
    source = Source("identity")
    logits, labels = (4 * source.normal(64)).to(dtype), source.uniform(64).to(dtype)
    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    close(binary_focal(logits, labels, gamma=0.0, alpha=None), expected, rtol=20 * torch.finfo(dtype).eps)


@every_gamma
def test_focal_of_two_classes_is_binary_focal_of_their_difference(gamma: float) -> None:
    source = Source("two classes")
    logits, labels = 4 * source.normal(64, 2), source.indices(64, below=2)
    expected = binary_focal(logits[:, 1] - logits[:, 0], labels.double(), gamma=gamma, alpha=None)
    close(focal(logits, labels, gamma=gamma), expected)


def test_half_of_alpha_halves_every_element() -> None:
    logits, labels = torch.tensor([-2.0, 0.5, 3.0]), torch.tensor([0.0, 0.3, 1.0])
    close(binary_focal(logits, labels, alpha=0.5), binary_focal(logits, labels, alpha=None) / 2, rtol=1e-6)


def test_alpha_weighs_yes_and_its_complement_weighs_no() -> None:
    logits = torch.zeros(2, dtype=torch.float64)
    close(
        binary_focal(logits, torch.tensor([1.0, 0.0]).double(), alpha=0.9), [f * mpmath.log(2) / 4 for f in (0.9, 0.1)]
    )


def test_more_gamma_never_costs_more() -> None:
    logits, labels = batch()
    losses = [focal(logits, labels, gamma=gamma) for gamma in GAMMAS]
    assert all((less <= more).all() for more, less in itertools.pairwise(losses))
    assert all((less < more).any() for more, less in itertools.pairwise(losses))


@every_gamma
@every_dtype
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_saturated_logits_give_finite_values_and_gradients(
    gamma: float, dtype: torch.dtype, label_smoothing: float
) -> None:
    rows = torch.tensor(list(itertools.product(SATURATED, repeat=3)), dtype=dtype)
    for label in range(3):
        logits = rows.clone().requires_grad_()
        alpha = torch.tensor([1.0, 0.0, 2.0], dtype=dtype, requires_grad=True)
        labels = torch.full((len(rows),), label)
        losses = focal(logits, labels, gamma=gamma, alpha=alpha, label_smoothing=label_smoothing)
        for result in (losses, *torch.autograd.grad(losses.sum(), (logits, alpha))):
            assert result.isfinite().all()


@every_gamma
@every_dtype
def test_saturated_binary_logits_give_finite_values_and_gradients(gamma: float, dtype: torch.dtype) -> None:
    pairs = torch.tensor(list(itertools.product(SATURATED, (0.0, 1e-30, 0.5, 1.0))), dtype=dtype)
    logits, labels = (column.clone().requires_grad_() for column in pairs.unbind(1))
    losses = binary_focal(logits, labels, gamma=gamma, pos_weight=torch.tensor(3.0, dtype=dtype))
    for result in (losses, *torch.autograd.grad(losses.sum(), (logits, labels))):
        assert result.isfinite().all()


@every_gamma
def test_confident_answers_keep_their_digits(gamma: float) -> None:
    """At a logit of ±25 the probability of the right class is 1 - 1.4e-11; 1 - p of a rounded p has 5 digits left."""
    logits = torch.tensor([25.0, -25.0], dtype=torch.float64, requires_grad=True)
    losses = binary_focal(logits, torch.tensor([1.0, 0.0]).double(), gamma=gamma, alpha=None)
    pair = torch.tensor([[25.0, 0.0], [0.0, 25.0]], dtype=torch.float64, requires_grad=True)
    terms = focal(pair, torch.tensor([0, 1]), gamma=gamma)

    def definition(logit: object) -> object:
        p = 1 / (1 + mpmath.exp(-logit))
        return (1 - p) ** gamma * -mpmath.log(p)

    value, slope = float(definition(mpmath.mpf(25))), float(mpmath.diff(definition, 25))
    close(losses.detach(), [value, value])
    close(terms.detach(), [value, value])
    close(torch.autograd.grad(losses.sum(), logits)[0], [slope, -slope], rtol=1e-9)
    close(torch.autograd.grad(terms.sum(), pair)[0], [[slope, -slope], [-slope, slope]], rtol=1e-9)


@every_gamma
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_ties_between_the_likeliest_classes_are_smooth(gamma: float, label_smoothing: float) -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2])
    assert gradcheck(lambda z: focal(z, labels, gamma=gamma, label_smoothing=label_smoothing), logits, atol=1e-8)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@every_gamma
def test_a_single_class_is_always_right(gamma: float, label_smoothing: float) -> None:
    logits = torch.tensor([[3.0], [-1e4]], requires_grad=True)
    losses = focal(logits, torch.tensor([0, 0]), gamma=gamma, label_smoothing=label_smoothing)
    assert losses.tolist() == [0.0, 0.0]
    assert torch.autograd.grad(losses.sum(), logits)[0].tolist() == [[0.0], [0.0]]


def test_ignored_labels_cost_nothing_and_pull_nothing() -> None:
    logits, labels = batch()
    labels[:10] = -100
    losses = focal(logits.requires_grad_(), labels, label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert (losses[:10] == 0).all()
    assert (losses[10:] > 0).all()
    assert (gradient[:10] == 0).all()
    assert (gradient[10:] != 0).all()
