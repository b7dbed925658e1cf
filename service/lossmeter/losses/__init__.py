"""The catalogue of losses: a file per family, each loss one decorated pure function."""

from lossmeter.losses import regression
from lossmeter.losses._catalogue import ALIASES, LOSSES, Arguments, Loss, Parameter, Support, TensorArgument, find

__all__ = [
    "ALIASES",
    "LOSSES",
    "Arguments",
    "Loss",
    "Parameter",
    "Support",
    "TensorArgument",
    "find",
    "regression",
]
