"""The vocabulary of parameters, and the two choices that all metrics over classes share."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lossmeter.catalogue import Prose
from lossmeter.metrics.weighting import Array, Booleans, quotient

Average = Annotated[
    Literal["macro", "micro", "weighted", "none", "binary"],
    Prose(
        "`macro` averages over classes, `weighted` by how frequent they are (NaN where none occurs), `micro` pools all"
        " decisions, `none` gives one value per class. `binary` is the positive class alone, of two classes: there it is the"
        " default, and elsewhere `macro`."
    ),
]
Absent = Annotated[
    Literal["skip", "zero", "one", "nan"],
    Prose("what a class has that occurs neither in predictions nor in labels."),
]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
OpenFraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInteger = Annotated[int, Field(ge=1, le=1_000_000)]
Bins = Annotated[int, Field(ge=1, le=1000)]
Power = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


def averaged(value: Array, defined: Booleans, support: Array, average: str, absent: str) -> Array:
    """Averages values per class (…, C), or leaves the values themselves.

    Args:
        value: one per class.
        defined: which classes have a value; the others are absent.
        support: weight of the samples that have the class, for the average `weighted`.
        average: `macro` (every class counts the same), `weighted` (by support) or `none`.
        absent: what an absent class has: `skip` (left out; NaN where it stands alone), `zero`, `one`, `nan`.
    """
    stand_in = {"skip": np.nan, "nan": np.nan, "zero": 0.0, "one": 1.0}[absent]
    filled = np.where(defined, value, stand_in)
    if average == "none":
        return filled
    share = shares(defined, support, average, absent)
    return quotient(np.where(share > 0, filled * share, 0.0).sum(axis=-1), share.sum(axis=-1))


def shares(defined: Booleans, support: Array, average: str, absent: str) -> Array:
    """Weights of the classes in their average, up to a factor; the arguments are those of `averaged`."""
    counted = np.ones(defined.shape) if absent != "skip" else defined.astype(np.float64)
    return support * counted if average == "weighted" else counted
