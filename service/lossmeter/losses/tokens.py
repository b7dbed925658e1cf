"""Losses for each token of a text, from the distribution over the next one."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses.catalogue import SEQUENCE_REDUCTIONS, Arguments, Example, Support, loss
from lossmeter.losses.vocabulary import (
    Fraction,
    IgnoredIndex,
    Logits,
    LogProbabilities,
    NonNegative,
    Tokens,
    Unreduced,
)

FAMILY = "sequences"
TASKS = ("text",)


def vocabulary_flaws(arguments: Arguments) -> Iterator[Flaw]:
    """Yields the flaw of predictions over a vocabulary without a token."""
    shape = list(arguments["predictions"].shape)
    if not shape[-1]:
        yield Flaw("/predictions", f"predictions has shape {shape}; expected at least one token in the vocabulary.")


def _counted_labels(arguments: Arguments) -> Support:
    return Support(arguments["labels"] != arguments["ignore_index"])


@loss(
    suits={
        "usual": "It is the likelihood of the next token, with the vocabulary in the last dimension.",
        "calibration": "It is a likelihood: at its minimum, the probabilities of tokens are right.",
    },
    reductions=SEQUENCE_REDUCTIONS,
    support=_counted_labels,
    check=vocabulary_flaws,
    aliases=["causal_lm", "sft"],
    sweeps=6,
    examples=[
        Example(predictions=[[[log(2), 0.0, 0.0], [0.0, 0.0, 0.0]]], labels=[[0, 1]], value=(log(2) + log(3)) / 2),
        Example(
            predictions=[[[0.0, 0.0], [log(3), 0.0]]],
            labels=[[1, 0]],
            z_loss=0.5,
            value=(log(2) + 0.5 * log(2) ** 2 + log(4 / 3) + 0.5 * log(4) ** 2) / 2,
        ),
    ],
)
def token_cross_entropy(
    predictions: Logits[Tensor, "B T V"],
    labels: Tokens[Tensor, "B T"],
    *,
    ignore_index: IgnoredIndex = -100,
    label_smoothing: Fraction = 0.0,
    z_loss: NonNegative = 0.0,
) -> Unreduced[Tensor, "B T"]:
    r"""Cross entropy of the next token: what language models are trained with.

    At each place of each text the model gives one logit per token of its vocabulary; the loss is minus the logarithm of the
    probability that the softmax of those logits gives to the token that really follows. It is `cross_entropy` with the classes
    in the last dimension, where language models have them, and one value per token. Its exponential, averaged, is the
    perplexity.

    The labels are taken as they are: shift them before, so that `labels[t]` is the token that follows place `t` (transformers
    shifts by itself). Tokens of the prompt and padding get `ignore_index` or a `mask`. `mean` divides by the tokens that count
    here; over several processes or accumulation steps give the count of all of them as `normalizer`, or short batches weigh too
    much.

    `z_loss` adds a multiple of the square of the logarithm of the softmax's denominator, which keeps logits from drifting
    away. PaLM and others take $10^{-4}$. The smoothing is torch's: a share $\varepsilon$ is spread over all V tokens, the right
    one included.

    Formula:
        \ell_{bt} = -\sum_{v=1}^{V} \left( (1 - \varepsilon) [v = y_{bt}] + \frac{\varepsilon}{V} \right)
        \log \mathrm{softmax}(x_{bt})_v + \zeta \left( \log \sum_{v=1}^{V} e^{x_{btv}} \right)^2

    Args:
        predictions: logits $x$ of shape (texts, tokens, vocabulary).
        labels: the token that follows each place, $y$.
        ignore_index: label of places that do not count.
        label_smoothing: share $\varepsilon$ of each label that is spread evenly over the vocabulary.
        z_loss: factor $\zeta$ on the squared logarithm of the denominator.

    Returns:
        one loss per token, in nats; 0 where the label is ignored.

    Use when:
        language models are pretrained or fine-tuned on texts (TRL's `SFTTrainer`, `sft` of its `loss_type`; Tinker's
        `cross_entropy`, which sums: take `reduction` sum, and its weights as `sample_weight`), or any model labels each step
        of a sequence, and the vocabulary is in the last dimension.

    Avoid when:
        the vocabulary is so large that logits dominate the traffic (take `linear_cross_entropy`, or compute log-probabilities
        of the labels yourself and take `policy_gradient` with advantages of 1), or classes are in the second dimension (take
        `cross_entropy`).

    Source:
        Bengio et al., A Neural Probabilistic Language Model, 2003. https://www.jmlr.org/papers/v3/bengio03a.html; z-loss:
        Chowdhery et al., PaLM, 2022. https://arxiv.org/abs/2204.02311.
    """
    flat = predictions.flatten(0, 1)
    losses = F.cross_entropy(
        flat, labels.flatten(), ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="none"
    ).view(labels.shape)
    if z_loss:
        normalizer = flat.logsumexp(-1).view(labels.shape)
        losses = losses + z_loss * normalizer.square().where(labels != ignore_index, 0.0)
    return losses


@loss(
    minimum=None,
    suits={
        "distillation": "It needs no more of a teacher than the few likeliest tokens that a server gives.",
        "many_classes": "A few tokens of the vocabulary stand for all of it.",
    },
    reductions=SEQUENCE_REDUCTIONS,
    examples=[
        Example(
            predictions=[[[log(0.5), log(0.25)]]],
            teacher=[[[log(0.25), log(0.5)]]],
            value=0.25 * log(0.5) + 0.5 * log(2),
        ),
        Example(
            predictions=[[[log(0.5)]]],
            teacher=[[[log(0.25)]]],
            direction="reverse",
            value=0.5 * log(2) + 0.5 * log(2 / 3),
        ),
    ],
)
def topk_distillation(
    predictions: LogProbabilities[Tensor, "B T K"],
    teacher: LogProbabilities[Tensor, "B T K"],
    *,
    direction: Literal["forward", "reverse"] = "forward",
    tail: bool = True,
) -> Unreduced[Tensor, "B T"]:
    r"""Distillation from the few likeliest tokens that a teacher serves for each place.

    A large model teaches a small one by its distribution over the next token, but a distribution over a whole vocabulary is
    some 300 kB a token on the wire. Servers give the log-probabilities of the K likeliest tokens instead, and this is the
    Kullback-Leibler divergence over those K, with everything outside of them as one more outcome (`tail`), so that it is a
    true divergence: never negative, and 0 where the student agrees on all K. 128 to 256 tokens carry nearly all of it.

    `forward` compares under the teacher's distribution and makes the student cover all that the teacher finds possible;
    `reverse` compares under the student's and makes it pick what the teacher finds likely. Without the tail the sum runs over
    the K alone as they are, without making them sum to 1; it may then be negative. The mass outside is one minus the sum of
    the others, at least the rounding error of that sum.

    Formula:
        \text{forward}: \; \ell_{bt} = \sum_{k=0}^{K} q_{btk} (\log q_{btk} - \log p_{btk}), \quad
        \text{reverse}: \; \ell_{bt} = \sum_{k=0}^{K} p_{btk} (\log p_{btk} - \log q_{btk}), \qquad
        q_{bt0} = 1 - \sum_{k=1}^{K} q_{btk}, \; p_{bt0} = 1 - \sum_{k=1}^{K} p_{btk}

    Args:
        predictions: the student's log-probabilities $\log p$ at the teacher's tokens: gathered from its log_softmax over the
            whole vocabulary.
        teacher: the teacher's log-probabilities $\log q$ at its likeliest tokens, in the same order. They are constants unless
            their gradient is asked for.
        direction: under whose distribution the two are compared.
        tail: whether all other tokens together are one more outcome.

    Returns:
        one loss per token, in nats.

    Use when:
        a small language model learns from a large one whose server gives top log-probabilities (`logprobs` of vLLM or of
        SGLang), on its texts or, as on-policy distillation does, on the student's own.

    Avoid when:
        both distributions are at hand whole (take `distillation`, or `generalized_jsd` as TRL's GKDTrainer does), or only the
        tokens that were sampled are (take `kl_k3` with the teacher as the reference).

    Source:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015. https://arxiv.org/abs/1503.02531; Agarwal
        et al., On-Policy Distillation of Language Models, 2023. https://arxiv.org/abs/2306.13649.
    """
    student = predictions
    if tail:
        student, teacher = (torch.cat([one, _outside(one)], dim=-1) for one in (student, teacher))
    true, model = (teacher, student) if direction == "forward" else (student, teacher)
    return (true.exp() * (true - model)).sum(-1)


def _outside(log_probabilities: Tensor) -> Tensor:
    """The logarithm of the mass that is left, at least that of a rounding error."""
    rest = 1 - log_probabilities.exp().sum(-1, keepdim=True)
    return rest.clamp(min=torch.finfo(rest.dtype).eps).log()
