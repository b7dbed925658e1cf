"""How undecided a policy is."""

from __future__ import annotations

from math import log

from torch import Tensor

from lossmeter.losses.catalogue import SEQUENCE_REDUCTIONS, Example, loss
from lossmeter.losses.tokens import vocabulary_flaws
from lossmeter.losses.vocabulary import Logits, Unreduced

FAMILY = "policy"
TASKS = ("reinforcement_learning",)


@loss(
    reductions=SEQUENCE_REDUCTIONS,
    check=vocabulary_flaws,
    examples=[
        Example(predictions=[[[0.0, 0.0, 0.0, 0.0]]], value=log(4)),
        Example(predictions=[[[log(3), 0.0]]], value=0.75 * log(4 / 3) + 0.25 * log(4)),
    ],
)
def entropy(predictions: Logits[Tensor, "B T V"]) -> Unreduced[Tensor, "B T"]:
    r"""The entropy of the distribution over the next token: what trainers keep large, so that a policy goes on exploring.

    It is 0 where one token has all the probability, and $\log V$ where all have the same. A policy that learns from rewards
    becomes surer than its rewards warrant; a term of an [objective](../objectives.md) with a small negative weight holds that
    back. For a mean over actions that are no text, T is 1.

    Formula:
        \ell_{bt} = -\sum_{v=1}^{V} p_{btv} \log p_{btv}, \qquad p = \operatorname{softmax}(x)

    Args:
        predictions: logits $x$ over the vocabulary, for each token.

    Returns:
        one number per token, in nats.

    Use when:
        a policy collapses onto few answers: as a term with the weight -0.01 (PPO) or -0.001 (language models); or to watch it.

    Avoid when:
        it stands alone with a positive weight: it then makes predictions sure, whether they are right or not, which is what
        entropy minimisation on unlabelled data wants, and little else.

    Source:
        Williams and Peng, Function Optimization Using Connectionist Reinforcement Learning Algorithms, 1991.
        https://doi.org/10.1080/09540099108946587; PPO: https://arxiv.org/abs/1707.06347, equation 9; verl, entropy_coeff.
    """
    logs = predictions.log_softmax(-1)
    # exp(x) · x is 0 · -inf where a logit is so low that its logarithm overflows; probabilities of 0 add nothing.
    return -(logs.exp() * logs.clamp(min=-1e30)).sum(-1)
