"""The catalogue of losses: a file per family, each loss one decorated pure function."""

from lossmeter.losses import (
    binary,
    classification,
    distributions,
    embeddings,
    margins,
    ranking,
    regression,
    sequences,
)
from lossmeter.losses._catalogue import ALIASES, LOSSES, Arguments, Loss, Parameter, Support, TensorArgument, find

__all__ = [
    "ALIASES",
    "LOSSES",
    "Arguments",
    "Loss",
    "Parameter",
    "Support",
    "TensorArgument",
    "binary",
    "classification",
    "distributions",
    "embeddings",
    "find",
    "margins",
    "ranking",
    "regression",
    "sequences",
]
