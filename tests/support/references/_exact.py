"""Numbers of fifty digits, for formulas that cancel in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

mpmath.mp.dps = 50


def exactly(function: Callable[..., Any], *arrays: Array) -> Array:
    """`function` of the elements as numbers of 50 digits; the result is rounded once."""
    converted = np.frompyfunc(mpmath.mpf, 1, 1)
    result = np.frompyfunc(function, len(arrays), 1)(*(converted(array) for array in arrays))
    return np.asarray(result).astype(np.float64)
