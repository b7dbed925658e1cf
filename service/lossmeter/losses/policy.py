"""Losses of reinforcement learning for each token: policy gradients, and ratios of probabilities that are clipped."""

from __future__ import annotations

from functools import partial
from math import exp, log
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lossmeter.losses._logistic import sigmoid
from lossmeter.losses._roles import Advantages, FixedOldLogProbs, LogProbs, OldLogProbs
from lossmeter.losses.catalogue import SEQUENCE_REDUCTIONS, Example, loss
from lossmeter.losses.vocabulary import NonNegative, Positive, Unreduced, Values

FAMILY = "policy"
TASKS = ("reinforcement_learning",)

policy_loss = partial(loss, reductions=SEQUENCE_REDUCTIONS, minimum=None)

Ceiling = Annotated[float, Field(gt=1, allow_inf_nan=False)]

MOST = 20.0
"""Difference of log-probabilities beyond which a ratio no longer grows: verl and SkyRL clamp it there, too."""


def _ratio(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """Returns how many times as likely a token is now as when it was sampled."""
    return (log_probs - old_log_probs).clamp(-MOST, MOST).exp()


@policy_loss(
    suits={"usual": "Answers are used for one step, by the model that wrote them."},
    aliases=["reinforce", "gpg"],
    sweeps=5,
    examples=[Example(log_probs=[[-0.5, -2.0]], advantages=[[1.0, -0.5]], value=(0.5 - 1.0) / 2)],
)
def policy_gradient(log_probs: LogProbs, advantages: Advantages) -> Unreduced[Tensor, "B T"]:
    r"""REINFORCE: makes tokens that turned out well likelier, in proportion to how well.

    Each token's log-probability is weighted with its advantage, which is how much better the answer did than was expected.
    The gradient is the policy gradient; the value itself means little, as it also falls where all answers become less likely.
    It is right for tokens sampled from the very model in training. From an older one, or by another engine whose numbers
    differ, take a loss with a ratio. With advantages of 1 it is the negative log-likelihood.

    Formula:
        \ell_{bt} = -A_{bt} \log \pi(a_{bt})

    Args:
        log_probs: log-probabilities of the tokens that were sampled, under the model in training; a row per answer.

    Returns:
        one loss per token.

    Use when:
        each batch of answers is used for one step and thrown away (verl's `gpg`; RLOO and REINFORCE++ with their advantages).

    Avoid when:
        several steps are made with the same answers (take `ppo_clip`), or the sampling engine differs (take
        `importance_sampling`, `cispo`).

    Source:
        Williams, Simple Statistical Gradient-Following Algorithms, 1992. https://doi.org/10.1007/BF00992696; Chu et al., GPG,
        2025. https://arxiv.org/abs/2504.02546; verl, gpg.
    """
    return -advantages * log_probs


@policy_loss(
    suits={"off_policy": "A ratio corrects for having sampled from another model, as long as steps are small."},
    aliases=["rollout_is"],
    examples=[
        Example(
            log_probs=[[log(0.5), log(0.2)]],
            old_log_probs=[[log(0.25), log(0.2)]],
            advantages=[[1.0, -0.5]],
            value=(-2.0 + 0.5) / 2,
        )
    ],
)
def importance_sampling(
    log_probs: LogProbs, old_log_probs: OldLogProbs, advantages: Advantages
) -> Unreduced[Tensor, "B T"]:
    r"""Policy gradient with a ratio that corrects for having sampled from another model.

    Tokens that are likelier now than when they were sampled count for more, others for less, so that the expectation is that
    under the model in training. Where the two agree the gradient is that of `policy_gradient`. Nothing bounds the ratio, and a
    few tokens can dominate a batch.

    It is Tinker's `importance_sampling`, which sums over tokens (`reduction` sum), and SkyRL's. The difference of
    log-probabilities is clamped to ±20 before it is exponentiated, as SkyRL does, so that values stay finite; beyond it there
    is no gradient.

    Formula:
        \ell_{bt} = -A_{bt} \, r_{bt}, \qquad r = \frac{\pi(a)}{\pi_\text{old}(a)}

    Args:
        log_probs: log-probabilities of the tokens that were sampled, under the model in training; a row per answer.

    Returns:
        one loss per token.

    Use when:
        answers come from a slightly older model or from an engine of other precision, and steps are small.

    Avoid when:
        the models drift apart (take `ppo_clip`, `cispo` or `dppo_tv`).

    Source:
        Precup, Sutton and Singh, Eligibility Traces for Off-Policy Policy Evaluation, 2000; Tinker, importance_sampling.
    """
    return -advantages * _ratio(log_probs, old_log_probs)


@policy_loss(
    suits={
        "usual": "It is the objective of PPO and GRPO, which trainers take by default.",
        "off_policy": "It stops where the policy has moved far enough from the one that sampled.",
    },
    aliases=["ppo", "vanilla", "dual_clip"],
    examples=[
        Example(
            log_probs=[[log(0.5), log(0.2), log(0.3)]],
            old_log_probs=[[log(0.25), log(0.2), log(0.3)]],
            advantages=[[1.0, -0.5, 2.0]],
            value=(-1.2 + 0.5 - 2.0) / 3,
        ),
        Example(log_probs=[[log(0.8)]], old_log_probs=[[log(0.1)]], advantages=[[-1.0]], dual_clip=3.0, value=3.0),
    ],
)
def ppo_clip(
    log_probs: LogProbs,
    old_log_probs: OldLogProbs,
    advantages: Advantages,
    *,
    clip_low: NonNegative = 0.2,
    clip_high: NonNegative = 0.2,
    dual_clip: Ceiling | None = None,
) -> Unreduced[Tensor, "B T"]:
    r"""The clipped objective of PPO and GRPO: improves the policy, but stops where it has moved far enough.

    The ratio says how much likelier a token has become since it was sampled. A good token gains until its ratio is
    $1 + \epsilon_\text{high}$, a bad one loses until $1 - \epsilon_\text{low}$; beyond, the gradient is zero. So several
    steps with the same answers are safe. Moves in the wrong direction are never clipped. At the first step all ratios are 1
    and the gradient is that of `policy_gradient`.

    The bounds are distances from 1, as in verl, TRL (`epsilon`, `epsilon_high`) and SkyRL; Tinker's thresholds are the ratios
    themselves: its 0.8 and 1.2 are 0.2 and 0.2 here. DAPO takes a `clip_high` of 0.28. `dual_clip` $c$ bounds the loss of bad
    tokens whose ratio explodes by $-cA$: 3 in verl (`clip_ratio_c`); TRL's `delta` bounds the ratio for all tokens, which is
    the same for bad ones and, above $1 + \epsilon_\text{high}$, changes nothing for good ones.

    GRPO is this with the advantages of a group and `reduction` sequence_mean, DAPO with `mean` and the tokens of all processes
    as `normalizer`, Dr. GRPO with sequence_sum_norm; the penalty that GRPO adds is `kl_k3`. The difference of
    log-probabilities is clamped to ±20 before it is exponentiated, as in verl.

    Formula:
        \ell_{bt} = \max \bigl( -A_{bt} r_{bt}, \; -A_{bt} \, \mathrm{clip}(r_{bt}, 1 - \epsilon_\text{low}, 1 +
        \epsilon_\text{high}) \bigr), \quad r = \frac{\pi(a)}{\pi_\text{old}(a)}, \qquad A < 0: \; \min(\ell, -c A)

    Args:
        clip_low: how far below 1 a ratio may fall, $\epsilon_\text{low}$.
        clip_high: how far above 1 a ratio may rise, $\epsilon_\text{high}$.
        dual_clip: the largest ratio $c$ that counts for tokens of negative advantage, above 1; null for no bound.

    Returns:
        one loss per token.

    Use when:
        a language model or any other policy is trained by rewards: answers that are checked, games, robots.

    Avoid when:
        rare tokens that matter are clipped away (take `cispo`), rewards are those of whole answers of a mixture of experts
        (take `gspo`), or a smooth bound is wanted (take `sapo`).

    Source:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017. https://arxiv.org/abs/1707.06347; dual clip: Ye et al.,
        Mastering Complex Control in MOBA Games, 2019. https://arxiv.org/abs/1912.09729; GRPO: Shao et al., DeepSeekMath, 2024.
        https://arxiv.org/abs/2402.03300; verl, vanilla; TRL, GRPOTrainer.
    """
    ratio = _ratio(log_probs, old_log_probs)
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_low, 1 + clip_high))
    if dual_clip is not None:
        losses = torch.where(advantages < 0, torch.minimum(losses, -advantages * dual_clip), losses)
    return losses


@policy_loss(
    suits={"off_policy": "Ratios are clipped and not losses, so that rare tokens keep a gradient."},
    sweeps=5,
    examples=[
        Example(
            log_probs=[[log(0.8), log(0.2)]],
            old_log_probs=[[log(0.1), log(0.2)]],
            advantages=[[1.0, -0.5]],
            value=(-5 * log(0.8) + 0.5 * log(0.2)) / 2,
        )
    ],
)
def cispo(
    log_probs: LogProbs,
    old_log_probs: FixedOldLogProbs,
    advantages: Advantages,
    *,
    clip_low: NonNegative | None = None,
    clip_high: NonNegative | None = 4.0,
) -> Unreduced[Tensor, "B T"]:
    r"""Policy gradient weighted with ratios that are clipped, in place of losses that are: every token keeps a gradient.

    `ppo_clip` silences tokens whose ratio left its bounds, and these are often the rare ones at which reasoning turns. Here the
    ratio is a constant weight of the policy gradient: it is clipped so that none dominates, but never makes a gradient zero.

    The bounds are distances from 1 as in `ppo_clip`, so the 4 is a largest weight of 5; null is no bound. In TRL
    `epsilon_high` is the largest weight itself (5 there is 4 here) and there is no lower bound; Tinker's thresholds are
    ratios; verl's are distances. The difference of log-probabilities is clamped to ±20 first, as in verl.

    Formula:
        \ell_{bt} = -\mathrm{sg} \bigl( \mathrm{clip}(r_{bt}, 1 - \epsilon_\text{low}, 1 + \epsilon_\text{high}) \bigr)
        A_{bt} \log \pi(a_{bt}), \qquad r = \frac{\pi(a)}{\pi_\text{old}(a)}, \quad \mathrm{sg}: \text{no gradient}

    Args:
        clip_low: how far below 1 a weight may fall, $\epsilon_\text{low}$; null for no bound.
        clip_high: how far above 1 a weight may rise, $\epsilon_\text{high}$; null for no bound.

    Returns:
        one loss per token.

    Use when:
        answers are long and rare tokens decide, as in reasoning; many steps are made with the same answers.

    Avoid when:
        the model must not move far from the one that sampled (take `ppo_clip` or `dppo_tv`).

    Source:
        MiniMax, MiniMax-M1, 2025. https://arxiv.org/abs/2506.13585; TRL, GRPOTrainer, loss_type cispo; verl, cispo.
    """
    weight = _ratio(log_probs.detach(), old_log_probs.detach())
    low = 0.0 if clip_low is None else 1 - clip_low
    weight = weight.clamp(min=low, max=None if clip_high is None else 1 + clip_high)
    return -weight * advantages * log_probs


@policy_loss(
    suits={"off_policy": "A square pulls each token back to where it was sampled, over many steps."},
    examples=[
        Example(
            log_probs=[[-1.0, -2.0]],
            old_log_probs=[[-1.5, -2.0]],
            advantages=[[2.0, 1.0]],
            beta=0.8,
            value=(2.1 + 2.0) / 2,
        )
    ],
)
def dro(
    log_probs: LogProbs, old_log_probs: OldLogProbs, advantages: Advantages, *, beta: NonNegative = 0.05
) -> Unreduced[Tensor, "B T"]:
    r"""Direct reward optimisation: the policy gradient, less a square that pulls each token back to where it was sampled.

    No ratio and no clipping: how far a token has moved is punished by half the square of its difference, so tokens of any
    origin can be used, and each settles where its advantage and the pull balance. It is the loss that Tinker calls `dro`
    (there summed over tokens); the paper learns a value beside the policy, and puts the square around both.

    Formula:
        \ell_{bt} = -A_{bt} \log \pi(a_{bt}) + \frac{\beta}{2} \bigl( \log \pi(a_{bt}) - \log \pi_\text{old}(a_{bt}) \bigr)^2

    Args:
        beta: strength $\beta$ of the pull.

    Returns:
        one loss per token.

    Use when:
        answers are collected once or come from elsewhere, and are used for many steps.

    Avoid when:
        answers are fresh in each step: take `ppo_clip` or `importance_sampling`.

    Source:
        Richemond et al., Offline Regularised Reinforcement Learning for Large Language Models Alignment, 2024.
        https://arxiv.org/abs/2405.19107; Tinker, dro.
    """
    return 0.5 * beta * (log_probs - old_log_probs).square() - advantages * log_probs


@policy_loss(
    suits={
        "off_policy": "A smooth gate takes the place of clipping.",
        "sequence_rewards": "It stays stable over long answers, where single ratios jump.",
    },
    examples=[
        Example(
            log_probs=[[log(0.2), log(0.4)]],
            old_log_probs=[[log(0.2), log(0.2)]],
            advantages=[[1.0, 1.0]],
            value=(-2.0 - 4 / (1 + exp(-1))) / 2,
        )
    ],
)
def sapo(
    log_probs: LogProbs,
    old_log_probs: OldLogProbs,
    advantages: Advantages,
    *,
    tau_positive: Positive = 1.0,
    tau_negative: Positive = 1.05,
) -> Unreduced[Tensor, "B T"]:
    r"""Soft adaptive policy optimisation: `ppo_clip` with a smooth gate in place of the clipping.

    The gradient of a token is largest where its ratio is 1, and there that of `policy_gradient`; it fades with the distance
    from 1, either way, instead of falling to zero at a bound. A temperature says how fast; that of tokens with negative
    advantage is a little higher, since they push probability to all other tokens and are the less stable ones.

    TRL (`sapo_temperature_pos`, `sapo_temperature_neg`) and verl (`tau_pos`, `tau_neg`) have the same defaults and average with
    sequence_mean. The difference of log-probabilities is clamped to ±20 first, as in verl.

    Formula:
        \ell_{bt} = -A_{bt} \, \frac{4}{\tau} \, \sigma \bigl( \tau (r_{bt} - 1) \bigr), \qquad r =
        \frac{\pi(a)}{\pi_\text{old}(a)}, \quad \tau = \tau_+ \text{ where } A_{bt} > 0, \text{ else } \tau_-

    Args:
        tau_positive: temperature $\tau_+$ of tokens with positive advantage.
        tau_negative: temperature $\tau_-$ of the others; larger fades faster.

    Returns:
        one loss per token.

    Use when:
        clipping throws away too much, or training with `ppo_clip` is unstable: mixtures of experts, long answers.

    Avoid when:
        a hard bound on the move is required: take `ppo_clip`.

    Source:
        Gao et al., Soft Adaptive Policy Optimization, 2025. https://arxiv.org/abs/2511.20347; TRL, GRPOTrainer, loss_type sapo;
        verl, sapo.
    """
    excess = _ratio(log_probs, old_log_probs) - 1
    good = sigmoid(tau_positive * excess) * (4 / tau_positive)
    bad = sigmoid(tau_negative * excess) * (4 / tau_negative)
    return -advantages * torch.where(advantages > 0, good, bad)


@loss(
    aliases=["ppo_critic", "compute_value_loss"],
    reductions=SEQUENCE_REDUCTIONS,
    examples=[
        Example(
            predictions=[[1.0, 0.5]],
            old_values=[[0.0, 0.5]],
            labels=[[1.0, 0.0]],
            value=(0.5 * 0.8**2 + 0.5 * 0.5**2) / 2,
        )
    ],
)
def value_clip(
    predictions: Values[Tensor, "B T"],
    old_values: Values[Tensor, "B T"],
    labels: Values[Tensor, "B T"],
    *,
    clip: NonNegative = 0.2,
) -> Unreduced[Tensor, "B T"]:
    r"""The loss of PPO's critic: squared error of the expected return, with moves beyond a bound not rewarded.

    The critic estimates at each token what the answer will be worth. As the policy may move only a little, so may the critic:
    its estimate is also taken clipped to within `clip` of the old one, and the larger of the two errors counts. A step that
    goes farther than the bound towards the return gains nothing. Half of the square, as in verl, SkyRL and TRL.

    Formula:
        \ell_{bt} = \tfrac{1}{2} \max \bigl( (v_{bt} - R_{bt})^2, \; (\mathrm{clip}(v_{bt}, v'_{bt} - c, v'_{bt} + c) -
        R_{bt})^2 \bigr)

    Args:
        predictions: the critic's estimates $v$.
        old_values: its estimates $v'$ when the answers were sampled; constants unless their gradient is asked for.
        labels: the returns $R$.
        clip: how far an estimate may move, $c$, in the unit of the returns (`cliprange_value` in verl and TRL, `value_clip` in
            SkyRL).

    Returns:
        one loss per token, in the unit of the returns squared.

    Use when:
        PPO trains a critic beside the policy: take it in one objective with `ppo_clip`, usually by a factor of 0.1 to 1.

    Avoid when:
        there is no critic (GRPO, RLOO), or its targets change in scale, to which `clip` would have to follow: take `mse` or
        `huber`.

    Source:
        Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation, 2015.
        https://arxiv.org/abs/1506.02438; the clipping: OpenAI Baselines, ppo2; verl, compute_value_loss.
    """
    clipped = predictions.clamp(old_values - clip, old_values + clip)
    return 0.5 * torch.maximum((predictions - labels).square(), (clipped - labels).square())
