"""The catalogue of losses: files by family, each loss one decorated pure function."""

from lossmeter.losses import (
    angular_margins,
    binary,
    classification,
    contrastive,
    distributions,
    embeddings,
    margins,
    metric_learning,
    ranking,
    ranking_lists,
    redundancy,
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
    "angular_margins",
    "binary",
    "classification",
    "contrastive",
    "distributions",
    "embeddings",
    "find",
    "margins",
    "metric_learning",
    "ranking",
    "ranking_lists",
    "redundancy",
    "regression",
    "sequences",
]
