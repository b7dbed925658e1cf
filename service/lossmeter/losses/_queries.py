"""Documents of queries: what losses of ranking share."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lossmeter.catalogue import Prose
from lossmeter.losses.catalogue import Arguments, Support
from lossmeter.losses.vocabulary import Masks, Scores

QueryScores = Annotated[
    Scores[Tensor, "Q D"],
    Prose("scores $s$ of the documents of each query, a row per query; a larger one ranks higher."),
]
DocumentMask = Annotated[
    Masks[Tensor, "Q D | Q"],
    Prose(
        "which documents there are, one number per document: false for those that only fill up shorter lists. Or which queries "
        "count, one number per query."
    ),
]


def documents(mask: Tensor | None, predictions: Tensor) -> Tensor:
    """Returns which documents are there: a boolean for each."""
    if mask is None:
        return torch.ones_like(predictions, dtype=torch.bool)
    return (mask if mask.ndim == predictions.ndim else mask.unsqueeze(1)).expand_as(predictions)


def all_documents(arguments: Arguments) -> Tensor:
    """Returns the same for a hook of a loss."""
    return documents(arguments["mask"], arguments["predictions"])


def with_documents(arguments: Arguments) -> Support:
    """Queries count that have a document."""
    return Support(all_documents(arguments).any(1))
