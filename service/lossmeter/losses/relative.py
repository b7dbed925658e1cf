"""Losses for numbers of which ratios matter, or directions, rather than differences."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt

import torch
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses._logarithms import log_ratio
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import Positive, Unreduced, Values

FAMILY = "regression"
TASKS = ("regression",)


def _above_minus_one(arguments: Arguments) -> Iterator[Flaw]:
    for name in ("predictions", "labels"):
        yield from _flaws.element(name, arguments[name], ~(arguments[name] > -1), "a number above -1")


@loss(
    suits={
        "relative_errors": "Errors count by the ratio of prediction and label, and labels may be 0.",
        "skewed_amounts": "Logarithms take the skew out of the labels.",
    },
    aliases=["mean_squared_log_error", "mean_squared_logarithmic_error"],
    copies=7,
    sweeps=30,
    check=_above_minus_one,
    examples=[Example(predictions=[3.0, 0.0], labels=[1.0, 0.0], value=log(2) ** 2 / 2)],
)
def msle(predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Mean squared logarithmic error: the squared difference of the logarithms, after adding 1 to both.

    Predicting 200 where 100 was right costs about as much as predicting 20 where 10 was right: what counts is the ratio. The
    1 keeps labels of 0 possible and makes errors among numbers far below 1 count like plain differences. Predictions that are
    too low cost more than those too high by the same amount. Its square root is known as RMSLE. The difference of the
    logarithms is computed from the difference of the numbers, so that it keeps its digits when these are close. keras raises
    numbers below 1e-7 to that before it adds 1; scikit-learn and torchmetrics compute the same as here.

    Formula:
        \ell_i = \left( \log (1 + x_i) - \log (1 + y_i) \right)^2

    Args:
        predictions: estimates $x$ above -1, in the unit of the labels.
        labels: observations $y$ above -1; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, without a unit.

    Use when:
        labels are not negative and spread over several orders of magnitude: prices, incomes, populations, sales, views, times.

    Avoid when:
        differences matter as they are (take `mse`), or labels are counts with many zeros (take `poisson_nll` or `tweedie`).

    Source:
        scikit-learn, mean_squared_log_error; torchmetrics.MeanSquaredLogError.
    """
    return log_ratio(1 + predictions, 1 + labels, predictions - labels).square()


@loss(
    suits={"relative_errors": "It is the error as a share of the label, which everybody understands."},
    aliases=["mean_absolute_percentage_error"],
    copies=6,
    examples=[Example(predictions=[110.0, 30.0], labels=[100.0, 60.0], value=0.3)],
)
def mape(
    predictions: Values[Tensor, "*shape"],
    labels: Values[Tensor, "*shape"],
    *,
    epsilon: Positive = 2.220446049250313e-16,
) -> Unreduced[Tensor, "*shape"]:
    r"""Mean absolute percentage error: the size of the error as a share of the label.

    Off by 10 where 100 was right costs 0.1, which people read as "10 percent". A prediction that is too low costs at most 1
    as long as it is not negative, one that is too high costs without bound: a model trained on it learns to guess low. Labels
    at or near zero make it explode, because `epsilon` then takes the place of the label.

    Libraries agree up to that number: scikit-learn has 2.2e-16, as here; torchmetrics 1.17e-6; keras 1e-7, and multiplies by
    100.

    Formula:
        \ell_i = \frac{|x_i - y_i|}{\max(|y_i|, \varepsilon)}

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.
        epsilon: the smallest size $\varepsilon$ of a label to divide by, in the unit of the labels.

    Returns:
        one loss per element, as a fraction: 0.1 is ten percent.

    Use when:
        errors are to be compared between series of very different size and labels keep well away from zero: demand, revenue,
        energy, traffic; and the figure must be understood at once.

    Avoid when:
        labels can be zero or nearly so (take `mae`, `smape` or `msle`), or guessing too low must not be rewarded.

    Source:
        Hyndman and Koehler, Another Look at Measures of Forecast Accuracy, 2006.
        https://doi.org/10.1016/j.ijforecast.2006.03.001; scikit-learn, mean_absolute_percentage_error.
    """
    smallest = max(epsilon, torch.finfo(labels.dtype).tiny)
    return (predictions - labels).abs() / labels.abs().clamp(min=smallest)


@loss(
    suits={"relative_errors": "It is a share that stays below 2 where labels are near zero."},
    aliases=["symmetric_mean_absolute_percentage_error"],
    copies=6,
    examples=[Example(predictions=[3.0, 0.0], labels=[1.0, 0.0], value=0.5)],
)
def smape(predictions: Values[Tensor, "*shape"], labels: Values[Tensor, "*shape"]) -> Unreduced[Tensor, "*shape"]:
    r"""Symmetric mean absolute percentage error: the error as a share of the mean size of prediction and label.

    It lies between 0 and 2 and treats prediction and label alike, so zeros do not make it explode as they do `mape`. Yet
    whenever the label is 0, or has the other sign, it is 2 however small the error is, and has no gradient to learn from.
    Where both are 0 it is 0. In spite of its name it is not symmetric in errors: too low costs more than too high by the same
    amount.

    Several definitions go by this name. This is that of torchmetrics, which also raises the denominator to 1.17e-6; some
    leave out the factor 2, so that it ends at 1 (halve it), or express it in percent.

    Formula:
        \ell_i = \frac{2 \, |x_i - y_i|}{|x_i| + |y_i|}, \qquad 0 \; \text{where} \; x_i = y_i = 0

    Args:
        predictions: estimates $x$, in the unit of the labels.
        labels: observations $y$; same shape as `predictions`, never broadcast.

    Returns:
        one loss per element, between 0 and 2.

    Use when:
        forecasts of many series of different size are scored and some labels are near zero, as in the M3 and M4 competitions
        of forecasting.

    Avoid when:
        many labels are exactly 0 (any prediction but 0 then costs 2), or labels change sign: take `mae`.

    Source:
        Makridakis, Accuracy Measures: Theoretical and Practical Concerns, 1993.
        https://doi.org/10.1016/0169-2070(93)90079-3; torchmetrics.SymmetricMeanAbsolutePercentageError.
    """
    # Halves, lest the sum overflow; what is below the smallest normal number counts as 0, lest the gradient do.
    difference = (predictions / 2 - labels / 2).abs()
    total = predictions.abs() / 2 + labels.abs() / 2
    return difference / total.clamp(min=torch.finfo(total.dtype).tiny) * 2


def _unit(vectors: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Vectors divided by their length, or by epsilon if they are shorter; and what their square then lacks to 1."""
    tiny = torch.finfo(vectors.dtype).tiny
    # A length does not change when it is computed in another unit, in which nothing overflows.
    unit = vectors.detach().abs().amax(-1, keepdim=True).clamp(min=tiny)
    length = torch.linalg.vector_norm(vectors / unit, dim=-1, keepdim=True)
    short = length * unit < epsilon
    scaled = torch.where(short, vectors / max(epsilon, tiny), vectors / unit / torch.where(short, 1.0, length))
    return scaled, torch.where(short.squeeze(-1), 1 - scaled.square().sum(-1), 0.0)


def _directions(arguments: Arguments) -> Iterator[Flaw]:
    if arguments["predictions"].shape[-1] == 0:
        shape = list(arguments["predictions"].shape)
        yield Flaw("/predictions", f"predictions has shape {shape}; expected vectors of at least one number.")


@loss(
    tasks=["regression", "embeddings"],
    suits={
        "unlabelled": "It draws the embeddings of two views to one direction, as BYOL and SimSiam do.",
        "distillation": "Embeddings of one model are matched to those of another by direction.",
    },
    copies=7,
    sweeps=40,
    check=_directions,
    examples=[
        Example(predictions=[[1.0, 0.0], [2.0, 0.0]], labels=[[0.0, 3.0], [1.0, 1.0]], value=1 - sqrt(0.5) / 2),
    ],
)
def cosine_distance(
    predictions: Values[Tensor, "N D"], labels: Values[Tensor, "N D"], *, epsilon: Positive = 1e-8
) -> Unreduced[Tensor, "N"]:
    r"""Cosine distance: one minus the cosine of the angle between two vectors.

    Vectors in the same direction cost 0 whatever their lengths, at right angles 1, in opposite directions 2. Lengths are
    divided out, so nothing is learned about them, and the gradient is always at a right angle to the vector. A vector
    shorter than `epsilon` is divided by that instead: one of zeros costs 1. For unit vectors it is half of their squared
    distance, and that is how it is computed, so that small angles keep their digits.

    optax takes epsilon 0 by default, where a vector of zeros has no gradient. keras has the negative cosine
    (`CosineSimilarity`), this minus 1. torch's `cosine_embedding` with labels of 1 is this loss with another epsilon.

    Formula:
        \ell_n = 1 - \frac{x_n \cdot y_n}{\max(\|x_n\|, \varepsilon) \, \max(\|y_n\|, \varepsilon)}

    Args:
        predictions: vectors $x$, one a row.
        labels: the vectors $y$ to point along; same shape as `predictions`.
        epsilon: the smallest length $\varepsilon$ to divide by.

    Returns:
        one loss per pair of vectors, between 0 and 2.

    Use when:
        only the direction means something: embeddings of texts or images that should match those of another model, surface
        normals, orientations, self-supervised learning as in BYOL and SimSiam.

    Avoid when:
        lengths matter (take `mse`), or unlike pairs must be pushed apart as well (take `cosine_embedding` or `triplet_margin`).

    Source:
        Salton, Wong and Yang, A Vector Space Model for Automatic Indexing, 1975. https://doi.org/10.1145/361219.361220; optax,
        cosine_distance.
    """
    first, lacking1 = _unit(predictions, epsilon)
    second, lacking2 = _unit(labels, epsilon)
    return ((first - second).square().sum(-1) + lacking1 + lacking2) / 2
