"""Losses between distributions over classes: with the truth, with a teacher, or with each other."""

from __future__ import annotations

from math import frexp, log

import torch
from torch import Tensor

from lossmeter.losses import _labels
from lossmeter.losses._logarithms import divergence
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import (
    ClassIndices,
    Distributions,
    Fraction,
    Logits,
    LogProbabilities,
    Positive,
    Probabilities,
    Unreduced,
)

FAMILY = "classification"
TASKS = ("multiclass",)


def _divergence(log_true: Tensor, log_model: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of a model, of log-probabilities."""
    return -(log_true.exp() * (log_model - log_true)).sum(1)  # the sign of sums takes less than that of their terms


def _from_mixture(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], middle: Tensor, share: float) -> Tensor:
    """The mean divergence of two distributions from their mixture, with a share of the second; of all three the logarithms."""
    (p, log_p), (q, log_q) = first, second
    # The derivative with respect to the ratios vanishes: they are constants here, and no 0 times infinity arises.
    values = (1 - share) * (p * (log_p - middle)).sum(1) + share * (q * (log_q - middle)).sum(1)
    return values.detach().clamp(min=0) + (values - values.detach())


@loss(
    suits={
        "calibration": "It is a proper score whose cost is bounded, so that no single confident mistake dominates.",
        "soft_labels": "Its minimum over soft labels is at exactly those probabilities.",
    },
    aliases=["brier_score", "brier_score_loss"],
    check=_labels.class_flaws,
    examples=[
        Example(predictions=[[0.7, 0.2, 0.1]], labels=[0], value=0.14),
        Example(predictions=[[0.5, 0.5]], labels=[1], value=0.5),
    ],
)
def brier(predictions: Probabilities[Tensor, "N C"], labels: ClassIndices[Tensor, "N"]) -> Unreduced[Tensor, "N"]:
    r"""Brier score: the squared distance between predicted probabilities and what happened.

    What happened is 1 for the true class and 0 for the others. The score is 0 for certainty about the right class, 2 for
    certainty about a wrong one, and smallest on average for the true probabilities, like `cross_entropy`; but a confident
    mistake costs a bounded amount. It takes probabilities, not logits.

    This is Brier's own definition, a sum over all classes. For two classes many libraries look at one of them only, which is
    half of it: scikit-learn's `brier_score_loss` does so by default there, and not for more classes (`scale_by_half`).

    Formula:
        \ell_n = \sum_{c=1}^{C} (p_{nc} - [c = y_n])^2

    Args:
        predictions: probabilities $p$ of all classes, one row per sample, which sum to 1.
        labels: the true class of each sample $y$.

    Returns:
        one loss per sample, between 0 and 2.

    Use when:
        probabilities must be right rather than only their order: weather, medicine, credit, betting, ensembles; or confident
        mistakes must not dominate as they do under `cross_entropy`.

    Avoid when:
        logits are at hand and a model is trained from scratch, since gradients vanish where it is surely wrong: take
        `cross_entropy`.

    Source:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
        https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2; scikit-learn, brier_score_loss.
    """
    certain = torch.zeros_like(predictions).scatter(1, labels.unsqueeze(1), 1.0)
    return (predictions - certain).square().sum(1)


@loss(
    suits={"soft_labels": "It compares two distributions without taking either for the truth, and stays below log 2."},
    aliases=["jensen_shannon_divergence", "js_divergence"],
    check=_labels.class_flaws,
    examples=[
        Example(predictions=[[log(0.5), log(0.5)]], labels=[[0.5, 0.5]], value=0.0),
        Example(
            predictions=[[log(0.5), log(0.5)]], labels=[[1.0, 0.0]], value=log(4 / 3) / 2 + log(2 / 3) / 4 + log(2) / 4
        ),
    ],
)
def js_div(
    predictions: LogProbabilities[Tensor, "N C"], labels: Probabilities[Tensor, "N C"]
) -> Unreduced[Tensor, "N"]:
    r"""Jensen-Shannon divergence: how far apart two distributions are, the same in both directions.

    It is the mean of the `kl_div` of each distribution from their average. Unlike that it is symmetric, finite even where one
    of the two has a probability of 0, and never above ln 2 = 0.69. Its square root is a distance in the sense of mathematics,
    which is what scipy's `jensenshannon` gives.

    As in `kl_div` predictions are log-probabilities and labels probabilities. The gradient of a label of 0 is taken at the
    smallest normal number.

    Formula:
        \ell_n = \tfrac{1}{2} \sum_c q_{nc} \log \frac{q_{nc}}{m_{nc}} + \tfrac{1}{2} \sum_c p_{nc} \log \frac{p_{nc}}{m_{nc}},
        \qquad p_n = e^{x_n}, \quad m_n = \tfrac{1}{2} (p_n + q_n)

    Args:
        predictions: log-probabilities $x$, such as log_softmax gives, one row per sample.
        labels: probabilities $q$, one row per sample.

    Returns:
        one loss per sample, in nats, between 0 and ln 2.

    Use when:
        two distributions should agree and neither is the truth: consistency between augmented views, agreement of models or
        annotators, drift between data sets.

    Avoid when:
        one of them is the truth (take `cross_entropy` or `kl_div`), or a language model learns from a teacher (take
        `generalized_jsd`).

    Source:
        Lin, Divergence Measures Based on the Shannon Entropy, 1991. https://doi.org/10.1109/18.61115; kornia, js_div_loss_2d.
    """
    p, q = predictions.exp(), labels.detach().clamp(min=torch.finfo(labels.dtype).tiny)
    middle = (p.detach() + q).log() - log(2)
    return _from_mixture((p, predictions.detach()), (labels, q.log()), middle, 0.5)


@loss(
    suits={"ordered_classes": "Probability costs more the farther from the right class it lies."},
    check=_labels.class_flaws,
    examples=[
        Example(predictions=[[0.5, 0.5, 0.0]], labels=[2], value=1.25),
        Example(predictions=[[0.2, 0.3, 0.5]], labels=[[0.1, 0.3, 0.6]], value=0.02),
    ],
)
def emd(
    predictions: Distributions[Tensor, "N C"], labels: ClassIndices[Tensor, "N"] | Distributions[Tensor, "N C"]
) -> Unreduced[Tensor, "N"]:
    r"""Squared earth mover's distance between distributions over ordered classes: how far probability must be moved.

    Classes have an order here, such as one to five stars. `cross_entropy` does not know that: predicting four stars in place of
    five costs as much as one star. This loss compares cumulative probabilities, so that each step in between counts.
    Predictions are probabilities, labels a class or a distribution such as the votes of several people.

    The sum is neither divided by the number of classes nor taken the root of; NIMA, which rates photographs, does both: the
    root of this divided by C.

    Formula:
        \ell_n = \sum_{c=1}^{C} \left( \sum_{k=1}^{c} (p_{nk} - q_{nk}) \right)^2

    Args:
        predictions: probabilities $p$ of all classes in their order, one row per sample, which sum to 1.
        labels: the true class of each sample, or one probability per class $q$.

    Returns:
        one loss per sample, between 0 and $C - 1$.

    Use when:
        classes have an order: ratings, age groups, grades of a disease, quality of images, bins of a number.

    Avoid when:
        classes have no order (take `cross_entropy`), or the model gives one logit per threshold (take `corn` or `coral`).

    Source:
        Hou, Yu and Samaras, Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks, 2016.
        https://arxiv.org/abs/1611.05916.
    """
    if not labels.is_floating_point():
        labels = torch.zeros_like(predictions).scatter(1, labels.unsqueeze(1), 1.0)
    return (predictions - labels).cumsum(1).square().sum(1)


def _steep(logits: Tensor, temperature: float) -> Tensor:
    """log_softmax of logits divided by a temperature, finite for any that is positive."""
    if temperature >= 4 and frexp(temperature)[0] == 0.5:
        return (logits / temperature).log_softmax(1)  # a power of two rounds nothing, and no difference overflows
    below = logits - logits.detach().amax(1, keepdim=True)
    bound = torch.finfo(logits.dtype)
    return (below / max(temperature, bound.tiny)).clamp(min=bound.min / 4).log_softmax(1)


@loss(
    suits={
        "distillation": "It matches the softened probabilities of a teacher whose logits are at hand.",
        "soft_labels": "The answers of a teacher are soft labels, given as logits.",
    },
    check=_labels.class_flaws,
    examples=[
        Example(
            predictions=[[0.0, 0.0]], teacher=[[log(3), 0.0]], temperature=1.0, value=0.75 * log(1.5) + 0.25 * log(0.5)
        ),
        Example(predictions=[[0.0, 0.0]], teacher=[[2 * log(3), 0.0]], temperature=2.0, value=3 * log(1.5) + log(0.5)),
    ],
)
def distillation(
    predictions: Logits[Tensor, "N C"], teacher: Logits[Tensor, "N C"], *, temperature: Positive = 4.0
) -> Unreduced[Tensor, "N"]:
    r"""Knowledge distillation: a small model learns the softened answers of a large one.

    The teacher's probabilities say more than the right class: which wrong ones are nearly right. Both models' logits are
    divided by a temperature, which raises small probabilities to where they can be learned from, and the loss is the divergence
    of the student from the teacher. It is multiplied by the square of the temperature, so that its gradients stay of the same
    size whatever that is; then it can be added to `cross_entropy` on true labels, as the authors do, in an objective of both
    terms. The teacher's gradient is there if asked for, and 0 work otherwise.

    Formula:
        \ell_n = T^2 \sum_{c=1}^{C} t_{nc} \log \frac{t_{nc}}{s_{nc}}, \qquad
        t_n = \mathrm{softmax}(z_n / T), \quad s_n = \mathrm{softmax}(x_n / T)

    Args:
        predictions: logits $x$ of the student, one row per sample.
        teacher: logits $z$ of the teacher; same shape as `predictions`.
        temperature: by what logits are divided, $T$: 1 leaves them, 2 to 10 is usual.

    Returns:
        one loss per sample, in nats times $T^2$.

    Use when:
        a large model or an ensemble is compressed into a small one: mobile vision, speech, text classifiers, models behind
        tight deadlines; or predictions are kept while new classes are learned.

    Avoid when:
        a student of language models writes by itself (take `generalized_jsd`), or the teacher gave only a few probabilities
        per token (take `topk_distillation`).

    Source:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015. https://arxiv.org/abs/1503.02531.
    """
    student, taught = _steep(predictions, temperature), _steep(teacher, temperature)
    if temperature > 8:
        # The square of the temperature would magnify the rounding of the plain sum.
        return divergence(taught, student).sum(1) * temperature * temperature
    return _divergence(taught, student) * temperature**2


@loss(
    tasks=["text"],
    suits={
        "distillation": "`beta` chooses between covering all that the teacher would say and sticking to its likeliest.",
    },
    check=_labels.class_flaws,
    examples=[
        Example(
            predictions=[[log(0.5), log(0.5)]],
            teacher=[[log(0.75), log(0.25)]],
            beta=0.0,
            value=0.75 * log(1.5) + 0.25 * log(0.5),
        ),
        Example(predictions=[[log(0.5), log(0.5)]], teacher=[[log(0.75), log(0.25)]], beta=1.0, value=log(4 / 3) / 2),
    ],
)
def generalized_jsd(
    predictions: LogProbabilities[Tensor, "N C"], teacher: LogProbabilities[Tensor, "N C"], *, beta: Fraction = 0.5
) -> Unreduced[Tensor, "N"]:
    r"""Generalised Jensen-Shannon divergence between a student and a teacher, between the two directions of `kl_div`.

    `beta` 0 is the divergence of the student from the teacher, as in `distillation`: it makes the student cover everything that
    the teacher may say. `beta` 1 is the reverse: it makes the student stick to what the teacher surely says. Between them each
    is compared with a mixture of both; 0.5 is the Jensen-Shannon divergence (`js_div`). The ends are the two divergences
    themselves, as in TRL, and not the limits of the formula, which are 0. Rows are not checked: at the ends those that do not
    sum to 1 may give less than 0.

    Formula:
        \ell_n = \beta \, \mathrm{KL}(t_n \,\|\, m_n) + (1 - \beta) \, \mathrm{KL}(s_n \,\|\, m_n), \quad
        m_n = \beta \, t_n + (1 - \beta) \, s_n; \qquad
        \beta = 0: \; \mathrm{KL}(t_n \,\|\, s_n), \quad \beta = 1: \; \mathrm{KL}(s_n \,\|\, t_n)

    Args:
        predictions: log-probabilities of the student, $\log s$, one row per sample (or token).
        teacher: log-probabilities of the teacher, $\log t$; same shape as `predictions`.
        beta: the share $\beta$ of the teacher in the mixture.

    Returns:
        one loss per sample, in nats.

    Use when:
        language models are distilled on text that the student wrote by itself (generalised knowledge distillation), or it has
        to be tuned between covering and sticking.

    Avoid when:
        logits and a temperature are at hand and the classes are few: take `distillation`.

    Source:
        Agarwal et al., On-Policy Distillation of Language Models, 2023. https://arxiv.org/abs/2306.13649; TRL, GKDTrainer.
    """
    if beta == 0:
        return _divergence(teacher, predictions)
    if beta == 1:
        return _divergence(predictions, teacher)
    student, taught = predictions.exp(), teacher.exp()
    mixture = torch.add(student.detach() * (1 - beta), taught.detach(), alpha=beta)
    # What is below the smallest normal number has no part in the sum, whatever the mixture is.
    middle = mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()
    return _from_mixture((student, predictions.detach()), (taught, teacher.detach()), middle, beta)
