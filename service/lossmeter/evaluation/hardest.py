"""The samples with the highest loss: a bounded list that merges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmeter.tensors import Array

SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class HardestSample:
    """A sample and its loss.

    Attributes:
        sample_id: its id; None if it has none, and then `batch_id` and `position` say which it is.
        loss: the weighted sum of its losses, those of the objective.
    """

    sample_id: str | int | None
    batch_id: str | None
    position: int | None
    loss: float

    @property
    def rank(self) -> tuple[float, str, str, int]:
        """Sorts by loss, the highest first and NaN above all; equals in an order that no batch decides."""
        size = -math.inf if math.isnan(self.loss) else -self.loss
        return size, str(self.sample_id), str(self.batch_id), self.position or 0

    def to_json(self) -> dict[str, Any]:
        loss: Any = self.loss
        if not math.isfinite(loss):
            loss = "NaN" if math.isnan(loss) else "Infinity" if loss > 0 else "-Infinity"
        return {"sample_id": self.sample_id, "batch_id": self.batch_id, "position": self.position, "loss": loss}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> HardestSample:
        loss = SPELLED.get(record["loss"], record["loss"])
        return cls(record["sample_id"], record["batch_id"], record["position"], float(loss))


def hardest(limit: int, samples: Iterable[HardestSample]) -> tuple[HardestSample, ...]:
    """Returns the first of them by rank."""
    return tuple(sorted(samples, key=lambda one: one.rank)[:limit])


def of_batch(
    limit: int, losses: Array, ids: Sequence[str] | Sequence[int] | None, batch_id: str
) -> tuple[HardestSample, ...]:
    """Returns the hardest samples of a batch; `losses` is -inf for what does not count."""
    size = np.where(np.isnan(losses), np.inf, losses)
    limit = min(limit, len(size))
    if not limit:
        return ()
    # All that are no easier than the last one let in, so that ties are settled by id.
    least = np.partition(size, len(size) - limit)[len(size) - limit]
    places = np.flatnonzero((size >= least) & (size > -np.inf))
    return hardest(
        limit,
        (
            HardestSample(None, batch_id or None, place, float(losses[place]))
            if ids is None
            else HardestSample(ids[place], None, None, float(losses[place]))
            for place in places.tolist()
        ),
    )
