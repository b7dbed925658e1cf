"""Reports, comparisons and lists of runs: the JSON of the service as a mapping, and all of it as attributes.

report.metrics.accuracy.value        # typed, with completion
report["metrics"][0]["value"]        # as the service answered it
print(report)                        # the table of the command line; in a notebook, one of HTML
report.to_frame()                    # of pandas or polars
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, Literal, overload

from lossmeter.client.figures import (
    Difference,
    Figures,
    Interval,
    LossFigure,
    MetricFigure,
    difference,
    interval,
    loss_figure,
    metric_figure,
)
from lossmeter.reporting import Page, comparison_page, html, junit, markdown, report_page, run_list_page, text

Library = Literal["pandas", "polars"]


def frame(rows: Sequence[Mapping[str, Any]], library: Library | None = None) -> Any:
    """Makes a data frame of rows.

    Raises:
        ImportError: neither library is installed, or not the one that is wanted.
    """
    for name in ("pandas", "polars") if library is None else (library,):
        try:
            return import_module(name).DataFrame(rows)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise ImportError(f"to_frame needs {library or 'pandas or polars'}")


class Answer(Mapping[str, Any]):
    """An answer of the service: a mapping of its JSON."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._fields)

    def _page(self) -> Page:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text(self._page()).rstrip("\n")

    def _repr_html_(self) -> str:
        return html(self._page(), whole=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON of the answer."""
        return dict(self._fields)

    def to_markdown(self) -> str:
        """Returns the answer as Markdown."""
        return markdown(self._page())

    def to_html(self) -> str:
        """Returns the answer as a page of HTML that needs nothing from elsewhere."""
        return html(self._page())


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run: what it is called, what it measures, how much it has."""

    id: str
    name: str
    tags: tuple[str, ...]
    plan: Mapping[str, Any]
    classes: int | None
    created: datetime
    closed: datetime | None
    batches: int
    samples: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> RunInfo:
        """Reads a run."""
        return cls(
            fields["id"],
            fields["name"],
            tuple(fields["tags"]),
            fields.get("plan") or {},
            fields.get("classes"),
            _time(fields["created"]),
            None if fields["closed"] is None else _time(fields["closed"]),
            fields["batches"],
            fields["samples"],
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class HardSample:
    """One of the samples with the highest loss; one without an id is known by its batch and its place in it."""

    sample_id: str | int | None
    batch_id: str | None
    position: int | None
    loss: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate, and whether it holds.

    Attributes:
        gate: as it was written.
        observed: the figure where it came nearest to failing, or failed most; of a comparison, by how much the candidate may
            be worse.
        limit: what it was compared with.
        where: the slice in which that was observed; none for all samples.
        failed_slices: every slice in which it does not hold.
    """

    gate: Mapping[str, Any]
    passed: bool
    observed: float | None
    limit: float
    where: Mapping[str, Any] | None
    failed_slices: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Verdict:
        """Reads the verdict of a report, or of a comparison."""
        absolute = "threshold" in fields
        observed = fields["observed" if absolute else "worse_by_at_most"]
        limit = fields["threshold" if absolute else "margin"]
        return cls(fields["gate"], fields["passed"], observed, limit, fields["where"], fields["failed_slices"])


class Part:
    """The figures of some samples.

    Attributes:
        samples: how many count.
        losses, metrics: by place, and by name as keys and attributes.
        objective: the weighted sum of the losses; none where it is not defined.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.samples: int = fields["samples"]
        self.losses: Figures[LossFigure] = Figures(map(loss_figure, fields["losses"]))
        self.metrics: Figures[MetricFigure] = Figures(map(metric_figure, fields["metrics"]))
        self.objective: float | None = fields["objective"]["value"]
        self.objective_interval: Interval | None = interval(fields["objective"]["interval"])

    def rows(self, place: str) -> Iterator[dict[str, Any]]:
        """Yields a row for each figure that is one number."""
        scalars = [one for one in self.metrics if one.kind == "scalar"]
        figures: list[LossFigure | MetricFigure] = [*self.losses, *scalars]
        for one in figures:
            ends = one.interval
            yield {
                "slice": place,
                "figure": one.name,
                "kind": "loss" if isinstance(one, LossFigure) else "metric",
                "value": one.value,
                "low": ends and ends.low,
                "high": ends and ends.high,
                "standard_error": ends and ends.standard_error,
                "method": ends and ends.method,
                "samples": self.samples,
            }


class SlicePart(Part):
    """The figures of the samples that have one value in one column."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.column: str = fields["column"]
        self.value: str | int | bool = fields["value"]

    def __repr__(self) -> str:
        return f"SlicePart({self.column}={self.value}, {self.samples} samples)"


class Report(Answer, Part):
    """Everything that follows from the samples of an evaluation, or from those of a run so far.

    Attributes:
        gradients: of the objective by role, arrays of the kind that was sent; empty if none were asked for, and of a run.
        slices: the figures of every value of every column.
        hardest: the samples with the highest loss.
        gates: the verdicts.
        passed: whether all gates hold.
        warnings: what the service wants known.
        run: the run that it is of; none of an evaluation in one request.
    """

    def __init__(self, fields: Mapping[str, Any], gradients: Mapping[str, Any] | None = None) -> None:
        Answer.__init__(self, fields)
        Part.__init__(self, fields)
        self.gradients: Mapping[str, Any] = gradients or {}
        self.slices = tuple(map(SlicePart, fields["slices"]))
        self.hardest = tuple(
            HardSample(one["sample_id"], one["batch_id"], one["position"], one["loss"]) for one in fields["hardest"]
        )
        self.gates = tuple(map(Verdict.of, fields["gates"]))
        self.passed: bool = fields["passed"]
        self.warnings: Sequence[Mapping[str, Any]] = tuple(fields["warnings"])
        self.run = RunInfo.of(fields["run"]) if fields.get("run") else None

    def _page(self) -> Page:
        return report_page(self._fields)

    def slice(self, column: str, value: str | int | bool) -> SlicePart:
        """Returns the figures of one slice.

        Raises:
            KeyError: there is none.
        """
        for one in self.slices:
            if (one.column, type(one.value), one.value) == (column, type(value), value):
                return one
        raise KeyError(f"no slice {column}={value!r}")

    def to_junit(self) -> str:
        """Returns the gates as JUnit XML."""
        return junit(self._fields)

    def to_frame(self, library: Library | None = None) -> Any:
        """Returns a data frame with a row for each scalar figure, over all samples (`slice` is empty) and per slice.

        Raises:
            ImportError: neither pandas nor polars is installed.
        """
        rows = [*self.rows(""), *(row for one in self.slices for row in one.rows(f"{one.column}={one.value}"))]
        return frame(rows, library)


class DifferencePart:
    """The differences in some samples; `samples` are counted for both runs."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.samples: Mapping[str, int] = fields["samples"]
        self.losses: Figures[Difference] = Figures(map(difference, fields["losses"]))
        self.metrics: Figures[Difference] = Figures(map(difference, fields["metrics"]))
        self.place = f"{fields['column']}={fields['value']}" if "column" in fields else ""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields a row for each figure."""
        for one in (*self.losses, *self.metrics):
            yield {
                "slice": self.place,
                "figure": one.name,
                "baseline": one.baseline,
                "candidate": one.candidate,
                "difference": one.difference,
                "low": one.interval and one.interval.low,
                "high": one.interval and one.interval.high,
                "p_value": one.p_value,
                "better": one.better,
            }


class Comparison(Answer, DifferencePart):
    """Two runs: candidate minus baseline.

    Attributes:
        baseline, candidate: the runs.
        slices: the differences in every slice that both have.
        gates: the verdicts on margins.
        passed: whether all of them hold.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        Answer.__init__(self, fields)
        DifferencePart.__init__(self, fields)
        self.baseline, self.candidate = RunInfo.of(fields["baseline"]), RunInfo.of(fields["candidate"])
        self.slices = tuple(map(DifferencePart, fields["slices"]))
        self.gates = tuple(map(Verdict.of, fields["gates"]))
        self.passed: bool = fields["passed"]
        self.warnings: Sequence[Mapping[str, Any]] = tuple(fields["warnings"])

    def _page(self) -> Page:
        return comparison_page(self._fields)

    def to_junit(self) -> str:
        """Returns the gates as JUnit XML."""
        return junit(self._fields)

    def to_frame(self, library: Library | None = None) -> Any:
        """Returns a data frame with a row for each figure, over all samples (`slice` is empty) and per slice.

        Raises:
            ImportError: neither pandas nor polars is installed.
        """
        return frame([*self.rows(), *(row for one in self.slices for row in one.rows())], library)


class RunList(Sequence[RunInfo]):
    """Runs, newest first; `next` is the cursor of those that follow, none if that was all."""

    def __init__(self, fields: Iterable[Mapping[str, Any]], following: str | None = None) -> None:
        self._fields = list(fields)
        self._runs = tuple(map(RunInfo.of, self._fields))
        self.next = following

    @overload
    def __getitem__(self, key: int) -> RunInfo: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[RunInfo, ...]: ...
    def __getitem__(self, key: int | slice) -> RunInfo | tuple[RunInfo, ...]:
        return self._runs[key]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return text(run_list_page(self._fields)).rstrip("\n")

    def _repr_html_(self) -> str:
        return html(run_list_page(self._fields), whole=False)

    def to_list(self) -> list[Mapping[str, Any]]:
        """Returns the JSON of the runs."""
        return list(self._fields)

    def to_frame(self, library: Library | None = None) -> Any:
        """Returns a data frame with a row for each run.

        Raises:
            ImportError: neither pandas nor polars is installed.
        """
        names = ("id", "name", "created", "closed", "batches", "samples")
        rows = [{**{name: one[name] for name in names}, "tags": ", ".join(one["tags"])} for one in self._fields]
        return frame(rows, library)
