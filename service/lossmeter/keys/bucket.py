"""Limits how often: a bucket fills steadily, and every request takes from it (a token bucket)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Lets `burst` requests through at once, and `rate` a second in the long run.

    Attributes:
        level: requests that it would let through at the moment `since`, in seconds of a clock that never goes back.
    """

    rate: float
    burst: int
    level: float
    since: float

    def take(self, now: float) -> float:
        """Takes one and returns 0, or takes none and returns how long it will be until there is one."""
        self.level = min(self.burst, self.level + (now - self.since) * self.rate)
        self.since = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.rate
