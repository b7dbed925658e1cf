"""Losses for one class of several that bend cross entropy: a term more, or less trust in the labels."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Annotated

from pydantic import Field
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _labels
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import (
    ClassIndices,
    FixedWeights,
    Fraction,
    IgnoredIndex,
    Logits,
    NonNegative,
    Probabilities,
    Real,
    Unreduced,
)

FAMILY = "classification"
TASKS = ("multiclass",)

Exponent = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
NonPositive = Annotated[float, Field(le=0, allow_inf_nan=False)]


def _poly_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _labels.class_flaws(arguments)
    if arguments["labels"].is_floating_point() and arguments["ignore_index"] >= 0:
        given = f"ignore_index is {arguments['ignore_index']}"
        yield Flaw("/ignore_index", f"{given}; it applies to class indices, and these labels are probabilities.")


@loss(
    minimum=None,
    tasks=[],
    support=_labels.weighted,
    check=_poly_flaws,
    examples=[
        Example(predictions=[[log(6), log(3), log(1)]], labels=[0], value=-log(0.6) + 0.4),
        Example(predictions=[[0.0, 0.0]], labels=[[0.25, 0.75]], epsilon=2.0, value=log(2) + 1.0),
    ],
)
def poly1(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "] | Probabilities[Tensor, "N C *d | C"],
    *,
    epsilon: Real = 1.0,
    weight: FixedWeights[Tensor, "C"] | None = None,
    ignore_index: IgnoredIndex = -100,
    label_smoothing: Fraction = 0.0,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Cross entropy with one more term: how much probability the wrong classes were given.

    Written as a series, cross entropy is $(1 - p) + (1 - p)^2 / 2 + \dots$, where $p$ is the probability of the right class.
    PolyLoss changes the weights of such a series, and its authors found that changing the first alone does most of the
    work: a positive `epsilon` keeps pulling on samples that are already right, a negative one lets them go. 0 is
    `cross_entropy`. The best value differs from task to task; 1 or 2 is usual for images, -1 was found for noisy 3D data.
    optax has 2 by default.

    `weight` multiplies both terms, and `mean` divides by the sum of the weights of the labels, as in `cross_entropy`. With
    probabilities as labels each class's terms are weighed by its probability, as in optax.

    Formula:
        \ell_n = \sum_{c=1}^{C} w_c \, q_{nc} \left( -\log p_{nc} + \varepsilon \, (1 - p_{nc}) \right), \qquad
        p_n = \mathrm{softmax}(x_n), \quad q_{nc} = (1 - s) \, [c = y_n] + \frac{s}{C}

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the true class of each sample $y$, or one probability per class in the shape of `predictions`.
        epsilon: the weight $\varepsilon$ of the added term; below -1 a right answer is pushed away.
        weight: a factor $w$ per class, larger for rare or costly ones.
        ignore_index: label of samples that do not count, such as padding in a text or unlabelled pixels.
        label_smoothing: share $s$ of each label that is spread evenly over all classes.

    Returns:
        one loss per sample (and position); 0 where the label is ignored.

    Use when:
        `cross_entropy` works and one number may be tuned to make it a little better: image classification, fine-grained
        classes, detection and segmentation.

    Avoid when:
        the value must be a likelihood or perplexity (take `cross_entropy`), or there is no data to tune `epsilon` on.

    Source:
        Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions, 2022.
        https://arxiv.org/abs/2204.12511; optax, poly_loss_cross_entropy.
    """
    dim = _labels.class_dimension(predictions)
    logarithms = predictions.log_softmax(dim)

    def terms(log_probabilities: Tensor) -> Tensor:
        # 1 - p as -expm1(log p), which keeps its digits where p is near 1.
        return -log_probabilities - epsilon * log_probabilities.expm1()

    factors = None if weight is None else weight.reshape(-1, *[1] * (predictions.ndim - dim - 1))
    if labels.is_floating_point():
        shares = (1 - label_smoothing) * labels + label_smoothing / predictions.shape[dim]
        return ((shares if factors is None else shares * factors) * terms(logarithms)).sum(dim)
    right, kept = _labels.chosen(logarithms, labels, ignore_index)
    losses = terms(right)
    if weight is not None:
        losses = losses * weight[labels.where(kept, 0)]
    if label_smoothing:
        every = terms(logarithms)
        even = (every if factors is None else every * factors).mean(dim)
        losses = (1 - label_smoothing) * losses + label_smoothing * even
    return losses.masked_fill(~kept, 0.0)


@loss(
    suits={"noisy_labels": "What a model strongly disagrees with counts less, as it is likely a wrong label."},
    support=_labels.counted,
    check=_labels.class_flaws,
    examples=[
        Example(predictions=[[log(6), log(3), log(1)]], labels=[0], value=(1 - 0.6**0.7) / 0.7),
        Example(predictions=[[log(6), log(3), log(1)]], labels=[0], q=1.0, value=0.4),
    ],
)
def generalized_cross_entropy(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    *,
    q: Exponent = 0.7,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Generalized cross entropy: between cross entropy, which learns fast, and absolute error, which forgives wrong labels.

    A sample whose label is wrong looks like a hopeless one: the model gives its label hardly any probability, and under
    `cross_entropy` it then pulls hardest of all. Here each sample's pull is multiplied by $p^q$, where $p$ is the probability
    of its label, so that hopeless samples pull least. With `q` near 0 it is `cross_entropy`; with 1 it is $1 - p$, which is
    very forgiving and learns slowly. A loss never exceeds $1 / q$. The paper has 0.7, keras 0.5.

    Formula:
        \ell_n = \frac{1 - p_{n, y_n}^q}{q}, \qquad p_n = \mathrm{softmax}(x_n)

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the class that each sample is labelled with $y$.
        q: how forgiving $q$ it is: towards 0 not at all, 1 most.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position), between 0 and $1 / q$; 0 where the label is ignored.

    Use when:
        a good part of the labels is wrong: images labelled by search terms, crowds or weak rules, medical records, user
        reports.

    Avoid when:
        labels are clean, since hard samples are then ignored (take `cross_entropy`); or there are many classes, where learning
        from scratch hardly starts: begin with a small `q`.

    Source:
        Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, 2018.
        https://arxiv.org/abs/1805.07836; keras, CategoricalGeneralizedCrossEntropy.
    """
    logarithms, kept = _labels.chosen(
        predictions.log_softmax(_labels.class_dimension(predictions)), labels, ignore_index
    )
    # 1 - p^q as -expm1(q log p): no derivative of a power at 0, and cross entropy as q vanishes.
    exponent = max(q, 1e-30)
    return (-(exponent * logarithms).expm1() / exponent).masked_fill(~kept, 0.0)


@loss(
    suits={"noisy_labels": "A reverse term bounds what wrong labels can do, while the other keeps learning fast."},
    support=_labels.counted,
    check=_labels.class_flaws,
    examples=[Example(predictions=[[log(6), log(3), log(1)]], labels=[0], value=-0.1 * log(0.6) + 1.6)],
)
def symmetric_cross_entropy(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    *,
    alpha: NonNegative = 0.1,
    beta: NonNegative = 1.0,
    log_zero: NonPositive = -4.0,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Cross entropy in both directions, so that wrong labels do less harm.

    `cross_entropy` asks how surprised the model is by the label. The reverse asks how surprised the label would be by the
    model's answer: it trusts the model where label and model disagree. A label is certain, so its logarithms are 0 for its own
    class and minus infinity for the others; `log_zero` takes the place of that. The reverse part then is
    $-A \, (1 - p)$: bounded, and forgiving of wrong labels, while the first part keeps learning going.

    The authors take `alpha` 0.1 and `beta` 1 for ten classes, and `alpha` 6 and `beta` 0.1 for a hundred.

    Formula:
        \ell_n = -\alpha \log p_{n, y_n} - \beta A \, (1 - p_{n, y_n}), \qquad p_n = \mathrm{softmax}(x_n)

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the class that each sample is labelled with $y$.
        alpha: the weight $\alpha$ of cross entropy: more learns faster, and trusts labels more.
        beta: the weight $\beta$ of the reverse.
        log_zero: what takes the place of log 0, $A$.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position); 0 where the label is ignored.

    Use when:
        a good part of the labels is wrong, and `generalized_cross_entropy` learns too slowly: images labelled by search terms
        or crowds, weak supervision.

    Avoid when:
        labels are clean: take `cross_entropy`.

    Source:
        Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, 2019. https://arxiv.org/abs/1908.06112.
    """
    logarithms, kept = _labels.chosen(
        predictions.log_softmax(_labels.class_dimension(predictions)), labels, ignore_index
    )
    return (-alpha * logarithms + beta * log_zero * logarithms.expm1()).masked_fill(~kept, 0.0)


@loss(
    tasks=["multiclass", "text"],
    check=_labels.class_flaws,
    examples=[Example(predictions=[[log(6), log(3), log(1)]], value=log(10) ** 2)],
)
def z_loss(predictions: Logits[Tensor, "N C"]) -> Unreduced[Tensor, "N"]:
    r"""The squared logarithm of softmax's denominator: keeps logits from drifting away.

    Softmax does not change when the same number is added to all logits, so `cross_entropy` lets their common level drift, until
    in half precision it costs digits or overflows. This loss pulls that level to zero: it is 0 where the exponentials of the
    logits already add up to 1, and they are log-probabilities. It is no loss to learn from by itself: add it to another one
    with a small weight, 1e-4 in PaLM and most trainers of language models since. Routers of mixtures of experts have it with
    1e-3. `token_cross_entropy` and an objective of both terms do that in one call.

    Formula:
        \ell_n = \left( \log \sum_{c=1}^{C} e^{x_{nc}} \right)^2

    Args:
        predictions: logits $x$, one row per sample.

    Returns:
        one loss per sample.

    Use when:
        large language models or mixtures of experts are trained in half precision, or logits are seen to grow without bound.

    Avoid when:
        it stands alone; or logits are meant to be compared between samples as energies.

    Source:
        Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022. https://arxiv.org/abs/2204.02311; routers:
        Zoph et al., ST-MoE, 2022. https://arxiv.org/abs/2202.08906.
    """
    return predictions.logsumexp(-1).square()
