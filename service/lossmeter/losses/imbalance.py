"""Losses for classes of very different size."""

from __future__ import annotations

from math import exp, log
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lossmeter.losses import _labels
from lossmeter.losses._logistic import power
from lossmeter.losses.catalogue import Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import (
    ClassCounts,
    ClassIndices,
    Flags,
    IgnoredIndex,
    Logits,
    NonNegative,
    Positive,
    Priors,
    Unreduced,
)

FAMILY = "classification"
TASKS = ("multiclass",)

Overlap = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def _balanced(counts: Tensor, beta: float) -> Tensor:
    """A weight per class: (1 - beta) / (1 - beta^n), 0 without samples, and 1 on average over the classes that have some."""
    numbers = counts.cpu().double()  # there are few of them, and not every device has the precision
    present = numbers > 0
    exact = torch.where(present, numbers, 1.0)
    # The factor 1 - beta is the same for all; 1 - beta^n as -expm1(n log beta) keeps its digits for a beta near 1.
    effective = -torch.expm1(exact * log(beta)) if beta else torch.ones_like(exact)
    weights = torch.where(present, effective.reciprocal(), 0.0)
    return (weights * (present.sum() / weights.sum().clamp(min=1e-300))).to(counts)


def _balanced_labels(arguments: Arguments) -> Support:
    return _labels.weighted({**arguments, "weight": _balanced(arguments["counts"], arguments["beta"])})


@loss(
    suits={
        "imbalance": "Weights follow from how many samples each class has.",
        "long_tail": "The weight of a class levels off where further samples say nothing new.",
    },
    support=_balanced_labels,
    check=_labels.class_flaws,
    examples=[
        Example(
            predictions=[[0.0, 0.0], [log(3), 0.0]], labels=[1, 0], counts=[3.0, 1.0], beta=0.0, value=log(8 / 3) / 2
        ),
        Example(
            predictions=[[0.0, 0.0], [log(3), 0.0]],
            labels=[1, 0],
            counts=[2.0, 1.0],
            beta=0.5,
            value=0.6 * log(2) + 0.4 * log(4 / 3),
        ),
    ],
)
def class_balanced_cross_entropy(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    counts: ClassCounts[Tensor, "C"],
    *,
    beta: Overlap = 0.9999,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Cross entropy with a weight per class that follows from how many samples the class has.

    Weighing classes by the inverse of their size makes a single sample of a tiny class outweigh thousands of others. But the
    hundredth picture of a cat teaches less than the first, since samples overlap: n of them are worth an effective number of
    $(1 - \beta^n) / (1 - \beta)$. Classes are weighed by the inverse of that. With `beta` 0 every class counts the same
    per sample, as in `cross_entropy`; towards 1 the weights become the inverse of the sizes.

    Weights are scaled so that their average over classes is 1, as the authors do, and `mean` divides by the sum of the weights
    of the labels, as `cross_entropy` does with `weight` (the authors' code divides by the number of samples: give that as
    `normalizer`). A class whose count is 0 has weight 0 and no part in that average.

    Formula:
        \ell_n = -w_{y_n} \log p_{n, y_n}, \qquad w_c \propto \frac{1 - \beta}{1 - \beta^{\,n_c}}, \quad
        \frac{1}{C} \sum_c w_c = 1, \quad p_n = \mathrm{softmax}(x_n)

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the true class of each sample $y$.
        counts: how many samples of each class the training data have, $n$.
        beta: how much samples of a class overlap, $\beta$: 0 entirely, towards 1 not at all; 0.9, 0.99, 0.999, 0.9999 are
            usual.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position); 0 where the label is ignored.

    Use when:
        classes have a long tail and the rare ones matter as much: species, products, faults, rare diseases, intents.

    Avoid when:
        the test data are as unequal as the training data and mere accuracy counts (take `cross_entropy`), or margins should
        move rather than weights (take `logit_adjusted_cross_entropy` or `ldam`).

    Source:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019. https://arxiv.org/abs/1901.05555.
    """
    weight = _balanced(counts, beta)
    return F.cross_entropy(predictions, labels, weight=weight, ignore_index=ignore_index, reduction="none")


@loss(
    suits={
        "long_tail": "Logits are shifted by how frequent a class is, which is right for the mean accuracy of classes.",
        "imbalance": "It moves margins rather than weights, and needs nothing but the frequencies.",
    },
    support=_labels.counted,
    check=_labels.class_flaws,
    sweeps=6,
    examples=[
        Example(predictions=[[0.0, 0.0], [0.0, 0.0]], labels=[0, 1], prior=[0.75, 0.25], value=-log(0.75 * 0.25) / 2),
    ],
)
def logit_adjusted_cross_entropy(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    prior: Priors[Tensor, "C"],
    *,
    tau: NonNegative = 1.0,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Cross entropy of logits that first get the logarithm of how frequent each class is.

    A model that knows nothing does best by guessing the frequent classes, and keeps some of that habit. Here it is given the
    frequencies for free during training, so that it need not learn them: what remains in its logits treats all classes
    alike. At test time the logits are taken as they are, and the decision is best for the average accuracy of the classes.
    With `tau` 1 this is also known as balanced softmax; 0 is `cross_entropy`.

    A prior below 1e-12, 0 included, is raised to that.

    Formula:
        \ell_n = -\log \frac{e^{x_{n, y_n} + \tau \log \pi_{y_n}}}{\sum_{c=1}^{C} e^{x_{nc} + \tau \log \pi_c}}

    Args:
        predictions: logits $x$, classes in the second dimension (or the only one); images may have any number of further ones.
        labels: the true class of each sample $y$.
        prior: the share of each class in the training data, $\pi$; only ratios matter.
        tau: how much of the prior is taken out, $\tau$.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position), in nats; 0 where the label is ignored.

    Use when:
        classes have a long tail, and what counts is being right on each of them: species, products, rare diseases, intents,
        client data of unequal mixture in federated learning.

    Avoid when:
        the data at test time are as unequal as those of training and mere accuracy counts: take `cross_entropy`.

    Source:
        Menon et al., Long-tail Learning via Logit Adjustment, 2020. https://arxiv.org/abs/2007.07314.
    """
    shift = tau * prior.clamp(min=1e-12).log()
    dim = _labels.class_dimension(predictions)
    adjusted = predictions + shift.reshape(-1, *[1] * (predictions.ndim - dim - 1))
    return F.cross_entropy(adjusted, labels, ignore_index=ignore_index, reduction="none")


@loss(
    suits={
        "long_tail": "Rare classes must be right by a larger margin.",
        "imbalance": "The margin of a class follows from its count.",
    },
    support=_labels.counted,
    check=_labels.class_flaws,
    examples=[
        Example(
            predictions=[[0.0, 0.0], [0.0, 0.0]],
            labels=[0, 1],
            counts=[16.0, 1.0],
            scale=1.0,
            value=(log(1 + exp(0.25)) + log(1 + exp(0.5))) / 2,
        ),
    ],
)
def ldam(
    predictions: Logits[Tensor, "N C *d | C"],
    labels: ClassIndices[Tensor, "N *d | "],
    counts: ClassCounts[Tensor, "C"],
    *,
    max_margin: NonNegative = 0.5,
    scale: Positive = 30.0,
    ignore_index: IgnoredIndex = -100,
) -> Unreduced[Tensor, "N *d | "]:
    r"""Label-distribution-aware margin loss: rare classes must be right by a larger margin.

    A rare class is easily fitted and badly generalised, so it is given more room: the logit of the right class is lowered by a
    margin before `cross_entropy` sees it, and the margin shrinks with the fourth root of the size of the class. The rarest
    class has `max_margin`. Logits are meant to be cosines, between -1 and 1 (features and class vectors of length 1), which
    `scale` then makes steep enough for softmax.

    The authors also raise the weights of rare classes late in training (deferred re-weighting): give them as `sample_weight`.
    Classes whose count is 0 have the largest margin.

    Formula:
        \ell_n = -\log \frac{e^{s (x_{n, y_n} - \Delta_{y_n})}}{e^{s (x_{n, y_n} - \Delta_{y_n})}
        + \sum_{c \neq y_n} e^{s x_{nc}}}, \qquad \Delta_c = m \left( \frac{\min_k n_k}{n_c} \right)^{1/4}

    Args:
        predictions: logits $x$, best cosines, classes in the second dimension (or the only one).
        labels: the true class of each sample $y$.
        counts: how many samples of each class the training data have, $n$.
        max_margin: the margin $m$ of the rarest class.
        scale: the factor $s$ on all logits.
        ignore_index: label of samples that do not count.

    Returns:
        one loss per sample (and position), in nats; 0 where the label is ignored.

    Use when:
        classes have a long tail and the last layer compares directions: recognition of images, faces, species, products.

    Avoid when:
        logits are not bounded, since the margin then means nothing: take `logit_adjusted_cross_entropy`.

    Source:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, 2019.
        https://arxiv.org/abs/1906.07413.
    """
    dim = _labels.class_dimension(predictions)
    present = counts > 0
    rarest = torch.where(present, counts, torch.inf).amin()
    margins = max_margin * torch.where(present, rarest / torch.where(present, counts, 1.0), 1.0) ** 0.25
    kept = labels != ignore_index
    index = labels.where(kept, 0)
    # Softmax does not change when all logits do; that of the largest is 0, so that the scale overflows nothing that matters.
    steep = predictions - predictions.detach().amax(dim, keepdim=True)
    steep.scatter_add_(dim, index.unsqueeze(dim), -margins[index].unsqueeze(dim)).mul_(scale)
    return F.cross_entropy(steep, index, reduction="none").masked_fill(~kept, 0.0)


@loss(
    tasks=["multilabel"],
    suits={
        "imbalance": "Of many labels the absent ones fade out faster than the present ones, and the surest do not "
        "count.",
        "missing_labels": "An absent label that looks present is let go, since it may merely be missing.",
        "long_tail": "Rare labels keep their gradient among countless absent ones.",
    },
    copies=11,
    sweeps=25,
    aliases=["asymmetric_loss"],
    examples=[
        Example(predictions=[[0.0, 0.0]], labels=[[1.0, 0.0]], value=(0.5 * log(2) - 0.45**4 * log(0.55)) / 2),
    ],
)
def asymmetric(
    predictions: Logits[Tensor, "N C"],
    labels: Flags[Tensor, "N C"],
    *,
    gamma_negative: NonNegative = 4.0,
    gamma_positive: NonNegative = 1.0,
    clip: Overlap = 0.05,
) -> Unreduced[Tensor, "N C"]:
    r"""Asymmetric loss for many labels per sample: the countless absent ones must not drown the few present.

    A picture has three tags out of thousands: the "no" of all others makes up nearly all of `binary_cross_entropy_with_logits`.
    Like `binary_focal` this loss fades out what is answered well, but differently for yes and no: strongly for absent labels
    (`gamma_negative`), a little or not at all for present ones (`gamma_positive`). Absent labels with a probability below
    `clip` cost nothing at all; that also forgives labels that were forgotten. With both gammas 0 and `clip` 0 it is
    `binary_cross_entropy_with_logits`.

    The focal weights carry gradient, as in the paper; the authors' code and timm can switch that off
    (`disable_torch_grad_focal_loss`), and sum over labels where `mean` here divides by all of them.

    Formula:
        \ell_{nc} = -y (1 - p)^{\gamma_+} \log p - (1 - y) \, p_m^{\gamma_-} \log (1 - p_m), \qquad
        p = \sigma(x_{nc}), \quad p_m = \max(p - m, 0)

    Args:
        predictions: logits $x$, one per sample and label.
        labels: 1 for labels that the sample has, 0 for the others $y$; same shape as `predictions`.
        gamma_negative: how strongly well-answered absent labels fade, $\gamma_-$.
        gamma_positive: how strongly well-answered present labels fade, $\gamma_+$.
        clip: the probability $m$ below which an absent label costs nothing.

    Returns:
        one loss per sample and label, in nats.

    Use when:
        many labels are possible and few apply: tags of images and videos, attributes, topics, codes of diagnoses, functions of
        proteins; also where some labels are missing.

    Avoid when:
        exactly one label is right (take `cross_entropy`), or probabilities must be calibrated (take
        `binary_cross_entropy_with_logits`).

    Source:
        Ben-Baruch et al., Asymmetric Loss For Multi-Label Classification, 2020. https://arxiv.org/abs/2009.14119; timm.
    """
    missing = labels - 1  # -1 where absent, else 0
    kept = F.logsigmoid(predictions * (labels + missing))
    # What was denied: 1 - p of present labels and p of absent ones, of which the clip is taken off.
    denied = F.relu(-torch.sub(kept.expm1(), missing, alpha=clip))
    if clip > 1e-3:
        remaining = torch.log1p(missing * denied)
    elif clip:
        # 1 - p + clip as a sum of positive numbers, of which none is rounded away.
        remaining = -missing * (kept.exp() + max(clip, torch.finfo(kept.dtype).tiny)).clamp(max=1).log()
    else:
        remaining = -missing * kept
    return -(power(denied, gamma_positive) * (labels * kept) + power(denied, gamma_negative) * remaining)
