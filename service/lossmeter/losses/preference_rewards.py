"""Losses for pairs of answers that need no reference model, among them that of models of rewards."""

from __future__ import annotations

from math import exp, log, log1p

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.losses._roles import PolicyChosen, PolicyRejected
from lossmeter.losses.catalogue import Example, loss
from lossmeter.losses.vocabulary import LogProbabilities, NonNegative, Positive, Real, Scores, TokenCounts, Unreduced

FAMILY = "preference"
TASKS = ("alignment",)


@loss(
    suits={
        "no_reference": "It takes mean log-probabilities, so that length is no advantage, and no second model.",
        "preferences": "It compares answers by their mean log-probability, with a margin.",
    },
    sweeps=5,
    examples=[
        Example(
            policy_chosen=[-6.0],
            policy_rejected=[-6.0],
            chosen_lengths=[6],
            rejected_lengths=[3],
            value=log1p(exp(-1)),
        )
    ],
)
def simpo(
    policy_chosen: PolicyChosen,
    policy_rejected: PolicyRejected,
    chosen_lengths: TokenCounts[Tensor, "B"],
    rejected_lengths: TokenCounts[Tensor, "B"],
    *,
    beta: Positive = 2.0,
    gamma: Real = 1.0,
) -> Unreduced[Tensor, "B"]:
    r"""Simple preference optimisation: prefers the better answer by its mean log-probability, without a reference model.

    An answer is ranked by the mean log-probability of its tokens, which is also what decides when the model writes, and long
    answers gain nothing by being long. The better one should lead by a margin $\gamma$. There is no reference: memory and time
    are saved, and nothing holds the model but a small learning rate.

    Log-probabilities that are means already have lengths of 1. TRL has it as loss_type `simpo` of its CPOTrainer, where
    `simpo_gamma` is our `gamma` (0.5 there by default); the paper recommends $\gamma / \beta$ from 0.3 to 0.5 at
    $\beta$ from 2 to 2.5, later up to 10.

    Formula:
        \ell_b = -\log \sigma \left( \frac{\beta}{|y_w|} \log \pi(y_w) - \frac{\beta}{|y_l|} \log \pi(y_l) - \gamma \right)

    Args:
        chosen_lengths: number of tokens of the better answer, $|y_w|$.
        rejected_lengths: number of tokens of the worse answer, $|y_l|$.
        beta: scale $\beta$ of the mean log-probabilities; much larger than in `dpo`, as means are small.
        gamma: the margin $\gamma$ by which the better answer should lead, after scaling.

    Returns:
        one loss per pair, in nats.

    Use when:
        no reference model fits, or `dpo` makes answers ever longer.

    Avoid when:
        the model must stay close to where it began (take `dpo`), or answers are right or wrong rather than better or worse.

    Source:
        Meng, Xia and Chen, SimPO: Simple Preference Optimization with a Reference-Free Reward, 2024.
        https://arxiv.org/abs/2405.14734; TRL, CPOTrainer, loss_type simpo.
    """
    margin = policy_chosen / chosen_lengths - policy_rejected / rejected_lengths
    return -F.logsigmoid(beta * margin - gamma)


@loss(
    suits={
        "no_reference": "The reference is taken to be uniform, and drops out.",
        "preferences": "It is `dpo` without a reference, for better answers that are worth imitating.",
    },
    shared_names=["sigmoid"],
    sweeps=6,
    examples=[Example(policy_chosen=[-10.0, -5.0], policy_rejected=[-20.0, -5.0], value=(log1p(exp(-1)) + log(2)) / 2)],
)
def cpo(
    policy_chosen: PolicyChosen, policy_rejected: PolicyRejected, *, beta: Positive = 0.1
) -> Unreduced[Tensor, "B"]:
    r"""Contrastive preference optimisation: `dpo` with a uniform reference, which drops out.

    If the reference finds all answers equally likely, nothing of it is left: the better answer should be likelier than the
    worse one. One model instead of two is in memory. This is the preference term alone. The method adds the likelihood of the
    better answer so that it does not drop: take `nll` or `token_cross_entropy` beside it in an objective (TRL: `cpo_alpha`
    times the mean over all tokens). TRL has it as loss_type `sigmoid` of its CPOTrainer.

    Formula:
        \ell_b = -\log \sigma \bigl( \beta \log \pi(y_w) - \beta \log \pi(y_l) \bigr)

    Args:
        beta: scale $\beta$ of the difference.

    Returns:
        one loss per pair, in nats.

    Use when:
        the better answers are good enough to imitate and merely better than others: translation, where it began.

    Avoid when:
        answers differ in length (take `simpo`), or nothing else holds the model (take `dpo`).

    Source:
        Xu et al., Contrastive Preference Optimization, 2024. https://arxiv.org/abs/2401.08417; TRL, CPOTrainer, loss_type
        sigmoid.
    """
    return -F.logsigmoid(beta * (policy_chosen - policy_rejected))


def _log_complement(log_probabilities: Tensor) -> Tensor:
    """log(1 - p), exact for p near 0 and near 1."""
    # At p = 1 the odds are infinite: below, a number so small that nothing else notices it.
    bounded = log_probabilities.clamp(max=-(torch.finfo(log_probabilities.dtype).tiny ** 0.5))
    small = bounded < -log(2)
    near = torch.where(small, -log(2), bounded).expm1().neg().log()
    return torch.where(small, torch.where(small, bounded, -log(2)).exp().neg().log1p(), near)


@loss(
    suits={
        "no_reference": "Fine-tuning and alignment are one step, with one model in memory.",
        "preferences": "Odds of the better answer are raised above those of the worse one, beside imitation of it.",
    },
    copies=10,
    sweeps=40,
    examples=[
        Example(policy_chosen=[log(0.5)], policy_rejected=[log(0.25)], value=log(2) + 0.1 * log(4 / 3)),
        Example(policy_chosen=[log(0.5)], policy_rejected=[log(0.5)], beta=1.0, value=2 * log(2)),
    ],
)
def orpo(
    policy_chosen: LogProbabilities[Tensor, "B"],
    policy_rejected: LogProbabilities[Tensor, "B"],
    *,
    beta: NonNegative = 0.1,
) -> Unreduced[Tensor, "B"]:
    r"""Odds ratio preference optimisation: fine-tuning and alignment in one step, without a reference model.

    The better answer is learned as in ordinary fine-tuning, and a second term makes its odds larger than those of the worse
    answer. Odds, $p / (1 - p)$, of the mean probability of a token change gently where both answers are likely, so that the
    second term does not undo the first.

    Log-probabilities are means over the tokens of an answer, not sums, of which the odds would be nothing but the probability.
    $\lambda$ of the paper is `beta` here, as in TRL's ORPOTrainer. TRL averages the first term over all tokens of a batch and
    not over answers: take `token_cross_entropy` for it in an objective, beside this loss less its own first term.

    Formula:
        \ell_b = -\bar{\ell}_w - \lambda \log \sigma \left( \log \frac{p_w}{1 - p_w} - \log \frac{p_l}{1 - p_l} \right), \qquad
        p = e^{\bar{\ell}}

    Args:
        policy_chosen: mean log-probability $\bar{\ell}_w$ of the tokens of the better answer under the model in training.
        policy_rejected: the same of the worse answer to the same question, $\bar{\ell}_l$, in the same row.
        beta: weight $\lambda$ of the preference.

    Returns:
        one loss per pair, in nats.

    Use when:
        a model is fine-tuned and aligned at once on pairs, without a second model in memory.

    Avoid when:
        the model was fine-tuned already (take `dpo` or `simpo`), or the better answers are not worth imitating.

    Source:
        Hong, Lee and Thorne, ORPO: Monolithic Preference Optimization without Reference Model, 2024.
        https://arxiv.org/abs/2403.07691; TRL, ORPOTrainer.
    """
    log_odds = (policy_chosen - policy_rejected) - (_log_complement(policy_chosen) - _log_complement(policy_rejected))
    return -policy_chosen - beta * F.logsigmoid(log_odds)


@loss(
    tasks=["alignment", "ranking"],
    suits={"preferences": "It learns a score from comparisons: the model of rewards itself."},
    aliases=["reward_bt"],
    sweeps=5,
    examples=[
        Example(chosen=[1.0, 0.0], rejected=[0.0, 0.0], value=(log1p(exp(-1)) + log(2)) / 2),
        Example(chosen=[2.0], rejected=[1.0], margin=[1.0], value=log(2)),
    ],
)
def bradley_terry(
    chosen: Scores[Tensor, "B"], rejected: Scores[Tensor, "B"], *, margin: Scores[Tensor, "B"] | None = None
) -> Unreduced[Tensor, "B"]:
    r"""The loss of reward models: the better of two answers must have the larger score.

    The chance that one of two wins is taken to be the sigmoid of the difference of their scores, as in the rating of chess
    players, and this is its cross entropy. Only differences count, so scores have no zero of their own. A margin says by how
    much the better answer should lead, where annotators told how sure they were (Llama 2).

    It is also `bpr` of recommender systems. TRL's RewardTrainer has it, with its `margin`; the term that centres its rewards,
    `center_rewards_coefficient`, is the square of chosen + rejected.

    Formula:
        \ell_b = -\log \sigma ( s_w - s_l - m )

    Args:
        chosen: scores $s_w$ of the better answers.
        rejected: scores $s_l$ of the worse ones, in the same rows.
        margin: by how much each better answer should lead, $m$; left out, 0.

    Returns:
        one loss per pair, in nats.

    Use when:
        a model of rewards, of quality or of strength is learned from comparisons: answers, pictures, players.

    Avoid when:
        ratings are absolute (take `mse` or `coral`), or whole lists are ranked (take `listnet`).

    Source:
        Bradley and Terry, Rank Analysis of Incomplete Block Designs, 1952. https://doi.org/10.2307/2334029; Touvron et al.,
        Llama 2, 2023. https://arxiv.org/abs/2307.09288; TRL, RewardTrainer.
    """
    lead = chosen - rejected
    return -F.logsigmoid(lead if margin is None else lead - margin)
