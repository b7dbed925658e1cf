"""Losses for one class out of several: how much probability the right one was given."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw, pointer
from lossmeter.losses import _flaws, _labels
from lossmeter.losses.catalogue import Arguments, Example, loss
from lossmeter.losses.vocabulary import (
    ClassIndices,
    Features,
    FixedWeights,
    Fraction,
    IgnoredIndex,
    Logits,
    LogProbabilities,
    NonNegative,
    Probabilities,
    Unreduced,
    Weights,
)

FAMILY = "classification"
TASKS = ("multiclass", "segmentation")


def _label_form(arguments: Arguments) -> Iterator[Flaw]:
    """Finds what class indices do not allow, or probabilities do not."""
    if arguments["labels"].is_floating_point():
        if arguments["ignore_index"] >= 0:
            given = f"ignore_index is {arguments['ignore_index']}"
            yield Flaw("/ignore_index", f"{given}; it applies to class indices, and these labels are probabilities.")
    elif "weight" in arguments["gradients"]:
        place = pointer("gradients", arguments["gradients"].index("weight"))
        yield Flaw(place, "weight has a gradient only where labels are probabilities; these are class indices.")


def _cross_entropy_flaws(arguments: Arguments) -> Iterator[Flaw]:
    yield from _flaws.classes("predictions", arguments["predictions"])
    yield from _label_form(arguments)


def _classifier_flaws(arguments: Arguments) -> Iterator[Flaw]:
    if arguments["classifier"].shape[0] == 0:
        shape = list(arguments["classifier"].shape)
        yield Flaw("/classifier", f"classifier has shape {shape}; expected at least one class.")
    yield from _label_form(arguments)


@loss(
    suits={
        "usual": "Exactly one class is right, and the model gives logits.",
        "soft_labels": "Labels may be distributions over the classes.",
        "calibration": "It is a likelihood: at its minimum, the probabilities are right.",
        "imbalance": "`weight` gives each class a weight of its own.",
    },
    aliases=["cross_entropy_loss", "ce", "ce_loss", "softmax_cross_entropy", "softmax_cross_entropy_with_logits"],
    shared_names=["categorical_crossentropy", "sparse_categorical_crossentropy"],
    support=_labels.weighted,
    check=_cross_entropy_flaws,
    sweeps=6,
    examples=[
        Example(predictions=[[log(6), log(3), log(1)]], labels=[0], value=-log(0.6)),
        Example(predictions=[[2.0, -1.0, 0.3]], labels=[0], value=log(1 + exp(-3.0) + exp(-1.7))),
        Example(predictions=[[0.0, 0.0], [log(3), 0.0]], labels=[[0.5, 0.5], [1.0, 0.0]], value=log(8 / 3) / 2),
    ],
)
def cross_entropy(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "] | Probabilities[Tensor, "N C *d | C"],
    *,
    weight: Weights[Tensor, "C"] | None = None,
    ignore_index: IgnoredIndex = -100,
    label_smoothing: Fraction = 0.0,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Cross entropy: minus the logarithm of the probability that the right class was given.

    A model with C classes gives C scores (logits) per sample. Softmax turns them into probabilities that add up to 1, and the
    loss looks at one of them, that of the true class: probability 1 costs nothing, 0.6 costs 0.51, 0.1 costs 2.3, and a
    confident mistake costs without limit. It is the number of nats by which the model was surprised, so the best
    predictions under it are the true probabilities. The gradient with respect to the logits is simply "probability minus
    truth". For reference, guessing evenly among C classes costs ln C: a loss of 2.30 on ten classes means nothing was
    learned yet.

    Give logits, not probabilities: softmax is part of the loss, which is what keeps it exact for very large scores. With
    `weight`, `mean` divides by the sum of the weights of the labels, as torch does; with probabilities as labels it divides by
    the number of samples. Ignored labels add nothing to either.

    Formula:
        \ell_n = -\sum_{c=1}^{C} w_c \, q_{nc} \log \frac{e^{x_{nc}}}{\sum_{k=1}^{C} e^{x_{nk}}}, \qquad
        q_{nc} = (1 - \varepsilon) \, [c = y_n] + \frac{\varepsilon}{C}

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the true class of each sample $y$, or one probability per class in the shape of `predictions`.
        weight: a factor $w$ per class, larger for rare or costly ones. Its own gradient exists for probability labels only.
        ignore_index: label of samples that do not count, such as padding in a text or unlabelled pixels.
        label_smoothing: share $\varepsilon$ of each label that is spread evenly over all classes, against overconfidence.

    Returns:
        one loss per sample (and position), in nats; 0 where the label is ignored.

    Use when:
        exactly one class of several is right: image classification (which digit, which breed), text classification (topic,
        sentiment, intent), the next token of a language model, the class of each pixel in segmentation; labels as
        probabilities when annotators disagree, or for mixup and distillation.

    Avoid when:
        several classes can be right at once (take `binary_cross_entropy_with_logits`), one class fills nearly all the data
        (take `focal`, or `weight`), or the classes have an order that mistakes should respect.

    Source:
        Cox, The Regression Analysis of Binary Sequences, 1958. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x; smoothing:
        Szegedy et al., Rethinking the Inception Architecture, 2015. https://arxiv.org/abs/1512.00567;
        torch.nn.CrossEntropyLoss.
    """
    return F.cross_entropy(
        predictions,
        labels,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="none",
    )


@loss(
    suits={
        "calibration": "It is the likelihood of log-probabilities that the model already gives.",
        "imbalance": "`weight` gives each class a weight of its own.",
    },
    aliases=["nll_loss"],
    shared_names=["categorical_crossentropy", "sparse_categorical_crossentropy"],
    support=_labels.weighted,
    check=_labels.class_flaws,
    sweeps=4,
    examples=[Example(predictions=[[log(0.7), log(0.3)], [log(0.4), log(0.6)]], labels=[0, 1], value=-log(0.42) / 2)],
)
def nll(
    predictions: LogProbabilities[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    *,
    weight: FixedWeights[Tensor, "C"] | None = None,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Negative log-likelihood: minus the log-probability of the right class, taken as it stands.

    It is the second half of `cross_entropy`: that loss is `log_softmax` followed by this one. Nothing is normalised here, so
    numbers that are not log-probabilities give a value without meaning, and the gradient reaches the right class only.
    With `weight`, `mean` divides by the sum of the weights of the labels.

    Formula:
        \ell_n = -w_{y_n} \, x_{n, y_n}

    Args:
        predictions: log-probabilities $x$, classes in the second dimension (or the only one).
        labels: the true class of each sample $y$.
        weight: a factor $w$ per class.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position), in nats; 0 where the label is ignored.

    Use when:
        the model already ends in log-probabilities: `log_softmax` layers, mixtures, hidden Markov models, averaged ensembles,
        and language models that return log-probabilities of tokens.

    Avoid when:
        the model gives logits: take `cross_entropy`, which normalises them and cannot be misled by numbers that add up to
        something other than 1.

    Source:
        Fisher, On the Mathematical Foundations of Theoretical Statistics, 1922. https://doi.org/10.1098/rsta.1922.0009;
        torch.nn.NLLLoss.
    """
    return F.nll_loss(predictions, labels, weight=weight, ignore_index=ignore_index, reduction="none")


@loss(
    tasks=["multiclass", "text"],
    suits={"many_classes": "The last layer is part of it, so that logits never travel, nor are held as a whole."},
    aligned=True,
    aliases=["linear_cross_entropy_loss", "fused_linear_cross_entropy"],
    copies=2,
    sweeps=4,
    intermediate="N C | C",
    products="N C D | C D",
    chunked=False,
    support=_labels.weighted,
    check=_classifier_flaws,
    examples=[
        Example(
            features=[[1.0, 2.0]],
            classifier=[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
            labels=[1],
            value=log(1 + exp(-1.0) + exp(-2.0)),
        )
    ],
)
def linear_cross_entropy(
    features: Features[Tensor, "N D | D"],
    classifier: Features[Tensor, "C D"],
    labels: ClassIndices[Tensor, "N | "] | Probabilities[Tensor, "N C | C"],
    *,
    bias: Features[Tensor, "C"] | None = None,
    weight: Weights[Tensor, "C"] | None = None,
    ignore_index: IgnoredIndex = -100,
    label_smoothing: Fraction = 0.0,
) -> Unreduced[Tensor, "N | "]:
    r"""The last linear layer and its cross entropy in one step.

    The logits are computed here, from the features of each sample and one vector per class, and then handed to
    `cross_entropy`. With many classes (the vocabulary of a language model) features and classifier are far smaller than the
    logits they produce, so far less has to travel, and gradients come back for the features and the classifier at once.

    Formula:
        \ell_n = \mathrm{CE}(W h_n + b, \; y_n)

    Args:
        features: what the model knows of each sample, $h$: the input of its last layer.
        classifier: the weights $W$ of the last layer, a row per class.
        labels: the true class of each sample $y$, or one probability per class.
        bias: the bias $b$ of the last layer, a number per class.
        weight: a factor per class, as in `cross_entropy`. Its own gradient exists for probability labels only.
        ignore_index: label of samples that do not count.
        label_smoothing: share of each label that is spread evenly over all classes.

    Returns:
        one loss per sample, in nats; 0 where the label is ignored.

    Use when:
        the classes are many and logits would dominate the traffic or the memory: heads of language models, large product or
        species catalogues, or when the gradient of the last layer itself is wanted.

    Avoid when:
        the classes are few, or logits are at hand anyway: take `cross_entropy`.

    Source:
        Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models, 2024. https://arxiv.org/abs/2411.09009;
        torch.nn.functional.linear_cross_entropy.
    """
    # What torch.nn.functional.linear_cross_entropy is without its options; not every version of torch has it.
    logits = F.linear(features, classifier, bias)
    return F.cross_entropy(
        logits, labels, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="none"
    )


def _log_odds(log_probabilities: Tensor, index: Tensor, dim: int) -> Tensor:
    """log(p / (1 - p)) of one class, where 1 - p is what the others have: nothing cancels."""
    others = log_probabilities.exp().scatter(dim, index, 0.0).sum(dim, keepdim=True)
    bounds = torch.finfo(others.dtype)
    # The logarithm ends at the smallest normal number; what lies below belongs to a loss as small, and nothing to none.
    logarithm = others.clamp(min=bounds.tiny).log().masked_fill(others == 0, bounds.min)
    return log_probabilities.gather(dim, index) - logarithm


def _all_log_odds(log_probabilities: Tensor, dim: int) -> Tensor:
    """log(p / (1 - p)) of every class. Only the likeliest can have p > 1/2, where 1 - p would cancel."""
    likeliest = log_probabilities.argmax(dim, keepdim=True)
    small = log_probabilities.scatter(dim, likeliest, -1.0)
    log_odds = small - torch.log1p(-small.exp())
    return log_odds.scatter(dim, likeliest, _log_odds(log_probabilities, likeliest, dim))


def _focal_term(log_odds: Tensor, gamma: float) -> Tensor:
    # (1 - p)^gamma as exp(gamma log(1 - p)): the derivative of the power is infinite at p = 1 for gamma < 1, that of this is 0.
    return -torch.exp(gamma * F.logsigmoid(-log_odds)) * F.logsigmoid(log_odds)


@loss(
    tasks=["multiclass", "detection", "segmentation"],
    suits={
        "imbalance": "Samples that are easy fade out, and `alpha` weighs the classes.",
        "small_regions": "Pixels of the background that are surely right hardly count.",
        "long_tail": "Rare classes are hard, and what is hard keeps its gradient.",
    },
    aliases=["focal_loss"],
    copies=7,
    support=_labels.counted,
    check=_labels.class_flaws,
    examples=[
        Example(predictions=[[log(6), log(3), log(1)]], labels=[0], value=-(0.4**2) * log(0.6)),
        Example(
            predictions=[[log(6), log(3), log(1)], [0.0, 0.0, log(2)]],
            labels=[0, 2],
            gamma=1.0,
            alpha=[0.5, 1.0, 2.0],
            value=(-0.5 * 0.4 * log(0.6) - 2.0 * 0.5 * log(0.5)) / 2,
        ),
    ],
)
def focal(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    *,
    gamma: NonNegative = 2.0,
    alpha: Weights[Tensor, "C"] | None = None,
    ignore_index: IgnoredIndex = -100,
    label_smoothing: Fraction = 0.0,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Focal loss: cross entropy that fades out for samples which are already classified well.

    When one class fills most of the data, `cross_entropy` is dominated by a multitude of easy samples, each cheap but many
    together, and the rare hard ones go unheard. Focal loss multiplies each sample's cross entropy by $(1 - p)^\gamma$, where
    $p$ is the probability of the right class: with $\gamma = 2$ a sample at $p = 0.9$ costs a hundredth of its cross entropy,
    one at $p = 0.1$ still 81 %. Training thus attends to what is not learned yet. $\gamma = 0$ is `cross_entropy` itself.

    `alpha` is one factor per class, never a single number: a scalar has no meaning for several classes (libraries that accept
    one disagree on which class it is for). `mean` divides by the number of samples that count, whatever `alpha` is; for
    RetinaNet's normalisation give the number of foreground samples as `normalizer`. With smoothing each class's term of the
    smoothed cross entropy is multiplied by that class's own $\alpha_c (1 - p_c)^\gamma$. Everything is computed from the
    log-odds of the class against all others, so values and gradients stay finite and exact for saturated logits and any
    $\gamma$.

    Formula:
        \ell_n = -\sum_{c=1}^{C} q_{nc} \, \alpha_c \, (1 - p_{nc})^\gamma \log p_{nc}, \qquad
        p_n = \mathrm{softmax}(x_n), \quad q_{nc} = (1 - \varepsilon) \, [c = y_n] + \frac{\varepsilon}{C}

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the true class of each sample $y$.
        gamma: how strongly well-classified samples fade; 0 not at all, 2 is usual, 5 is extreme.
        alpha: a factor $\alpha$ per class, larger for rare ones; left out, every class has 1.
        ignore_index: label of samples that do not count.
        label_smoothing: share $\varepsilon$ of each label that is spread evenly over all classes.

    Returns:
        one loss per sample (and position), in nats; 0 where the label is ignored.

    Use when:
        classes are very unequal and the easy ones drown the rest: dense object detection (most anchors are background),
        segmentation of small lesions or thin roads, defect inspection, rare intents or diseases among many classes.

    Avoid when:
        labels are noisy, since wrong labels look like hard samples and are amplified; the classes are balanced (take
        `cross_entropy`); or calibrated probabilities are needed. For independent yes-or-no labels take `binary_focal`.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, 2017. https://arxiv.org/abs/1708.02002.
    """
    dim = min(1, predictions.ndim - 1)
    counted = labels != ignore_index
    index = labels.where(counted, 0).unsqueeze(dim)
    log_probabilities = predictions.log_softmax(dim)
    if label_smoothing:
        terms = _focal_term(_all_log_odds(log_probabilities, dim), gamma)
        if alpha is not None:
            terms = terms * alpha.reshape(-1, *[1] * (predictions.ndim - dim - 1))
        losses = (1 - label_smoothing) * terms.gather(dim, index).squeeze(dim) + label_smoothing * terms.mean(dim)
    else:
        losses = _focal_term(_log_odds(log_probabilities, index, dim), gamma).squeeze(dim)
        if alpha is not None:
            losses = losses * alpha[index.squeeze(dim)]
    return losses.masked_fill(~counted, 0.0)
