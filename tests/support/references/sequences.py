"""References of the losses for sequences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from tests.support.references._exact import Array


def _rows(labels: Array, lengths: Array) -> Iterator[list[int]]:
    """The symbols of each sequence, whether they are padded or joined end to end."""
    start = 0
    for number, length in enumerate(lengths):
        row = labels[number] if labels.ndim == 2 else labels[start:]
        start += length
        yield row[:length].tolist()


def ctc(
    predictions: Array,
    labels: Array,
    prediction_lengths: Array,
    label_lengths: Array,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Array:
    """By definition: every path is merged and compared with the text. Feasible for a few frames and classes."""
    batch = predictions if predictions.ndim == 3 else predictions[:, np.newaxis]
    lengths = np.atleast_1d(prediction_lengths)
    values = []
    for number, text in enumerate(_rows(labels, np.atleast_1d(label_lengths))):
        frames = batch[: lengths[number], number]
        total = math.fsum(
            math.exp(math.fsum(frames[time, symbol] for time, symbol in enumerate(path)))
            for path in itertools.product(range(batch.shape[-1]), repeat=len(frames))
            if [symbol for symbol, _ in itertools.groupby(path) if symbol != blank] == text
        )
        impossible = 0.0 if zero_infinity else math.inf
        values.append(-math.log(total) if total else impossible)
    return np.array(values).reshape(prediction_lengths.shape)
