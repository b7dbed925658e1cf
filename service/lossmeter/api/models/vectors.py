"""Reference vectors of a loss, as they are served."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field

import lossmeter.losses
from lossmeter.losses import Loss


class Tolerance(BaseModel):
    """How far a number may be from the expected one: by `absolute + relative * |expected|`."""

    relative: float
    absolute: float


class Vector(BaseModel):
    """A request that the service takes as it stands, and what must come out."""

    request: dict[str, Any]
    answer: dict[str, Any] = Field(
        description="`values`, or `value`, `sum` and `normalizer`; and `gradients`. `non_finite` says what is null."
    )


class Vectors(BaseModel):
    """Reference vectors of a loss, in float64, for implementations in any language."""

    loss: str
    format: int
    tolerance: dict[str, Tolerance] = Field(description="Of `values`, sums and normalizers too, and of `gradients`.")
    cases: list[Vector]


def vectors_of(loss: Loss) -> bytes:
    """Returns the vectors of a loss as JSON, an object of the form of `Vectors`."""
    return (files(lossmeter.losses) / "vectors" / f"{loss.name}.json").read_bytes()
