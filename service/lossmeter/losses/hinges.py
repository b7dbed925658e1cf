"""Hinge losses for two classes: right answers must be right by a margin."""

from __future__ import annotations

from torch import Tensor

from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Real, Scores, Signs, Unreduced

FAMILY = "classification"
TASKS = ("binary",)


@loss(
    tasks=["binary", "generation"],
    suits={"maximum_margin": "What is right by the margin no longer counts; mistakes cost in proportion."},
    aliases=["hinge_loss"],
    sweeps=4,
    examples=[Example(predictions=[2.0, 0.5, -1.0], labels=[1.0, 1.0, 1.0], value=2.5 / 3)],
)
def hinge(
    predictions: Scores[Tensor, "*shape"], labels: Signs[Tensor, "*shape"], *, margin: Real = 1.0
) -> Unreduced[Tensor, "*shape"]:
    r"""Hinge loss: the loss of the support vector machine.

    The sign of the score is the decision, and label times score says how right it is. A sample that is right by the margin or
    more costs nothing and no longer pulls on the model; any other costs what it lacks. So only samples near the border and
    on its wrong side shape the model, and its scores are no probabilities. With `margin` 0 it is the perceptron's loss.

    Labels are 1 and -1. scikit-learn and keras also take 0 for -1; torchmetrics takes 0 and 1: map them as $2 y - 1$.

    Formula:
        \ell_i = \max(0, \; m - y_i x_i)

    Args:
        predictions: scores $x$, whose sign is the decision.
        labels: 1 or -1 $y$; same shape as `predictions`.
        margin: how right $m$ a sample has to be, in the unit of the scores.

    Returns:
        one loss per element, in the unit of the scores.

    Use when:
        only the decision counts: linear classifiers of text or features, discriminators of generative adversarial networks,
        and data whose easy samples should not matter.

    Avoid when:
        probabilities are needed (take `binary_cross_entropy_with_logits`), there are more than two classes (take
        `multi_margin`), or a smooth loss is (take `squared_hinge` or `soft_margin`).

    Source:
        Cortes and Vapnik, Support-Vector Networks, 1995. https://doi.org/10.1007/BF00994018; keras, Hinge.
    """
    return (margin - labels * predictions).relu()


@loss(
    suits={"maximum_margin": "It has no kink, and is what linear support vector machines are often trained with."},
    aliases=["squared_hinge_loss"],
    sweeps=6,
    examples=[Example(predictions=[2.0, 0.5, -1.0], labels=[1.0, 1.0, 1.0], value=4.25 / 3)],
)
def squared_hinge(
    predictions: Scores[Tensor, "*shape"], labels: Signs[Tensor, "*shape"], *, margin: Real = 1.0
) -> Unreduced[Tensor, "*shape"]:
    r"""Squared hinge loss: `hinge` without its kink, and harder on large mistakes.

    A sample that is right by the margin costs nothing; any other costs the square of what it lacks. The gradient fades to 0 as
    the margin is reached, so the loss is smooth; a clear mistake costs more than under `hinge`, and a wrong label too.

    Formula:
        \ell_i = \max(0, \; m - y_i x_i)^2

    Args:
        predictions: scores $x$, whose sign is the decision.
        labels: 1 or -1 $y$; same shape as `predictions`.
        margin: how right $m$ a sample has to be, in the unit of the scores.

    Returns:
        one loss per element, in the unit of the scores squared.

    Use when:
        a support vector machine is trained by gradients: linear classifiers of text or features (it is the default of
        scikit-learn's LinearSVC), binary networks.

    Avoid when:
        some labels are wrong (take `hinge`), or probabilities are needed (take `binary_cross_entropy_with_logits`).

    Source:
        Chang, Hsieh and Lin, Coordinate Descent Method for Large-scale L2-loss Linear Support Vector Machines, 2008;
        keras, SquaredHinge.
    """
    return (margin - labels * predictions).relu().square()
