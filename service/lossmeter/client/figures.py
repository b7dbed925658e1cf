"""Figures of reports and comparisons, by name: `report.metrics.accuracy.value`, `report.metrics["f1(average=micro)"]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from lossmeter.reporting.names import title

F = TypeVar("F", bound="LossFigure | MetricFigure | Difference")


@dataclass(frozen=True, slots=True)
class Interval:
    """The certainty of a figure: with probability `level`, the true value lies from `low` to `high`; none is an end unknown."""

    low: float | None
    high: float | None
    standard_error: float | None
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class LossFigure:
    """A loss over all samples that count; `value` is sum / normalizer, none where nothing counts."""

    loss: str
    parameters: Mapping[str, Any]
    weight_in_objective: float
    value: float | None
    sum: float | None
    normalizer: float
    count: int
    standard_error: float | None
    interval: Interval | None

    @property
    def name(self) -> str:
        """The name, with the parameters that are not at their default."""
        return title({"loss": self.loss, "parameters": self.parameters})


@dataclass(frozen=True, slots=True)
class MetricFigure:
    """A metric over all samples that count.

    Attributes:
        kind: `scalar`, `per_class`, `matrix` or `curve`.
        value: a number, a list of them, a list of rows, or a list of curves with their columns by name.
        error_bound: how far the value may be from the exact one; 0 if it is exact.
    """

    metric: str
    parameters: Mapping[str, Any]
    kind: str
    value: Any
    interval: Interval | None
    error_bound: Any

    @property
    def name(self) -> str:
        """The name, with the parameters that are not at their default."""
        return title({"metric": self.metric, "parameters": self.parameters})


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two runs; `difference` is candidate minus baseline.

    Attributes:
        kind: `loss` or `metric`.
        of: the name of the loss or metric.
        better: `higher`, `lower` or `neither`.
        interval: of the difference, in pairs.
        p_value: of so large a difference, either way, if there is none in truth.
    """

    kind: str
    of: str
    parameters: Mapping[str, Any]
    better: str
    baseline: float | None
    candidate: float | None
    difference: float | None
    interval: Interval | None
    p_value: float | None

    @property
    def name(self) -> str:
        """The name, with the parameters that are not at their default."""
        return title({self.kind: self.of, "parameters": self.parameters})


class Figures(Sequence[F], Generic[F]):
    """Figures in the order in which they were asked for; also by name, as keys and as attributes."""

    def __init__(self, figures: Iterable[F]) -> None:
        self._figures = tuple(figures)

    @overload
    def __getitem__(self, key: int | str) -> F: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[F, ...]: ...
    def __getitem__(self, key: int | str | slice) -> F | tuple[F, ...]:
        """Returns a figure by its place, or by its name: `f1`, or `f1(average=micro)` where there are several.

        Raises:
            IndexError, KeyError: there is none, or there are several of that name.
        """
        if not isinstance(key, str):
            return self._figures[key]
        found = [one for one in self._figures if one.name == key] or [one for one in self._figures if _bare(one) == key]
        if len(found) != 1:
            known = ", ".join(self.names)
            raise KeyError(f"{len(found) or 'no'} figures of the name {key!r}; there are {known}")
        return found[0]

    def __getattr__(self, name: str) -> F:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __len__(self) -> int:
        return len(self._figures)

    def __iter__(self) -> Iterator[F]:
        return iter(self._figures)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(_bare(one) for one in self._figures)]

    def _ipython_key_completions_(self) -> list[str]:
        return self.names

    def __reduce__(self) -> Any:
        return type(self), (self._figures,)

    @property
    def names(self) -> list[str]:
        """The names of all, with the parameters that are not at their default."""
        return [one.name for one in self._figures]

    def __repr__(self) -> str:
        return f"Figures({', '.join(self.names)})"


def _bare(figure: LossFigure | MetricFigure | Difference) -> str:
    if isinstance(figure, Difference):
        return figure.of
    return figure.loss if isinstance(figure, LossFigure) else figure.metric


def interval(fields: Mapping[str, Any] | None) -> Interval | None:
    """Reads an interval."""
    return None if fields is None else Interval(**{name: fields.get(name) for name in Interval.__slots__})  # type: ignore[arg-type]


def loss_figure(fields: Mapping[str, Any]) -> LossFigure:
    """Reads the figure of a loss."""
    return LossFigure(**_known(LossFigure, fields), interval=interval(fields["interval"]))


def metric_figure(fields: Mapping[str, Any]) -> MetricFigure:
    """Reads the figure of a metric."""
    return MetricFigure(**_known(MetricFigure, fields), interval=interval(fields["interval"]))


def difference(fields: Mapping[str, Any]) -> Difference:
    """Reads the difference of a loss or a metric."""
    kind = "loss" if "loss" in fields else "metric"
    rest = {name: value for name, value in _known(Difference, fields).items() if name not in ("kind", "of")}
    return Difference(kind=kind, of=fields[kind], **rest, interval=interval(fields["interval"]))


def _known(of: type[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the fields that a class has: a newer service may answer with more."""
    return {name: fields[name] for name in of.__slots__ if name != "interval" and name in fields}
