"""Tensors that several losses for language models take under one name, documented once."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.losses.vocabulary import FixedLogProbabilities, LogProbabilities, Masks, Positive, Values

PolicyChosen = Annotated[
    LogProbabilities[Tensor, "B"],
    Prose("log-probability of the better answer under the model in training: the sum over its tokens."),
]
PolicyRejected = Annotated[
    LogProbabilities[Tensor, "B"], Prose("the same of the worse answer to the same question, in the same row.")
]
ReferenceChosen = Annotated[
    LogProbabilities[Tensor, "B"],
    Prose("log-probability of the better answer under the reference, the model that training began from."),
]
ReferenceRejected = Annotated[
    LogProbabilities[Tensor, "B"], Prose("log-probability of the worse answer under the reference.")
]
Beta = Annotated[
    Positive,
    Prose(
        r"how firmly the model is held to the reference, $\beta$: the larger, the less it moves. Usual are 0.01 to 0.5."
    ),
]

LogProbs = Annotated[
    LogProbabilities[Tensor, "B T"],
    Prose("log-probabilities of the tokens that were sampled, under the model in training; a row per answer."),
]
OldLogProbs = Annotated[
    LogProbabilities[Tensor, "B T"], Prose("the same under the model that sampled them, as it was at that time.")
]
FixedOldLogProbs = Annotated[
    FixedLogProbabilities[Tensor, "B T"],
    Prose("the same under the model that sampled them, as it was at that time. They have no gradient by definition."),
]
Advantages = Annotated[
    Values[Tensor, "B T"],
    Prose(
        "by how much each token turned out better than expected, $A$; of a whole answer, the same number at each token."
    ),
]
TokenMask = Annotated[
    Masks[Tensor, "B T"],
    Prose(
        "which tokens count. The means over an answer are over them alone, so this loss sees the mask itself; it has one "
        "number per token, never one per answer."
    ),
]
