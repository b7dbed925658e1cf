"""Losses of reinforcement learning whose ratio is that of a whole answer, written at each of its tokens."""

from __future__ import annotations

from math import exp, log, sqrt

import torch
from torch import Tensor

from lossmeter.losses._roles import Advantages, LogProbs, OldLogProbs, TokenMask
from lossmeter.losses.catalogue import SEQUENCE_REDUCTIONS, Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import NonNegative, Unreduced

FAMILY = "policy"
TASKS = ("reinforcement_learning",)


def _counted_tokens(arguments: Arguments) -> Support:
    return Support(arguments["mask"])


def _mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over the tokens of each answer that count, and 0 where none does."""
    if mask is None:
        return tokens.sum(-1, keepdim=True) / max(tokens.shape[-1], 1)
    return tokens.where(mask, 0.0).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)


@loss(
    minimum=None,
    suits={
        "sequence_rewards": "A whole answer has one ratio, as it has one reward.",
        "off_policy": "The ratio of a whole answer is clipped, which is less noisy than those of its tokens.",
    },
    reductions=SEQUENCE_REDUCTIONS,
    support=_counted_tokens,
    examples=[
        Example(
            log_probs=[[log(0.4), log(0.2)]],
            old_log_probs=[[log(0.1), log(0.2)]],
            advantages=[[1.0, 1.0]],
            value=-1.2,
        ),
        Example(
            log_probs=[[log(0.4), log(0.2), -5.0]],
            old_log_probs=[[log(0.1), log(0.2), -9.0]],
            advantages=[[-1.0, -1.0, -1.0]],
            mask=[[True, True, False]],
            value=2.0,
        ),
    ],
)
def gspo(
    log_probs: LogProbs,
    old_log_probs: OldLogProbs,
    advantages: Advantages,
    *,
    mask: TokenMask | None = None,
    clip_low: NonNegative = 0.2,
    clip_high: NonNegative = 0.2,
) -> Unreduced[Tensor, "B T"]:
    r"""Group sequence policy optimisation: `ppo_clip` with one ratio for a whole answer.

    Rewards are given to answers, so ratios are taken of answers too: the geometric mean of those of the tokens. All tokens of
    an answer are clipped together or not at all, which averages out the noise of single tokens; mixtures of experts, where one
    token's probability jumps when it goes to another expert, become trainable. An answer of one token is `ppo_clip`.

    The value of the answer stands at each of its tokens, so that advantages may differ from token to token (the paper's
    GSPO-token); the gradient of a token goes through its own log-probability alone, weighted with the ratio of the answer.
    Reduce with sequence_mean, as verl does and TRL (`importance_sampling_level` sequence with loss_type grpo). Bounds are
    distances from 1, and those of the paper far smaller than the usual 0.2: 0.0003 and 0.0004. The logarithm of the ratio is
    at most 10, as in verl.

    Formula:
        \ell_{bt} = \max \bigl( -A_{bt} s_{bt}, \; -A_{bt} \, \mathrm{clip}(s_{bt}, 1 - \epsilon_\text{low}, 1 +
        \epsilon_\text{high}) \bigr), \quad s_{bt} = \mathrm{sg}(s_b) \, \frac{r_{bt}}{\mathrm{sg}(r_{bt})}, \quad s_b = \Bigl(
        \prod_{t=1}^{T_b} r_{bt} \Bigr)^{1 / T_b}, \quad r = \frac{\pi(a)}{\pi_\text{old}(a)}, \quad \mathrm{sg}: \text{no
        gradient}

    Args:
        clip_low: how far below 1 the ratio of an answer may fall, $\epsilon_\text{low}$.
        clip_high: how far above 1 it may rise, $\epsilon_\text{high}$.

    Returns:
        one loss per token, that of its answer if advantages are; 0 where the mask is false.

    Use when:
        whole answers are rewarded and single ratios are noisy: mixtures of experts, long answers.

    Avoid when:
        steps or tokens within an answer are rewarded (take `ppo_clip`).

    Source:
        Zheng et al., Group Sequence Policy Optimization, 2025. https://arxiv.org/abs/2507.18071, equations 13 to 15; verl,
        gspo; TRL, GRPOTrainer.
    """
    difference = log_probs - old_log_probs
    own = difference if mask is None else difference.where(mask, 0.0)
    ratio = (own - own.detach() + _mean(own.detach(), mask)).clamp(max=10.0).exp()
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_low, 1 + clip_high))
    return losses if mask is None else losses.where(mask, 0.0)


@loss(
    minimum=None,
    suits={
        "sequence_rewards": "Ratios are clipped token by token and multiplied over the answer, where a few extreme "
        "ones do not dominate.",
        "off_policy": "A few tokens with extreme ratios cannot upset a step.",
    },
    reductions=SEQUENCE_REDUCTIONS,
    support=_counted_tokens,
    aliases=["geo_mean", "gmpo"],
    examples=[
        Example(
            log_probs=[[log(0.4), log(0.22)]],
            old_log_probs=[[log(0.1), log(0.2)]],
            advantages=[[1.0, 1.0]],
            value=-sqrt(exp(0.2) * 1.1),
        )
    ],
)
def geometric_mean_policy(
    log_probs: LogProbs,
    old_log_probs: OldLogProbs,
    advantages: Advantages,
    *,
    mask: TokenMask | None = None,
    clip_low: NonNegative = 0.2,
    clip_high: NonNegative = 0.2,
) -> Unreduced[Tensor, "B T"]:
    r"""Geometric-mean policy optimisation: ratios are clipped token by token, and then multiplied over the answer.

    `ppo_clip` takes the arithmetic mean of the tokens' ratios, in which one that is extreme dominates. The geometric mean does
    not mind, and so bounds may be wider: the paper takes $\pm 0.4$. Unlike in `gspo`, single tokens are clipped, and an answer
    keeps its gradient from the others.

    Bounds are distances from 0 of the logarithm of a ratio, as in verl (`geo_mean`) and in the paper's code, not distances of
    the ratio from 1. Clipped is only the side on which the advantage asks for more: above where it is positive, below where it
    is negative. The value stands at each token of its answer; `mean` weighs answers by their tokens, sequence_mean is verl's
    mean over answers. The advantage is that of the answer: the mean over its tokens. Logarithms of ratios are clamped to ±20
    (verl has that as a comment).

    Formula:
        \ell_{bt} = -\bar{A}_b \exp \Bigl( \frac{1}{T_b} \sum_{u=1}^{T_b} d'_{bu} \Bigr), \qquad d' = \min(d,
        \epsilon_\text{high}) \text{ where } A > 0, \; \max(d, -\epsilon_\text{low}) \text{ where } A < 0, \; 0 \text{ else},
        \quad d = \log \frac{\pi(a)}{\pi_\text{old}(a)}

    Args:
        clip_low: how far below 0 the logarithm of a token's ratio may fall, $\epsilon_\text{low}$.
        clip_high: how far above 0 it may rise, $\epsilon_\text{high}$.

    Returns:
        one loss per token, that of its answer; 0 where the mask is false.

    Use when:
        `ppo_clip` is unstable because of a few tokens with extreme ratios.

    Avoid when:
        advantages differ within an answer: they are averaged (take `gspo` or `ppo_clip`).

    Source:
        Zhao et al., Geometric-Mean Policy Optimization, 2025. https://arxiv.org/abs/2507.20673; verl, geo_mean.
    """
    difference = (log_probs - old_log_probs).clamp(-20.0, 20.0)
    clipped = torch.where(advantages > 0, difference.clamp(max=clip_high), difference.clamp(min=-clip_low))
    clipped = clipped.where(advantages != 0, 0.0)
    values = -_mean(advantages, mask) * _mean(clipped, mask).exp()
    return values.expand_as(log_probs) if mask is None else values.where(mask, 0.0)
