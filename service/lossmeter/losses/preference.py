"""Losses for pairs of answers, of which people prefer one, that look at the margin between the two."""

from __future__ import annotations

from math import exp, log, log1p
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lossmeter.losses._logistic import sigmoid
from lossmeter.losses._roles import Beta, PolicyChosen, PolicyRejected, ReferenceChosen, ReferenceRejected
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Fraction, OpenFraction, Unreduced

FAMILY = "preference"
TASKS = ("alignment",)

Noise = Annotated[float, Field(ge=0, lt=0.5, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

PAIR = {
    "policy_chosen": [-9.0, -20.0],
    "policy_rejected": [-12.0, -20.0],
    "reference_chosen": [-10.0, -20.0],
    "reference_rejected": [-11.0, -20.0],
}
"""Two pairs: in one the policy went 2 nats towards the better answer, in the other it is the reference still."""


def _margin(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor
) -> Tensor:
    """Returns by how much farther the policy went towards the better answer than towards the worse one, in nats."""
    return (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)


def _softplus(number: float) -> float:
    return log(1 + exp(number))


@loss(
    suits={
        "usual": "Pairs of answers were compared, and the model that training began from is the reference.",
        "preferences": "It raises the better answer above the worse one, measured from a reference.",
    },
    aliases=["cdpo", "dpo_loss"],
    shared_names=["sigmoid"],
    sweeps=5,
    examples=[
        Example(**PAIR, value=(_softplus(-0.2) + log(2)) / 2),
        Example(**PAIR, beta=0.5, label_smoothing=0.1, value=(0.9 * _softplus(-1) + 0.1 * _softplus(1) + log(2)) / 2),
    ],
)
def dpo(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
    label_smoothing: Fraction = 0.0,
) -> Unreduced[Tensor, "B"]:
    r"""Direct preference optimisation: raises the better of two answers above the worse one, measured from a reference model.

    People said which of two answers to a question they like better. The loss is that of a classifier which predicts their
    choice from how much more likely the model in training finds each answer than a reference does: it wants the better one to
    have gained more. No model of rewards is trained and nothing is sampled; four sums of log-probabilities per pair are all it
    needs.

    Only the difference counts, so both answers may become less likely together; add the likelihood of the better one (`nll`)
    in an objective against that. TRL calls it `sigmoid`, Tinker's recipes and torchtune DPO. `label_smoothing` above 0 is
    conservative DPO: that share of the choices is taken to be wrong. At 0.5 nothing is left to learn: its least is at a margin
    of 0. Divide the four sums by the lengths of their answers for TRL's `sigmoid_norm`.

    Formula:
        \ell_b = -(1 - \varepsilon) \log \sigma(\beta \Delta_b) - \varepsilon \log \sigma(-\beta \Delta_b), \qquad
        \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        label_smoothing: share $\varepsilon$ of choices that are taken to be the wrong way around.

    Returns:
        one loss per pair, in nats; log 2 = 0.69 where the model is the reference.

    Use when:
        a language model (or a model of images) is to be aligned with pairs of answers that people or another model compared,
        and training with rewards is too costly or too unstable.

    Avoid when:
        choices are noisy (take `robust_dpo`, or smooth), so consistent that margins grow without bound (take `ipo`), not in
        pairs (take `kto`), or no reference fits into memory (take `simpo` or `orpo`).

    Source:
        Rafailov et al., Direct Preference Optimization, 2023. https://arxiv.org/abs/2305.18290; TRL, DPOTrainer, loss_type
        sigmoid.
    """
    logits = beta * _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    losses = -F.logsigmoid(logits)
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * F.logsigmoid(-logits)
    return losses


@loss(
    suits={"preferences": "The margin has a fixed size, so that choices without doubt do not drive it ever farther."},
    sweeps=5,
    examples=[
        Example(
            policy_chosen=[-0.5],
            policy_rejected=[-2.0],
            reference_chosen=[-1.0],
            reference_rejected=[-1.5],
            beta=0.25,
            value=1.0,
        )
    ],
)
def ipo(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Identity preference optimisation: pulls the margin between two answers to a fixed size instead of ever farther apart.

    `dpo` never stops pushing pairs on which everybody agrees, until the model forgets its reference altogether. Here the margin
    has a target, $1 / (2 \beta)$: less costs, and more costs too. A large $\beta$ asks for a small margin, near the
    reference.

    The target is one for answers of any length only if log-probabilities are means over their tokens: divide each of the four
    by the length of its answer before, as TRL does (its loss_type `ipo`, after asking the authors). Sums are taken as they are.

    Formula:
        \ell_b = \left( \Delta_b - \frac{1}{2 \beta} \right)^2, \qquad
        \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        policy_chosen: log-probability of the better answer under the model in training, divided by its length.
        policy_rejected: the same of the worse answer to the same question, in the same row.
        reference_chosen: log-probability of the better answer under the reference, divided by its length.
        reference_rejected: the same of the worse answer.

    Returns:
        one loss per pair, in nats squared.

    Use when:
        each pair was compared once and choices are nearly deterministic, so that `dpo` overfits.

    Avoid when:
        choices carry real doubt that should be kept as a probability (take `dpo`), or lengths are not at hand.

    Source:
        Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences, 2023.
        https://arxiv.org/abs/2310.12036; TRL, DPOTrainer, loss_type ipo.
    """
    margin = _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return (margin - 0.5 / beta).square()


@loss(
    suits={
        "preferences": "Pairs that are far enough apart are left alone.",
        "maximum_margin": "It is the hinge of preferences: what is settled no longer counts.",
    },
    aliases=["slic_hf"],
    sweeps=5,
    examples=[Example(**PAIR, beta=0.25, value=0.75)],
)
def dpo_hinge(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""The hinge in place of the logistic loss of `dpo`: pairs that are far enough apart no longer count.

    A pair whose margin is at least $1 / \beta$ costs nothing and has no gradient; any other costs what it lacks. Training thus
    stops by itself on pairs that are settled. It is the loss of SLiC-HF with the margin measured from a reference, as RSO has
    it (where its $\gamma$ is our $\beta$). TRL calls it `hinge`.

    Formula:
        \ell_b = \max(0, \; 1 - \beta \Delta_b), \qquad
        \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        beta: how firmly the model is held to the reference, $\beta$: the margin that is asked for is $1 / \beta$ nats.

    Returns:
        one loss per pair; 1 where the model is the reference.

    Use when:
        only the order of the two answers matters, and settled pairs should be left alone.

    Avoid when:
        a smooth loss or a probability of preference is wanted: take `dpo`. Without a reference, give zeros for its two roles.

    Source:
        Liu et al., Statistical Rejection Sampling Improves Preference Optimization, 2023. https://arxiv.org/abs/2309.06657;
        Zhao et al., SLiC-HF, 2023. https://arxiv.org/abs/2305.10425; TRL, DPOTrainer, loss_type hinge.
    """
    return (1 - beta * _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)).relu()


@loss(
    minimum=None,
    suits={
        "noisy_labels": "It corrects for a known share of comparisons that are wrong.",
        "preferences": "It is `dpo` for choices of which a known share is wrong.",
    },
    aliases=["robust"],
    sweeps=6,
    examples=[
        Example(**PAIR, beta=0.5, label_smoothing=0.25, value=(1.5 * _softplus(-1) - 0.5 * _softplus(1) + log(2)) / 2)
    ],
)
def robust_dpo(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
    label_smoothing: Noise = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""`dpo` for choices of which a known share is wrong: on average the loss of the choices without the errors.

    If annotators choose the wrong answer with probability $\varepsilon$, the mean of this loss over their choices is what the
    mean of `dpo` would be over right ones. For that it subtracts what flipped pairs contribute, so single values, and the loss
    of a pair on which the model is very sure, are negative and without bound. Smoothing in `dpo` is more cautious: it stays
    convex, and moves the optimum to a finite margin. With $\varepsilon = 0$ both are plain `dpo`. TRL calls it `robust`.

    Formula:
        \ell_b = \frac{-(1 - \varepsilon) \log \sigma(\beta \Delta_b) + \varepsilon \log \sigma(-\beta \Delta_b)}
        {1 - 2 \varepsilon}, \qquad
        \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        label_smoothing: share $\varepsilon$ of choices that are the wrong way around, below a half.

    Returns:
        one loss per pair, in nats; log 2 where the model is the reference.

    Use when:
        preferences come from crowds, clicks or a weak judge, and the share of errors is known or can be estimated.

    Avoid when:
        choices are clean (take `dpo`), or the share of errors is a guess: one that is too large rewards overconfidence.

    Source:
        Chowdhury, Kini and Natarajan, Provably Robust DPO, 2024. https://arxiv.org/abs/2403.00409; TRL, DPOTrainer,
        loss_type robust.
    """
    logits = beta * _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    # (1 - e)(-log p) - e (-log(1 - p)) = (1 - 2e)(-log p) - e logit
    return -F.logsigmoid(logits) - label_smoothing / (1 - 2 * label_smoothing) * logits


@loss(
    suits={"preferences": "It commits to the preferred way of answering rather than covering all acceptable ones."},
    examples=[
        Example(
            **PAIR,
            label_smoothing=0.25,
            beta=0.5 * log(3),
            value=(0.0 + 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25)) / 2,
        )
    ],
)
def exo_pair(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
    label_smoothing: OpenFraction = 1e-3,
) -> Unreduced[Tensor, "B"]:
    r"""Exact optimisation on pairs: the reverse divergence between the model's choice and that of the annotators.

    `dpo` is cross entropy under the distribution of the annotators: it makes the model cover everything that they might
    choose. This takes the divergence the other way around, as reinforcement learning with a penalty does: the model is to be
    sure of what they choose. Annotators are taken to prefer the chosen answer with probability $1 - \varepsilon$, which cannot
    be 1, as the divergence would be infinite. It has its least, 0, at a margin of $\log((1 - \varepsilon) / \varepsilon) /
    \beta$. For pairs that are far apart in the wrong order its gradient fades, unlike that of `dpo`. TRL has it under this
    name.

    Formula:
        \ell_b = q_b \log \frac{q_b}{1 - \varepsilon} + (1 - q_b) \log \frac{1 - q_b}{\varepsilon}, \qquad
        q = \sigma(\beta \Delta), \quad \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        label_smoothing: the probability $\varepsilon$ that the annotators prefer the other answer, between 0 and 1.

    Returns:
        one loss per pair, in nats, not negative.

    Use when:
        a model should commit to the preferred way of answering rather than spread over all acceptable ones.

    Avoid when:
        most pairs are in the wrong order at the start, where the gradient is weak: take `dpo`.

    Source:
        Ji et al., Towards Efficient and Exact Optimization of Language Model Alignment, 2024. https://arxiv.org/abs/2402.00856,
        equation 16; TRL, DPOTrainer, loss_type exo_pair.
    """
    logits = beta * _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    right, wrong = F.logsigmoid(logits), F.logsigmoid(-logits)
    return right.exp() * (right - log1p(-label_smoothing)) + wrong.exp() * (wrong - log(label_smoothing))


@loss(
    suits={"preferences": "It did well in comparisons with `dpo`, as an experiment."},
    examples=[
        Example(
            policy_chosen=[-3.0],
            policy_rejected=[-3.0],
            reference_chosen=[-3.0],
            reference_rejected=[-3.0],
            value=0.5 * log(2) + 0.5,
        )
    ],
)
def discopop(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
    temperature: Temperature = 0.05,
) -> Unreduced[Tensor, "B"]:
    r"""A loss for pairs that a language model found: the logistic loss below a margin of zero, the exponential one above.

    Asked for better losses again and again, and told how each had done, a language model came up with this mixture. For pairs
    in the wrong order it is `dpo`, for those in the right order $e^{-\beta \Delta}$, and a steep sigmoid blends the
    two. It is not convex: a dip lies just below zero, where pairs may come to rest. Its authors found it robust across tasks.
    TRL has it under this name, with `discopop_tau` for the temperature. A temperature above 1 is refused, since
    the loss would then grow exponentially on pairs in the wrong order.

    Formula:
        \ell_b = -(1 - m_b) \log \sigma(\beta \Delta_b) + m_b \, e^{-\beta \Delta_b}, \qquad m = \sigma(\beta \Delta / \tau),
        \quad \Delta = \log \frac{\pi(y_w)}{\pi_0(y_w)} - \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        temperature: how gradually one loss turns into the other, $\tau$, in the unit of $\beta \Delta$.

    Returns:
        one loss per pair.

    Use when:
        `dpo` has been tried, and another loss that did well in comparisons is to be held against it.

    Avoid when:
        an argument for the loss is needed rather than an experiment: take `dpo` or `ipo`.

    Source:
        Lu et al., Discovering Preference Optimization Algorithms with and for Large Language Models, 2024.
        https://arxiv.org/abs/2406.08414; TRL, DPOTrainer, loss_type discopop.
    """
    logits = beta * _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    # In the exponent, where exp(-x) does not overflow before it meets a share that vanishes.
    exponential = (F.logsigmoid(logits / temperature) - logits).exp()
    logistic = sigmoid(-logits / temperature) * F.logsigmoid(logits)
    return exponential - logistic
