"""Losses that were traced. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class TracedLoss:
    """A loss as data, as `trace` makes it; takes the place of a name in `Client.loss` and `RemoteLoss`.

    Attributes:
        name: of the function that was traced.
        graph: its operations, in JSON.
        roles: the tensors that it takes, in order.
        constants: tensors that it captured, which go with every request.
    """

    name: str
    graph: Mapping[str, Any] = field(repr=False)
    roles: tuple[str, ...]
    constants: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.name
