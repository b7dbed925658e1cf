"""The distance of a policy from another one, as a loss for each token and as a bound."""

from __future__ import annotations

from math import exp, log

import torch
from torch import Tensor

from lossmeter.losses._roles import Advantages, FixedOldLogProbs, LogProbs
from lossmeter.losses.catalogue import SEQUENCE_REDUCTIONS, Example, loss
from lossmeter.losses.policy import MOST
from lossmeter.losses.vocabulary import LogProbabilities, NonNegative, Unreduced

FAMILY = "policy"
TASKS = ("reinforcement_learning",)

TRUNCATED = 20.0


def _kept(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, inside: Tensor) -> Tensor:
    """The policy gradient with a constant ratio, and 0 where a token left its bounds."""
    weight = (log_probs - old_log_probs).detach().clamp(max=MOST).exp().clamp(max=TRUNCATED)
    return (-advantages * weight * log_probs).where(inside, 0.0)


@loss(
    minimum=None,
    suits={"off_policy": "It bounds how far the probability of a token moves, not its ratio."},
    reductions=SEQUENCE_REDUCTIONS,
    aliases=["dppo_binary_tv"],
    examples=[
        Example(
            log_probs=[[log(0.5), log(0.002)]],
            old_log_probs=[[log(0.25), log(0.001)]],
            advantages=[[1.0, 1.0]],
            value=(0.0 - 2 * log(0.002)) / 2,
        )
    ],
)
def dppo_tv(
    log_probs: LogProbs,
    old_log_probs: FixedOldLogProbs,
    advantages: Advantages,
    *,
    low: NonNegative = 0.2,
    high: NonNegative = 0.2,
) -> Unreduced[Tensor, "B T"]:
    r"""Divergence proximal policy optimisation: bounds how far probabilities move, not ratios.

    A rare token that goes from 0.001 to 0.002 has doubled, and `ppo_clip` silences it, though the policy hardly moved; a
    likely one that falls from 0.99 to 0.8 stays inside its bounds, though much moved. Here a token counts as long as its
    probability has not moved more than `high` upwards (if its advantage is positive) or `low` downwards (if negative), a bound
    on the total variation between the two policies as far as one token shows it. Moves back towards the old policy always
    count.

    Tokens that count have the gradient of `cispo`: a constant ratio, of at most 20, times the policy gradient. verl has it
    under this name. prime-rl's default (`dppo_mask_low`, `dppo_mask_high`) and SkyRL's `dppo` keep the gradient of the ratio
    itself, which is the same as long as the ratio is below 20, and a value that differs.

    Formula:
        \ell_{bt} = -m_{bt} \, \mathrm{sg}(\min(r_{bt}, 20)) \, A_{bt} \log \pi(a_{bt}), \qquad r =
        \frac{\pi(a)}{\pi_\text{old}(a)}, \quad m = \begin{cases} [\pi(a) - \pi_\text{old}(a) \leq \delta_\text{high}] & A > 0
        \\ [\pi(a) - \pi_\text{old}(a) \geq -\delta_\text{low}] & A \leq 0 \end{cases}

    Args:
        low: how far the probability of a token may fall, $\delta_\text{low}$.
        high: how far it may rise, $\delta_\text{high}$.

    Returns:
        one loss per token; 0 outside of the bounds.

    Use when:
        vocabularies are large and rare tokens matter, or the engine that samples differs from the one that trains.

    Avoid when:
        ratios themselves must be bounded: take `ppo_clip`.

    Source:
        Qi et al., Rethinking the Trust Region in LLM Reinforcement Learning, 2026. https://arxiv.org/abs/2602.04879, equation
        13; verl, dppo_tv.
    """
    move = log_probs.detach().exp() - old_log_probs.detach().exp()
    return _kept(log_probs, old_log_probs, advantages, torch.where(advantages > 0, move <= high, move >= -low))


def _other_tokens(log_probs: Tensor) -> Tensor:
    """The logarithm of the probability of all other tokens, at least that of a rounding error."""
    return log_probs.expm1().neg().clamp(min=torch.finfo(log_probs.dtype).eps).log()


@loss(
    minimum=None,
    suits={"off_policy": "It bounds the move of a token in nats, and that of rare tokens more tightly."},
    reductions=SEQUENCE_REDUCTIONS,
    aliases=["dppo_binary_kl"],
    examples=[
        Example(
            log_probs=[[log(0.9), log(0.2)]],
            old_log_probs=[[log(0.5), log(0.25)]],
            advantages=[[1.0, 1.0]],
            value=(0.0 - 0.8 * log(0.2)) / 2,
        )
    ],
)
def dppo_kl(
    log_probs: LogProbs,
    old_log_probs: FixedOldLogProbs,
    advantages: Advantages,
    *,
    low: NonNegative = 0.2,
    high: NonNegative = 0.2,
) -> Unreduced[Tensor, "B T"]:
    r"""`dppo_tv` with a divergence as the measure: how many nats the token, against all others, has moved.

    The Kullback-Leibler divergence between the old and the new policy is taken of two outcomes, this token or any other. It
    weighs a move by where it happens: from 0.01 to 0.03 is farther than from 0.5 to 0.52. A token counts as long as this is at
    most `high` upwards or `low` downwards, and always if it moves back towards the old policy. The probability of all other
    tokens is taken to be at least a rounding error.

    The gradient is that of `dppo_tv`. SkyRL's `dppo` has it as `binary_kl`, verl under this name; useful bounds are much
    smaller than those of a ratio.

    Formula:
        \ell_{bt} = -m_{bt} \, \mathrm{sg}(\min(r_{bt}, 20)) \, A_{bt} \log \pi(a_{bt}), \qquad
        D = \pi_\text{old} \log \frac{\pi_\text{old}}{\pi} + (1 - \pi_\text{old}) \log \frac{1 - \pi_\text{old}}{1 - \pi}, \quad
        m = \begin{cases} [D \leq \delta_\text{high} \text{ or } \pi \leq \pi_\text{old}] & A > 0 \\
        [D \leq \delta_\text{low} \text{ or } \pi \geq \pi_\text{old}] & A \leq 0 \end{cases}

    Args:
        low: the largest divergence of a token that became less likely, $\delta_\text{low}$, in nats.
        high: that of a token that became likelier, $\delta_\text{high}$.

    Returns:
        one loss per token; 0 outside of the bounds.

    Use when:
        as for `dppo_tv`, and moves of rare tokens should be bounded more tightly than those of likely ones.

    Avoid when:
        bounds in probability are easier to choose: take `dppo_tv`.

    Source:
        Qi et al., Rethinking the Trust Region in LLM Reinforcement Learning, 2026. https://arxiv.org/abs/2602.04879, equation
        14; verl, dppo_kl.
    """
    new, old = log_probs.detach(), old_log_probs.detach()
    moved = new - old
    probability = old.exp()
    divergence = (1 - probability) * (_other_tokens(old) - _other_tokens(new)) - probability * moved
    inside = torch.where(advantages > 0, (divergence <= high) | (moved <= 0), (divergence <= low) | (moved >= 0))
    return _kept(log_probs, old_log_probs, advantages, inside)


@loss(
    minimum=None,
    suits={"divergence_penalty": "It is the plainest estimate, for watching the divergence or taking it from rewards."},
    reductions=SEQUENCE_REDUCTIONS,
    aliases=["k1"],
    sweeps=5,
    examples=[Example(log_probs=[[-1.0, -2.0]], reference_log_probs=[[-1.5, -1.5]], value=0.0)],
)
def kl_k1(log_probs: LogProbs, reference_log_probs: LogProbabilities[Tensor, "B T"]) -> Unreduced[Tensor, "B T"]:
    r"""The plainest estimate of how far a policy is from a reference: the difference of the two log-probabilities.

    Averaged over tokens that the policy itself sampled, it is the Kullback-Leibler divergence, without bias but noisy: single
    values are often negative. As a penalty inside the reward it is what PPO of language models began with. As a loss it is
    useless: its gradient is zero on average, whatever the reference is. Take `kl_k2` or `kl_k3` there.

    Formula:
        \ell_{bt} = \log \pi(a_{bt}) - \log \pi_0(a_{bt})

    Args:
        reference_log_probs: the same under the reference; constants unless their gradient is asked for.

    Returns:
        one estimate per token, in nats.

    Use when:
        the divergence is to be watched, or subtracted from rewards (verl's `k1` and `kl`).

    Avoid when:
        its gradient is to train anything: take `kl_k2` or `kl_k3`.

    Source:
        Schulman, Approximating KL Divergence, 2020. http://joschu.net/blog/kl-approx.html; verl, kl_penalty k1.
    """
    # A product, lest the gradient be the very tensor that flows in, which recorded programs do not hand out.
    return (log_probs - reference_log_probs) * 1.0


@loss(
    suits={"divergence_penalty": "Its gradient is that of the divergence, on samples of the policy itself."},
    reductions=SEQUENCE_REDUCTIONS,
    aliases=["k2"],
    examples=[Example(log_probs=[[-1.0, -2.0]], reference_log_probs=[[-1.5, -1.0]], value=(0.125 + 0.5) / 2)],
)
def kl_k2(log_probs: LogProbs, reference_log_probs: LogProbabilities[Tensor, "B T"]) -> Unreduced[Tensor, "B T"]:
    r"""Half the squared difference of log-probabilities: the estimate of a divergence whose gradient is the right one.

    Its value is a little off where the two policies are far apart, but never negative and of little noise; and the mean of its
    gradient, over tokens that the policy sampled, is exactly that of the Kullback-Leibler divergence. verl therefore takes this
    gradient beside other values (`k1+`, `k3+`), and prime-rl's penalty is twice this.

    Formula:
        \ell_{bt} = \tfrac{1}{2} \bigl( \log \pi(a_{bt}) - \log \pi_0(a_{bt}) \bigr)^2

    Args:
        reference_log_probs: the same under the reference; constants unless their gradient is asked for.

    Returns:
        one estimate per token, in nats.

    Use when:
        the divergence from a reference is a term of the loss of a policy that is trained on its own samples (verl's `k2` and
        `mse`).

    Avoid when:
        single differences are large, as of samples from elsewhere: the square then dominates (take `kl_k3`).

    Source:
        Schulman, Approximating KL Divergence, 2020. http://joschu.net/blog/kl-approx.html; verl, kl_penalty k2.
    """
    return 0.5 * (log_probs - reference_log_probs).square()


@loss(
    tasks=["reinforcement_learning", "text"],
    suits={
        "divergence_penalty": "It is never negative and has little noise: the penalty of GRPO.",
        "distillation": "With the teacher as the reference it needs the sampled tokens alone.",
    },
    reductions=SEQUENCE_REDUCTIONS,
    aliases=["k3", "low_var_kl"],
    examples=[
        Example(
            log_probs=[[log(0.25), -1.0]],
            reference_log_probs=[[log(0.5), 0.0]],
            value=(2 - log(2) - 1 + exp(1) - 2) / 2,
        )
    ],
)
def kl_k3(log_probs: LogProbs, reference_log_probs: LogProbabilities[Tensor, "B T"]) -> Unreduced[Tensor, "B T"]:
    r"""The estimate of a divergence that GRPO penalises: without bias, never negative, and of little noise.

    It adds to `kl_k1` a term whose mean is zero, the ratio of the two probabilities less 1, which cancels most of its noise.
    As a loss its gradient pulls towards the reference harder the more a token lost, and is, on average, that of the divergence
    the other way around.

    It is TRL's penalty (`beta` of GRPOConfig is its factor) and verl's `k3` and `low_var_kl`. The difference is clamped to ±20
    before it is exponentiated, as in verl, which also cuts the value at 10; TRL does neither.

    Formula:
        \ell_{bt} = e^{-d_{bt}} + d_{bt} - 1, \qquad d = \log \pi(a) - \log \pi_0(a)

    Args:
        reference_log_probs: the same under the reference; constants unless their gradient is asked for.

    Returns:
        one estimate per token, in nats, not negative but for rounding.

    Use when:
        a policy should stay near a reference: the penalty of GRPO, beside `ppo_clip` in one objective; on-policy distillation,
        with the teacher as the reference.

    Avoid when:
        the exact gradient of the divergence is wanted: take `kl_k2`.

    Source:
        Schulman, Approximating KL Divergence, 2020. http://joschu.net/blog/kl-approx.html; Shao et al., DeepSeekMath, 2024.
        https://arxiv.org/abs/2402.03300; TRL, GRPOTrainer; verl, kl_penalty k3.
    """
    difference = (log_probs - reference_log_probs).clamp(-MOST, MOST)
    return difference.neg().expm1() + difference
