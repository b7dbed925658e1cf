"""The catalogue of losses: files by family, each loss one decorated pure function."""

from lossmeter.losses import (
    binary,
    classification,
    distributions,
    embeddings,
    margins,
    ranking,
    ranking_lists,
    regression,
    sequences,
)
from lossmeter.losses.catalogue import LOSSES, Arguments, Loss, Support, TensorArgument, find

__all__ = [
    "LOSSES",
    "Arguments",
    "Loss",
    "Support",
    "TensorArgument",
    "binary",
    "classification",
    "distributions",
    "embeddings",
    "find",
    "margins",
    "ranking",
    "ranking_lists",
    "regression",
    "sequences",
]
