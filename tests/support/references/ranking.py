"""References of the losses for order."""

from __future__ import annotations

import numpy as np

from tests.support.references._exact import Array


def margin_ranking(input1: Array, input2: Array, labels: Array, margin: float = 0.0) -> Array:
    return np.maximum(0.0, labels * (input2 - input1) + margin)
