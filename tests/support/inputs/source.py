"""Random tensors from a seed, by what their numbers mean."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor

from lossmeter.losses.vocabulary import Meaning

Case = dict[str, Any]
CLASSES = ("C", "V", "K")


class Source:
    """Random tensors from one seed."""

    def __init__(self, name: str) -> None:
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def indices(self, *shape: int, below: int) -> Tensor:
        return torch.randint(max(below, 1), shape, generator=self.generator)

    def signs(self, *shape: int) -> Tensor:
        return 2.0 * self.indices(*shape, below=2) - 1.0

    def distribution(self, *shape: int, dim: int = -1) -> Tensor:
        return (2 * self.normal(*shape)).softmax(dim)

    def padded(self, *shape: int) -> Tensor:
        """In each row some of the indices of its places, each once, and -1 after them."""
        rows = torch.stack([torch.randperm(shape[-1], generator=self.generator) for _ in range(_product(shape[:-1]))])
        lengths = self.indices(len(rows), below=shape[-1] - 1) + 1 if shape[-1] > 1 else torch.ones(len(rows))
        rows[torch.arange(shape[-1]) >= lengths.unsqueeze(1)] = -1
        return rows.reshape(shape)

    def meant(self, meaning: Meaning, shape: tuple[int, ...], *, class_dim: int | None, below: int) -> Tensor:
        """Numbers of that meaning, well inside of their domain.

        Args:
            class_dim: the dimension of the classes, over which distributions sum to one.
            below: for indices, the size of the dimension that they index.
        """
        if meaning.kind == "boolean":
            return self.indices(*shape, below=2).bool()
        if meaning.kind == "index":
            if meaning.minimum == -1 and 0 not in shape:
                return self.padded(*shape)
            return self.indices(*shape, below=below) + max(int(meaning.minimum or 0), 0)
        if meaning.choices:
            return torch.tensor(meaning.choices, dtype=torch.float64)[self.indices(*shape, below=len(meaning.choices))]
        if meaning.name in ("log-probabilities", "distributions") and class_dim is not None and shape:
            made = self.distribution(*shape, dim=class_dim)
            return made.log() if meaning.name == "log-probabilities" else made
        if meaning.name == "log-probabilities":
            return self.uniform(*shape, low=0.02, high=0.98).log()
        if meaning.name == "positive numbers":
            return self.uniform(*shape, low=0.2, high=3.0)
        if meaning.minimum is not None and meaning.maximum is not None:
            width = meaning.maximum - meaning.minimum
            return meaning.minimum + width * self.uniform(*shape, low=0.02, high=0.98)
        if meaning.minimum is not None:
            return meaning.minimum + self.uniform(*shape, low=0.2, high=3.0)
        return (2 if meaning.name == "logits" else 1) * self.normal(*shape)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
