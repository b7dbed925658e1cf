"""Costs: what a computation takes at its peak and altogether, known from shapes and parameters before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

PRODUCTS = 16
"""Multiplications of a product of matrices that take as long as one element operation anywhere else."""
TEXT_BYTES = 24
"""Bytes that a number of an answer takes while it is written as JSON."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes beyond its body and its decoded tensors.

    Attributes:
        memory: bytes at the peak, answer included.
        operations: operations on single elements, each a few nanoseconds of one core at most.
        cause: what takes most of the memory, in words.
        pointer: JSON Pointer to the field that makes it so large.
    """

    memory: int
    operations: int
    cause: str = ""
    pointer: str = ""

    def __add__(self, other: Cost) -> Cost:
        """Adds the cost of something that is done besides; the dearer one remains the cause."""
        dearer = self if self.memory >= other.memory else other
        return Cost(self.memory + other.memory, self.operations + other.operations, dearer.cause, dearer.pointer)


NOTHING = Cost(0, 0)
