"""What was measured, and how it stands to what was aimed at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal


@dataclass(slots=True)
class Measurement:
    """One subject, measured in several rounds."""

    subject: str
    unit: str
    rounds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Milliseconds of processor time that each request took of the server; hardly touched by what else the machine does."""

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def processor_median(self) -> float | None:
        return median(self.processor) if self.processor else None


@dataclass(slots=True)
class Ratio:
    """Two subjects beside each other: the median of the ratios of each round, in which noise mostly cancels.

    Without rounds it is an aim that could not be measured.
    """

    what: str
    rounds: list[float]
    aim: float | None = None
    sense: Literal["≤", "≥"] = "≥"
    unit: str = "×"
    processor: float | None = None
    """The same ratio of the processor time."""

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def met(self) -> bool | None:
        if self.aim is None or not self.rounds:
            return None
        return self.median >= self.aim if self.sense == "≥" else self.median <= self.aim


@dataclass(slots=True)
class Curve:
    """How a figure depends on the size, for one subject of one panel of a plot."""

    panel: str
    subject: str
    points: dict[int, float]


@dataclass(slots=True)
class Result:
    """One case: what was measured, how it compares, and what a reader must know of it."""

    name: str
    title: str
    measurements: list[Measurement] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def of(self, subject: str) -> Measurement | None:
        return next((m for m in self.measurements if m.subject == subject), None)

    def add(self, subject: str, unit: str, value: float, processor: float | None = None) -> None:
        """One more round of a subject."""
        found = self.of(subject)
        if found is None:
            found = Measurement(subject, unit)
            self.measurements.append(found)
        found.rounds.append(value)
        if processor is not None:
            found.processor.append(processor)

    def compare(
        self,
        what: str,
        numerator: str,
        denominator: str | tuple[str, ...],
        aim: float | None = None,
        sense: Literal["≤", "≥"] = "≥",
    ) -> None:
        """A subject over another, or over the sum of several; of what was not measured, the aim alone."""
        below = (denominator,) if isinstance(denominator, str) else denominator
        found = [self.of(name) for name in (numerator, *below)]
        parts = [m.rounds for m in found if m is not None]
        if len(parts) == len(found):
            rounds = [above / sum(rest) for above, *rest in zip(*parts, strict=True)]
            costs = [m.processor_median for m in found if m is not None]
            processor = None
            if None not in costs:
                above, *rest = (cost for cost in costs if cost is not None)
                processor = above / sum(rest)
                if found[0] is not None and found[0].unit.endswith("/s"):  # more a second is less for each
                    processor = 1 / processor
            self.ratios.append(Ratio(what, rounds, aim, sense, processor=processor))
        elif aim is not None:
            self.ratios.append(Ratio(what, [], aim, sense))

    def bound(self, subject: str, unit: str, aim: float) -> None:
        """A subject whose own figure is to stay below an aim."""
        found = self.of(subject)
        self.ratios.append(Ratio(subject, list(found.rounds) if found is not None else [], aim, "≤", unit))


Case = Callable[[bool], Result]
"""A case is measured quickly or in full."""
