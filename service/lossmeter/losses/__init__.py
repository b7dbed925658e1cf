"""The catalogue of losses: files by family, each loss one decorated pure function."""

from importlib import import_module
from pkgutil import iter_modules

from lossmeter.losses.catalogue import (
    FURTHER_REDUCTIONS,
    LOSSES,
    SEQUENCE_REDUCTIONS,
    Arguments,
    Loss,
    Support,
    TensorArgument,
    find,
)

# A loss joins the catalogue when its file is imported.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "FURTHER_REDUCTIONS",
    "LOSSES",
    "SEQUENCE_REDUCTIONS",
    "Arguments",
    "Loss",
    "Support",
    "TensorArgument",
    "find",
]
