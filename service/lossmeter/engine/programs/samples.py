"""Inputs on which a program has to prove itself: of every size that it is for, at the edges of what each tensor means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmeter.losses.vocabulary import Meaning, Role
from lossmeter.tensors import Array, Datatype, Tensor

Limits = tuple[float | None, float | None]

LIMITS: tuple[Limits, ...] = ((None, None), (0.0, None), (0.0, 1.0))
"""Limits of numbers without any of their own, in the order in which they are tried."""
LENGTHS = 3
"""Lengths in samples are smaller than this, so that they fit into most sequences."""


@dataclass(frozen=True, slots=True)
class Form:
    """Describes the samples of one kind of call.

    Attributes:
        roles, shapes: of each tensor.
        batched: names of the tensors whose first dimension is the batch.
        bounds: for indices, the size of the dimension that they point into.
        dtype: the precision of the call.
        ignored: an index that is allowed besides, if there is one.
    """

    roles: Mapping[str, Role]
    shapes: Mapping[str, tuple[int, ...]]
    batched: frozenset[str]
    bounds: Mapping[str, int | None]
    dtype: np.dtype[Any]
    ignored: int | None

    def sample(self, seed: int, rows: int | None, *, edges: bool, limits: Limits) -> dict[str, Tensor]:
        """Returns tensors for one call.

        Args:
            seed: of everything that is drawn.
            rows: the size of the batch; None leaves all shapes as they are.
            edges: mixes in extreme numbers, ties and ignored indices.
            limits: of numbers whose meaning has none; some losses ask for them with some parameters.
        """
        random = np.random.default_rng(seed)
        tensors: dict[str, Tensor] = {}
        for name, role in self.roles.items():
            meaning, shape = role.meaning, self.shapes[name]
            if rows is not None and name in self.batched:
                shape = (rows, *shape[1:])
            size = math.prod(shape)
            if meaning.kind == "boolean":
                array: Array = random.random(size) < 0.5
            elif meaning.kind == "index":
                array = self._indices(random, meaning, size, self.bounds[name], edges=edges)
            elif meaning.choices:
                array = random.choice(np.array(meaning.choices, self.dtype), size)
            else:
                bounded = meaning.minimum is not None or meaning.maximum is not None
                low, high = (meaning.minimum, meaning.maximum) if bounded else limits
                array = _draw(random, size, low, high).astype(self.dtype)
                if edges:
                    twins = [x.data for x in tensors.values() if x.shape == shape and x.data.dtype == array.dtype]
                    _add_edges(random, array, [] if bounded else twins, low, high)
            tensors[name] = Tensor(_datatype(array), shape, array)
        return tensors

    def _indices(
        self, random: np.random.Generator, meaning: Meaning, size: int, bound: int | None, *, edges: bool
    ) -> Array:
        if bound is None:
            return random.integers(1 if meaning.minimum is None else int(meaning.minimum), LENGTHS, size)
        array = random.integers(int(meaning.minimum or 0), max(bound, 1), size)
        if edges and self.ignored is not None:
            array[random.random(size) < 0.3] = self.ignored
        return array


def _draw(random: np.random.Generator, size: int, low: float | None, high: float | None) -> Array:
    if low is None:
        return 3 * random.standard_normal(size)
    return random.uniform(low, low + 3 if high is None else high, size)


def _add_edges(
    random: np.random.Generator, array: Array, twins: list[Array], low: float | None, high: float | None
) -> None:
    """Replaces a part of the numbers by extreme ones, and a part by those that stand in another tensor."""
    for twin in twins[:1]:
        tied = random.random(len(array)) < 0.2
        array[tied] = twin[tied]
    limits = np.finfo(array.dtype)
    numbers = np.array([limits.tiny, limits.eps, 1.0, 100.0, 1e10, limits.max, 0.0])
    numbers = np.concatenate([numbers, -numbers]).astype(array.dtype)
    numbers = numbers[(numbers >= (-np.inf if low is None else low)) & (numbers <= (np.inf if high is None else high))]
    chosen = random.random(len(array)) < 0.2
    array[chosen] = random.choice(numbers, int(chosen.sum()))


def _datatype(array: Array) -> Datatype:
    return next(datatype for datatype in Datatype if datatype.dtype == array.dtype and datatype is not Datatype.BF16)
