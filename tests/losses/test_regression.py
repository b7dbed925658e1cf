"""Losses for numbers: identities, other libraries, and numbers at which the formulas as written break down."""

from __future__ import annotations

from typing import Any

import kornia.losses
import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch import Tensor

from lossmeter.losses import LOSSES
from tests.support.inputs import Source, smooth
from tests.support.references import REFERENCES

F64 = torch.float64


def value(name: str, *roles: Any, **parameters: Any) -> Tensor:
    tensors = [torch.as_tensor(role, dtype=F64) if not isinstance(role, Tensor) else role for role in roles]
    return LOSSES[name].function(*tensors, **parameters)


def pairs(*shape: int) -> tuple[Tensor, Tensor]:
    source = Source("pairs")
    return source.normal(*shape), source.normal(*shape)


def positives(count: int = 64) -> tuple[Tensor, Tensor]:
    source = Source("positives")
    return source.uniform(count, low=0.1, high=9.0), source.uniform(count, low=0.1, high=9.0)


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-14) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def test_log_cosh_is_half_the_square_near_zero_and_the_size_less_log_2_far_away() -> None:
    close(value("log_cosh", [1e-9, -1e-5], [0.0, 0.0]), [5e-19, 5e-11], rtol=1e-9, atol=0)
    close(value("log_cosh", [1e6, -1e300], [0.0, 0.0]), [1e6 - np.log(2), 1e300])


def test_the_gradient_of_log_cosh_is_the_hyperbolic_tangent() -> None:
    x = torch.tensor([-1e6, -2.0, -1.0, -1e-9, 0.0, 0.5, 1.0, 1e6], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value("log_cosh", x, torch.zeros(8, dtype=F64)).sum(), x)
    close(gradient, x.detach().tanh())


def test_quantile_one_half_is_half_of_mae() -> None:
    x, y = pairs(50)
    close(value("quantile", x.unsqueeze(-1), y), value("mae", x, y) / 2)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.95])
def test_quantile_is_scikit_learns_pinball_loss(alpha: float) -> None:
    x, y = pairs(50)
    mean = value("quantile", x.unsqueeze(-1), y, quantiles=[alpha]).mean()
    close(mean, metrics.mean_pinball_loss(y, x, alpha=alpha))


def test_quantiles_of_one_call_are_the_mean_of_single_ones() -> None:
    x, y = pairs(50, 3)[0], pairs(50)[1]
    levels = [0.1, 0.5, 0.8]
    single = [value("quantile", x[:, [k]], y, quantiles=[level]) for k, level in enumerate(levels)]
    close(value("quantile", x, y, quantiles=levels), sum(single) / 3)  # type: ignore[arg-type]


def test_expectile_one_half_is_half_of_mse() -> None:
    x, y = pairs(50)
    close(value("expectile", x, y), value("mse", x, y) / 2)


def test_a_high_tau_punishes_predictions_that_are_too_low() -> None:
    assert value("expectile", [0.0, 2.0], [1.0, 1.0], tau=0.9).tolist() == pytest.approx([0.9, 0.1])


def test_barron_of_two_is_half_of_mse_and_of_minus_infinity_is_welschs() -> None:
    x, y = pairs(50)
    close(value("barron", x, y, alpha=2.0), value("mse", x, y) / 2)
    close(value("barron", x, y, alpha=2.0 + 1e-12), value("mse", x, y) / 2, rtol=1e-9)
    close(value("barron", x, y, alpha=-1e12), -torch.expm1(-(x - y).square() / 2), rtol=1e-9)


def test_barron_of_one_is_charbonnier_less_epsilon() -> None:
    x, y = pairs(50)
    close(value("barron", x, y, scale=0.3), (value("charbonnier", x, y, epsilon=0.3) - 0.3) / 0.3, atol=1e-12)


@pytest.mark.parametrize(
    ("alpha", "function"),
    [
        (1.0, kornia.losses.charbonnier_loss),
        (0.0, kornia.losses.cauchy_loss),
        (-2.0, kornia.losses.geman_mcclure_loss),
        (-1e12, kornia.losses.welsch_loss),
    ],
)
def test_barron_is_that_of_kornia(alpha: float, function: Any) -> None:
    x, y = pairs(50, 3)
    close(value("barron", x, y, alpha=alpha), function(x, y), rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [-1e30, -1e16, -1e4, -10.0, -2.0, -0.5, -1e-9, -1e-20, 1e-20, 1e-9, 0.5, 1e16, 1e30])
def test_barron_keeps_its_digits_from_the_smallest_errors_to_outliers(alpha: float, dtype: torch.dtype) -> None:
    errors = torch.tensor([1e-12, 1e-4, 0.3, 3.0, 10.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    values = LOSSES["barron"].function(errors, torch.zeros_like(errors), alpha=alpha)
    (slopes,) = torch.autograd.grad(values.sum(), errors)
    limits = torch.finfo(dtype)
    with mpmath.workdps(80):
        width, half = abs(mpmath.mpf(alpha) - 2), mpmath.mpf(alpha) / 2
        for error, value, slope in zip(errors.tolist(), values.tolist(), slopes.tolist(), strict=True):
            grown = mpmath.mpf(error) ** 2 / width + 1
            exact = width / alpha * (grown**half - 1), error * grown ** (half - 1)
            # An exponential shows the rounding of its exponent.
            digits = (20 + 2 * abs(half * mpmath.log(grown))) * limits.eps
            for number, expected in zip((value, slope), exact, strict=True):
                if limits.tiny <= expected <= limits.max:
                    assert abs(number / expected - 1) < digits, error


def test_barron_goes_smoothly_through_every_alpha() -> None:
    for alpha in (0.0, 2.0):
        values = [value("barron", [-3.0, 1e-3, 1e4], [0.0] * 3, alpha=alpha + step) for step in (-1e-7, 0.0, 1e-7)]
        close(values[0], values[1], rtol=1e-5)
        close(values[2], values[1], rtol=1e-5)


def test_charbonnier_is_the_absolute_error_far_away() -> None:
    close(value("charbonnier", [1e6, -1e300], [0.0, 0.0]), [1e6, 1e300])


SKLEARN = {
    "msle": metrics.mean_squared_log_error,
    "mape": metrics.mean_absolute_percentage_error,
    "tweedie": lambda y, x: metrics.mean_tweedie_deviance(y, x, power=1.5),
    "poisson_deviance": metrics.mean_poisson_deviance,
    "gamma_deviance": metrics.mean_gamma_deviance,
}


@pytest.mark.parametrize("name", SKLEARN)
def test_the_mean_is_scikit_learns(name: str) -> None:
    x, y = positives()
    close(value(name, x, y).mean(), SKLEARN[name](y, x))


@pytest.mark.parametrize("power", [-1.5, -1.0, 0.0, 1.0, 1.3, 2.0, 2.7, 3.0])
def test_tweedie_is_scikit_learns_for_every_power(power: float) -> None:
    x, y = positives()
    close(value("tweedie", x, y, power=power).mean(), metrics.mean_tweedie_deviance(y, x, power=power))


def test_tweedie_has_the_other_deviances_as_powers() -> None:
    x, y = positives()
    for power, name in ((0.0, "mse"), (1.0, "poisson_deviance"), (2.0, "gamma_deviance")):
        close(value("tweedie", x, y, power=power), value(name, x, y))


@pytest.mark.parametrize("power", [-1.0, 1.0, 1 + 1e-9, 1.5, 2 - 1e-9, 2.0, 2 + 1e-9, 3.0])
def test_a_deviance_near_its_minimum_keeps_its_digits(power: float) -> None:
    """A millionth off the mean the terms agree in twelve digits, of which the formula as written leaves four."""
    y = torch.tensor([0.5, 3.0, 1e4], dtype=F64)
    x = y * (1 + 1e-6)
    expected = REFERENCES["tweedie"](x.numpy(), y.numpy(), power=power)
    close(value("tweedie", x, y, power=power), expected, rtol=1e-8, atol=0)
    close(value("tweedie", y, y, power=power), [0.0] * 3, atol=0)


def test_smape_is_two_where_signs_differ_and_zero_where_both_are_zero() -> None:
    x = torch.tensor([0.0, 3.0, -1.0, 1e308, 0.0], dtype=F64, requires_grad=True)
    values = value("smape", x, [0.0, 0.0, 1.0, -1e308, 5.0])
    assert values.tolist() == [0.0, 2.0, 2.0, 2.0, 2.0]
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert gradient.isfinite().all()


def test_the_percentage_of_a_label_of_zero_is_that_of_epsilon() -> None:
    assert value("mape", [3.0, 0.0], [0.0, 0.0], epsilon=1.5).tolist() == [2.0, 0.0]


def test_cosine_distance_of_unit_vectors_is_half_their_squared_distance() -> None:
    x, y = (vectors / vectors.norm(dim=1, keepdim=True) for vectors in pairs(20, 5))
    close(value("cosine_distance", x, y), (x - y).square().sum(1) / 2)
    close(value("cosine_distance", x, y), 1 - torch.nn.functional.cosine_similarity(x, y))


def test_small_angles_keep_their_digits() -> None:
    close(value("cosine_distance", [[1.0, 0.0]], [[3.0, 3e-7]]), [5e-15], rtol=1e-6, atol=0)


def test_a_crps_without_spread_is_the_absolute_error() -> None:
    x, y = pairs(50)
    close(value("crps_gaussian", x, y, torch.zeros(50, dtype=F64)), value("mae", x, y))
    close(value("crps_ensemble", x.unsqueeze(-1).expand(50, 4), y), value("mae", x, y))
    close(value("crps_ensemble", x.unsqueeze(-1), y), value("mae", x, y))


def test_the_crps_of_a_large_ensemble_is_that_of_its_distribution() -> None:
    members = torch.as_tensor(stats.norm.ppf((np.arange(4000) + 0.5) / 4000), dtype=F64)
    for label in (-1.0, 0.3, 2.0):
        expected = value("crps_gaussian", [0.0], [label], [1.0])
        close(value("crps_ensemble", members[None], [label], fair=False), expected, rtol=1e-3)


def test_the_gradient_of_a_spread_of_zero_is_that_of_a_very_small_one() -> None:
    for error in (0.0, 0.5):
        slopes = []
        for size in (0.0, 1e-12 * (error == 0) + 1e-40):
            scale = torch.tensor([size], dtype=F64, requires_grad=True)
            slopes += torch.autograd.grad(value("crps_gaussian", [error], [0.0], scale), scale)
        close(slopes[0], slopes[1])


def test_beta_nll_without_beta_is_gaussian_nll() -> None:
    for case in smooth("gaussian_nll"):
        close(value("beta_nll", **case, beta=0.0), value("gaussian_nll", **case))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_gradient_of_beta_nll_is_that_of_gaussian_nll_times_the_power_of_the_variance(beta: float) -> None:
    for case in smooth("gaussian_nll"):
        leaves = {name: case[name].requires_grad_() for name in ("predictions", "labels", "variance")}
        scaled = value("beta_nll", **case, beta=beta)
        plain = value("gaussian_nll", **case)
        variance = case["variance"].detach().clamp(min=case.get("eps", 1e-6))
        variance = variance.unsqueeze(-1) if variance.ndim < plain.ndim else variance
        factor = (variance**beta).expand_as(plain)
        gradients = torch.autograd.grad(scaled.sum(), list(leaves.values()))
        for one, other in zip(gradients, torch.autograd.grad(plain, list(leaves.values()), factor), strict=True):
            close(one, other)


def test_student_t_of_many_degrees_is_normal_and_of_one_is_cauchys() -> None:
    x, y = pairs(50)
    scale = Source("scales").uniform(50, low=0.2, high=3.0)
    normal = value("gaussian_nll", x, y, scale.square(), full=True)
    close(value("student_t_nll", x, y, scale, df=1e12), normal, rtol=1e-9)
    close(value("student_t_nll", x, y, scale, df=1.0), -stats.cauchy.logpdf(y, x, scale))
    close(value("student_t_nll", x, y, scale, df=3.0), -stats.t.logpdf(y, 3.0, x, scale))


def test_negative_binomial_is_scipys_and_without_dispersion_poissons() -> None:
    means, counts = positives()[0], Source("counts").indices(64, below=30).double()
    alpha = Source("alpha").uniform(64, low=0.01, high=2.0)
    probability = 1 / (1 + alpha * means)
    close(
        value("negative_binomial_nll", means, counts, alpha),
        -stats.nbinom.logpmf(counts, 1 / alpha, probability),
        rtol=1e-9,
    )
    close(value("negative_binomial_nll", means, counts, 0 * alpha), -stats.poisson.logpmf(counts, means))
    close(
        value("negative_binomial_nll", means, counts, torch.ones_like(alpha)),
        -stats.geom.logpmf(counts + 1, 1 / (1 + means)),
    )


def test_counts_in_the_millions_keep_their_digits_in_float32() -> None:
    means, counts = torch.tensor([1e6, 2e6, 3e5]), torch.tensor([1000500.0, 1999000.0, 4e5])
    for alpha in (0.0, 1e-7, 1e-3, 0.5, 3.0):
        dispersion = torch.full((3,), alpha)
        expected = REFERENCES["negative_binomial_nll"](means.numpy(), counts.numpy(), dispersion.numpy())
        close(value("negative_binomial_nll", means, counts, dispersion), expected, rtol=1e-5)


EXTREME = {
    "log_cosh": [()],
    "charbonnier": [()],
    "barron": [{"alpha": alpha} for alpha in (-1e20, -2.0, 0.0, 1e-20, 0.5, 1.0)],
    "smape": [()],
    "crps_gaussian": [()],
    "student_t_nll": [{"df": df} for df in (1e-3, 4.0, 1e9)],
    "laplace_nll": [()],
    "cosine_distance": [()],
    "poisson_deviance": [()],
    "tweedie": [{"power": power} for power in (1.0, 1.5, 2.0)],
    "negative_binomial_nll": [()],
    "msle": [()],
}
SIZES = {torch.float32: 1e18, torch.float64: 1e150}


@pytest.mark.parametrize("dtype", SIZES, ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "parameters"), [(name, dict(given)) for name, sets in EXTREME.items() for given in sets]
)
def test_numbers_of_every_size_give_finite_values_and_gradients(
    name: str, parameters: dict[str, Any], dtype: torch.dtype
) -> None:
    """Numbers from the square root of the smallest to that of the largest, each with each, zero among them."""
    loss, most = LOSSES[name], SIZES[dtype]
    numbers = [0.0, 1 / most, most**-0.5, 0.3, 1.0, 1.0 + 1e-6, most**0.5, most]
    grid = torch.cartesian_prod(*[torch.tensor(numbers, dtype=dtype)] * len(loss.roles)).T
    roles = dict(zip((role.name for role in loss.roles), grid, strict=True))
    if name == "cosine_distance":
        roles = {role: torch.stack([values, values.flip(0)], dim=1) for role, values in roles.items()}
    for role in loss.roles:
        if role.options[0].meaning.name == "positive numbers" or (name == "tweedie" and role.name == "predictions"):
            roles[role.name] = roles[role.name].clamp(min=1 / most)
    if name == "tweedie" and parameters["power"] == 2.0:
        roles["labels"] = roles["labels"].clamp(min=1 / most)
    leaves = {role.name: roles[role.name].requires_grad_() for role in loss.roles if role.differentiable}
    values = loss.function(**roles, **parameters)
    exact = {role: tensor.detach().double().numpy() for role, tensor in roles.items()}
    with mpmath.workdps(330):
        expected = torch.as_tensor(REFERENCES[name](**exact, **parameters)).to(dtype)
    held = expected.isfinite()
    assert values.isfinite().eq(held).all()
    rtol = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(
        values.detach()[held], expected[held], rtol=rtol, atol=1e-6 if dtype == torch.float32 else 1e-13
    )
    for gradient in torch.autograd.grad(values[held].sum(), list(leaves.values())):
        assert not gradient.isnan().any()
