"""The mean loss over many batches."""

from __future__ import annotations

import math
from typing import Any, Self

from lossmeter.client.clients import Client
from lossmeter.client.results import LossResult


class MeanLoss:
    """Averages a loss over batches of any sizes.

    Sums and normalizers are added up, and divided once. The mean of the means would give a short batch, or one with many
    ignored labels, the same say as a full one.

        mean = MeanLoss(client, "cross_entropy")
        for logits, labels in batches:
            mean.update(logits, labels)
        print(mean.compute())

    Args:
        client: that asks; none if only results of other calls are added.
        loss: a name of the catalogue.
        fields: parameters of every call.

    Attributes:
        sum, normalizer, count: so far.
    """

    def __init__(self, client: Client | None = None, loss: str = "", **fields: Any) -> None:
        self._client = client
        self._loss = loss
        self._fields = fields
        self._roles: tuple[str, ...] = ()
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self.sum = 0.0
        self.normalizer = 0.0
        self.count = 0

    def update(self, *roles: Any, **fields: Any) -> LossResult:
        """Adds a batch, and returns its result.

        Args:
            roles: tensors in the order of the catalogue: predictions and labels, mostly.
            fields: tensors by role, and parameters of this call.

        Raises:
            TypeError: without a client, or if there are more tensors than roles.
            ValueError: if the mean of the loss is no quotient of two sums.
            ServiceError: as `Client.loss`.
        """
        if self._client is None:
            raise TypeError("MeanLoss has no client to ask; give it one, or add results")
        if not self._roles:
            entry = self._client.describe(self._loss)
            if entry["mean"] != "sum / normalizer":
                raise ValueError(f"{self._loss}: cannot be added up over batches; {entry['mean']}")
            self._roles = tuple(role["name"] for role in entry["roles"])
        result = self._client.loss(self._loss, **self._fields, **named(self._loss, self._roles, roles), **fields)
        self.add(result)
        return result

    def add(self, result: LossResult | MeanLoss) -> Self:
        """Adds the result of another call, or all that another mean holds."""
        self.sum += result.sum
        self.normalizer += result.normalizer
        self.count += result.count
        return self

    def compute(self) -> float:
        """Returns the mean so far; NaN if nothing counted."""
        return self.sum / self.normalizer if self.normalizer else math.nan


def named(loss: str, roles: tuple[str, ...], tensors: tuple[Any, ...]) -> dict[str, Any]:
    """Gives tensors, which came in order, the names of their roles.

    Raises:
        TypeError: if there are more of them than roles.
    """
    if len(tensors) > len(roles):
        raise TypeError(f"{loss} takes {len(roles)} tensors in order, {', '.join(roles)}; {len(tensors)} were given")
    return dict(zip(roles, tensors, strict=False))
