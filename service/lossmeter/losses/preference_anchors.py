"""Losses for preferred answers that hold each answer against the reference by itself, in pairs or alone."""

from __future__ import annotations

from math import exp, log

import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._logistic import sigmoid
from lossmeter.losses._roles import Beta, PolicyChosen, PolicyRejected, ReferenceChosen, ReferenceRejected
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import Divergences, LogProbabilities, NonNegative, Signs, Unreduced

FAMILY = "preference"
TASKS = ("alignment",)

ANSWER = {
    "policy_chosen": [-9.0],
    "policy_rejected": [-12.0],
    "reference_chosen": [-10.0],
    "reference_rejected": [-11.0],
}
"""A pair in which the policy raised the better answer by a nat, and lowered the worse one by a nat."""


def _sigmoid(number: float) -> float:
    return 1 / (1 + exp(-number))


@loss(
    suits={"preferences": "It keeps the better answer likely while it lowers the worse one."},
    examples=[Example(**ANSWER, beta=1.0, value=1.5 * log(1 + exp(-1)) + 0.5 * log(1 + exp(1)))],
)
def nca_pair(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Noise contrastive alignment on pairs: keeps the better answer likely while it lowers the worse one.

    `dpo` looks at the difference of two answers alone, and often lowers the likelihood of both. This tells answers of the
    model from answers of the reference, each by itself: the better one should become more likely than it was, but not
    without end, and the worse one less likely. What a pair is worth depends on where each answer is, not on their
    distance. TRL has it under this name.

    Formula:
        \ell_b = -\log \sigma(\beta r_w) - \tfrac{1}{2} \log \sigma(-\beta r_w) - \tfrac{1}{2} \log \sigma(-\beta r_l), \qquad
        r_w = \log \frac{\pi(y_w)}{\pi_0(y_w)}, \quad r_l = \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        beta: how firmly the model is held to the reference, $\beta$. The better answer settles where $\beta r_w = \log 2$.

    Returns:
        one loss per pair, in nats; 2 log 2 = 1.39 where the model is the reference.

    Use when:
        the likelihood of good answers must not drop: reasoning and code, where the better answer is a right one.

    Avoid when:
        only the order of the two answers matters: take `dpo`.

    Source:
        Chen et al., Noise Contrastive Alignment of Language Models with Explicit Rewards, 2024.
        https://arxiv.org/abs/2402.05369; TRL, DPOTrainer, loss_type nca_pair.
    """
    chosen, rejected = beta * (policy_chosen - reference_chosen), beta * (policy_rejected - reference_rejected)
    return -F.logsigmoid(chosen) - 0.5 * F.logsigmoid(-chosen) - 0.5 * F.logsigmoid(-rejected)


@loss(
    suits={"preferences": "It is for rounds of self-play, each with the last model as the reference."},
    sweeps=6,
    examples=[Example(**ANSWER, beta=0.25, value=2.0)],
)
def sppo_hard(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Self-play preference optimisation: pulls each answer to a fixed gain over the reference, up or down.

    A model that plays against its last version raises answers that win and lowers those that lose, by as much as their chance
    to win differs from a half. Here the better answer is taken to win for certain and the worse one to lose (hard labels), so
    the one is to gain $1 / (2 \beta)$ nats over the reference and the other to lose as much. Squared distances make it a
    regression: nothing is pushed beyond its target. TRL has it under this name; the $\eta$ of the paper is $1 / \beta$.

    Formula:
        \ell_b = \left( r_w - \frac{1}{2 \beta} \right)^2 + \left( r_l + \frac{1}{2 \beta} \right)^2, \qquad
        r_w = \log \frac{\pi(y_w)}{\pi_0(y_w)}, \quad r_l = \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        beta: how firmly the model is held to the reference, $\beta$: the targets are $\pm 1 / (2 \beta)$ nats.

    Returns:
        one loss per pair, in nats squared.

    Use when:
        training goes in rounds, each with the last model as the reference and with answers that it sampled itself.

    Avoid when:
        preferences are uncertain, or answers differ much in length: sums of log-probabilities then have no common target.

    Source:
        Wu et al., Self-Play Preference Optimization for Language Model Alignment, 2024. https://arxiv.org/abs/2405.00675; TRL,
        DPOTrainer, loss_type sppo_hard.
    """
    target = 0.5 / beta
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    return (chosen - target).square() + (rejected + target).square()


@loss(
    suits={"preferences": "It raises the better answers in themselves, where they are better than the model."},
    sweeps=6,
    examples=[Example(**ANSWER, beta=2.0, value=2 * _sigmoid(-2))],
)
def apo_zero(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Anchored preference optimisation, upwards: better answers become likelier than they were, worse ones less likely.

    `dpo` fixes the difference of two answers and leaves open where they go together. Anchored losses say it: this one raises
    the better answer above the reference and lowers the worse one below it. Take it where the better answers are better than
    what the model writes by itself. Both parts level off, so that pairs far from the reference, either way, pull little. TRL
    has it under this name. For answers without pairs, `kto` with a reference_kl of 0 is the same (`apo_zero_unpaired`).

    Formula:
        \ell_b = 1 - \sigma(\beta r_w) + \sigma(\beta r_l), \qquad
        r_w = \log \frac{\pi(y_w)}{\pi_0(y_w)}, \quad r_l = \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        beta: how firmly the model is held to the reference, $\beta$: at $1 / \beta$ nats from it the pull has faded to 0.8 of
            its most.

    Returns:
        one loss per pair, between 0 and 2; 1 where the model is the reference.

    Use when:
        answers of a stronger model, or corrected ones, are preferred to those of the model in training.

    Avoid when:
        even the better answers are worse than what the model writes (take `apo_down`).

    Source:
        D'Oosterlinck et al., Anchored Preference Optimization and Contrastive Revisions, 2024.
        https://arxiv.org/abs/2408.06266, equation 7; TRL, DPOTrainer, loss_type apo_zero.
    """
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    return sigmoid(-beta * chosen) + sigmoid(beta * rejected)


@loss(
    suits={"preferences": "It lowers both answers, where the model is better than either."},
    sweeps=7,
    examples=[Example(**ANSWER, beta=2.0, value=_sigmoid(2) + _sigmoid(-4))],
)
def apo_down(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    reference_chosen: ReferenceChosen,
    reference_rejected: ReferenceRejected,
    *,
    beta: Beta = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Anchored preference optimisation, downwards: both answers become less likely, the worse one more so.

    It is for pairs of which even the better answer is worse than what the model writes by itself: imitating it would be a
    step back, while the comparison still teaches. So the better answer is lowered gently and kept above the worse one.
    Both parts level off. TRL has it under this name.

    Formula:
        \ell_b = \sigma(\beta r_w) + 1 - \sigma(\beta (r_w - r_l)), \qquad
        r_w = \log \frac{\pi(y_w)}{\pi_0(y_w)}, \quad r_l = \log \frac{\pi(y_l)}{\pi_0(y_l)}

    Args:
        beta: how firmly the model is held to the reference, $\beta$.

    Returns:
        one loss per pair, between 0 and 2; 1 where the model is the reference.

    Use when:
        a strong model learns from preferences between answers of weaker ones.

    Avoid when:
        the better answers are good (take `apo_zero`, or `dpo`).

    Source:
        D'Oosterlinck et al., Anchored Preference Optimization and Contrastive Revisions, 2024.
        https://arxiv.org/abs/2408.06266, equation 8; TRL, DPOTrainer, loss_type apo_down.
    """
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    return sigmoid(beta * chosen) + sigmoid(beta * (rejected - chosen))


@loss(
    suits={
        "implicit_feedback": "It learns from thumbs up and down by themselves, without pairs.",
        "imbalance": "`desirable_weight` and `undesirable_weight` balance many of one kind against few of the other.",
    },
    chunked=False,
    examples=[
        Example(
            policy=[-9.0, -12.0],
            reference=[-10.0, -11.0],
            labels=[1.0, -1.0],
            reference_kl=0.0,
            beta=2.0,
            undesirable_weight=3.0,
            value=2 * _sigmoid(-2),
        ),
        Example(policy=[-9.0], reference=[-10.0], labels=[-1.0], reference_kl=1.0, value=0.5),
    ],
)
def kto(
    policy: LogProbabilities[Tensor, "B"],
    reference: LogProbabilities[Tensor, "B"],
    labels: Signs[Tensor, "B"],
    reference_kl: Divergences[Tensor, ""],
    *,
    beta: Beta = 0.1,
    desirable_weight: NonNegative = 1.0,
    undesirable_weight: NonNegative = 1.0,
) -> Unreduced[Tensor, "B"]:
    r"""Kahneman-Tversky optimisation: learns from thumbs up and thumbs down, without pairs.

    Most feedback comes as single answers that somebody liked or did not. Each answer has a gain, its log-probability over that
    of the reference, and it is judged as people judge gains and losses: against a point of reference, and with a value that
    levels off either way. That point is the mean gain of answers in general, an estimate of the divergence between the two
    models, which the trainer makes from the batch and hands over as `reference_kl`; it has no gradient. TRL makes it from
    answers that are paired with the wrong questions, averages it over all processes and clamps it to 0 or more; here it is
    taken as it is.

    The mean of this loss is over all answers, as in TRL. With `reference_kl` 0 it is TRL's `apo_zero_unpaired`.

    Formula:
        \ell_b = \lambda_b \, \bigl( 1 - \sigma( y_b \beta (r_b - z) ) \bigr), \qquad r = \log \frac{\pi(a)}{\pi_0(a)}, \quad
        \lambda_b = \lambda_D \text{ where } y_b = 1, \text{ else } \lambda_U

    Args:
        policy: log-probability of each answer under the model in training: the sum over its tokens.
        reference: the same under the reference, the model that training began from.
        labels: 1 where the answer is desirable, -1 where it is not, $y$.
        reference_kl: the point of reference $z$, one number for all.
        desirable_weight: weight $\lambda_D$ of desirable answers. Its product with their number should be about 1 to 1.33
            times that of the others.
        undesirable_weight: weight $\lambda_U$ of the others.

    Returns:
        one loss per answer, between 0 and its weight.

    Use when:
        feedback is single and binary: thumbs, clicks, sales, passed and failed tests, or pairs are many times more of one kind.

    Avoid when:
        clean pairs are at hand: `dpo` learns more from each of them.

    Source:
        Ethayarajh et al., KTO: Model Alignment as Prospect Theoretic Optimization, 2024. https://arxiv.org/abs/2402.01306; TRL,
        KTOTrainer, loss_type kto.
    """
    weight = desirable_weight * labels.clamp(min=0) - undesirable_weight * labels.clamp(max=0)
    return weight * sigmoid(labels * beta * (reference_kl - (policy - reference)))
