"""Calls and outcomes: everything that goes into the engine and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lossmeter.losses import Loss
from lossmeter.tensors import Tensor

PRECISIONS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


@dataclass(frozen=True, slots=True)
class Call:
    """A loss and everything that one request says of it.

    Attributes:
        horizon: what `sequence_sum_norm` divides by; by default the number of tokens of a row.
        expendable: whether the tensors may be overwritten, as nobody needs them afterwards: gradients of a large batch then
            take the place of what they are gradients of.
        advice: whether to say what most likely was not meant.
    """

    loss: Loss
    tensors: Mapping[str, Tensor]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reduction: str = "mean"
    gradients: tuple[str, ...] = ()
    upstream: Tensor | None = None
    sample_weight: Tensor | None = None
    mask: Tensor | None = None
    normalizer: float | None = None
    horizon: float | None = None
    empty: Literal["nan", "zero", "error"] = "nan"
    precision: Literal["float32", "float64"] = "float32"
    non_finite: Literal["error", "allow"] = "error"
    out_of_domain: Literal["error", "allow"] = "error"
    expendable: bool = False
    advice: bool = False


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the caller should know.

    Attributes:
        code: stable.
        pointer: into the answer; that of advice into the request.
        index, value: where a tensor is not finite, and what it is there.
        evidence, remedy: of advice: the figures that it rests on, and what to do.
    """

    code: str
    message: str
    pointer: str
    index: tuple[int, ...] | None
    value: str | None
    evidence: Mapping[str, float] | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call: `value` for `mean` and `sum`, `values` for `none`."""

    value: float | None
    values: Tensor | None
    sum: float
    normalizer: float
    count: int
    gradients: dict[str, Tensor]
    device: str
    warnings: list[Warned]
