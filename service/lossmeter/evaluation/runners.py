"""Runners evaluate a dataset, each in a place of its own, and whoever asks one knows not which.

A runner divides the work by the parts of the dataset alone and adds their records up in one tree, so that runners whose torch
has equally many threads report the same, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, Protocol

from lossmeter.evaluation.fields import SlicedFields
from lossmeter.evaluation.record import Record
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.tables import Chunk, Columns

Node = tuple[int, int]
"""Of the tree: its level, 0 for the parts themselves, and its number there."""


Watch = Callable[[float, int], None]
"""Is told which share of the dataset has been read, and how many rows that were."""


def unwatched(share: float, rows: int) -> None:
    """Is told how far a runner is, and tells nobody."""


class Runner(Protocol):
    """Evaluates datasets: this process, a service, a cluster."""

    def report(self, dataset: Dataset, columns: Columns, plan: SlicedFields) -> Mapping[str, Any]:
        """Reports on all rows of a dataset.

        Raises:
            LossmeterError: it cannot be read, or does not suit the plan; the message names file and row.
        """


class Reading:
    """Reads a dataset part by part, and tells how far that is."""

    def __init__(self, dataset: Dataset, columns: Columns, watch: Watch) -> None:
        self.dataset = dataset
        self.columns = columns
        self.watch = watch
        self.rows = 0

    def part(self, number: int) -> Generator[Chunk, None, None]:
        """Reads the rows of a part.

        Raises:
            LossmeterError: they cannot be read.
        """
        with closing(self.dataset.parts[number].read(self.columns)) as chunks:
            for chunk in chunks:
                yield chunk
                self.rows += chunk.rows
                self.watch((number + chunk.read) / len(self.dataset.parts), self.rows)


class MergeTree:
    """Adds up the records of numbered parts in pairs, the same ones in whatever order they come.

    Sums of floating numbers depend on what is added to what; here that follows from the numbers of the parts alone. A record
    waits until its neighbour is there: of parts that come in order, one waits on each level.

    Args:
        parts: how many there are.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.nodes: dict[Node, Record | None] = {}
        """What waits for its neighbour; None stands for parts without rows."""

    def add(self, node: Node, record: Record | None) -> None:
        """Adds the record of a node, and merges what can be merged.

        Raises:
            Invalid: the parts have different numbers of classes.
        """
        level, number = node
        while number or level < (self.parts - 1).bit_length():
            alone = number % 2 == 0 and (number + 1) << level >= self.parts
            if not alone:
                neighbour = (level, number ^ 1)
                if neighbour not in self.nodes:
                    break
                other = self.nodes.pop(neighbour)
                record = _merged(other, record) if number % 2 else _merged(record, other)
            level, number = level + 1, number // 2
        self.nodes[level, number] = record

    @property
    def record(self) -> Record | None:
        """The record of all parts, which must be there; None if they have no rows."""
        return self.nodes[(self.parts - 1).bit_length(), 0]


def _merged(record: Record | None, other: Record | None) -> Record | None:
    if record is None or other is None:
        return record or other
    return record.merge(other)
