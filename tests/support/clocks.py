"""A clock that goes when it is told to."""

from __future__ import annotations


class Clock:
    """Stands in for `time.monotonic` and its like."""

    def __init__(self, seconds: float = 100.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.seconds += seconds
