"""The evaluation as methods of both clients: one batch, runs of many, comparisons, the catalogue of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from lossmeter.client import calls
from lossmeter.client.calls import Entry
from lossmeter.client.codecs import Codec
from lossmeter.client.exchanges import Request
from lossmeter.client.reports import Comparison, Report, RunList
from lossmeter.client.runs import AsyncRun, Choices, Run, evaluation_fields, run_fields

T = TypeVar("T")
PAGE = 500
"""Runs that one request asks for, at most."""


class _Sending(Protocol):
    _codec: Codec

    def send(self, request: Request[T]) -> T: ...


class _AsyncSending(Protocol):
    _codec: Codec

    async def send(self, request: Request[T]) -> T: ...


class Evaluations:
    """Calls of `Client` for evaluations."""

    def evaluate(
        self: _Sending,
        predictions: Any,
        labels: Any,
        *,
        task: str,
        losses: Choices | None = None,
        metrics: Choices | None = None,
        gates: Sequence[str | Mapping[str, Any]] = (),
        **fields: Any,
    ) -> Report:
        """Measures one batch by many losses and metrics, per slice too, and checks it against gates.

            report = client.evaluate(probabilities, labels, task="binary", predictions_are="probabilities",
                                     metrics=["accuracy", "recall"], gates=[{"metric": "accuracy", "minimum": 0.9}])
            report.metrics.accuracy.value, report.metrics.accuracy.interval.low, report.passed

        Args:
            predictions, labels: arrays of numpy, tensors of torch, or nested lists; labels of classes may be texts.
            task: `regression`, `binary`, `multiclass`, …
            losses, metrics: by name, or as objects with parameters; left out, the usual ones of the task.
            gates: what must hold.
            fields: `predictions_are`; `sample_weight` and `mask`; `sample_ids`, `groups` and `slices` (by column); `gradients`,
                `confidence`, `hardest`, and whatever else an evaluation takes.

        Raises:
            InvalidRequest, NotFound: if something does not fit together; says where.
            ServiceError: as `loss`.
        """
        more = {"task": task, "gates": list(gates) or None, **fields}
        return self.send(
            calls.evaluate(
                self._codec, {"predictions": predictions, "labels": labels} | evaluation_fields(losses, metrics, more)
            )
        )

    def metrics(self: _Sending) -> list[Entry]:
        """Returns the catalogue of metrics: an entry for each."""
        return self.send(calls.metrics())

    def describe_metric(self: _Sending, metric: str) -> Entry:
        """Returns the entry of one metric: tasks, parameters, formula, when to use it.

        Raises:
            NotFound: if there is none of that name.
        """
        return self.send(calls.describe_metric(metric))

    def run(
        self: _Sending,
        name: str = "",
        *,
        losses: Choices | None = None,
        metrics: Choices | None = None,
        tags: Sequence[str] = (),
        **fields: Any,
    ) -> Run:
        """Prepares an evaluation in many batches, which is opened where its block is entered.

            with client.run("nightly", task="multiclass", predictions_are="logits", metrics=["accuracy"]) as run:
                for logits, labels in batches:
                    run.add(logits, labels)
                print(run.report())

        Args:
            name: for people.
            losses, metrics: by name, or as objects with parameters; left out, the usual ones of the task.
            tags: by which runs are found.
            fields: `task` and `predictions_are`, which are needed; `slices` (the names of the columns), `gates`, `classes`,
                `confidence`, and whatever else a run is opened with.
        """
        return Run(self, self._codec, run_fields(name, losses, metrics, tags, fields))

    def attach(self: _Sending, run_id: str) -> Run:
        """Continues a run that was opened before, here or elsewhere. Sends nothing."""
        return Run(self, self._codec, {}, run_id)

    def runs(
        self: _Sending, *, name: str = "", task: str = "", tags: Sequence[str] = (), limit: int = 50, cursor: str = ""
    ) -> RunList:
        """Lists runs, newest first.

        Args:
            name: of the runs, exactly.
            task: that they are about.
            tags: that they have, all of them.
            limit: how many at most.
            cursor: `next` of the list before.
        """
        found: list[Mapping[str, Any]] = []
        following: str | None = cursor
        while following is not None and len(found) < limit:
            page = self.send(calls.runs(_filters(name, task, tags, limit - len(found), following)))
            found, following = [*found, *page.to_list()], page.next
        return RunList(found, following)

    def compare(
        self: _Sending,
        baseline: Run | str,
        candidate: Run | str,
        *,
        gates: Sequence[Mapping[str, Any]] = (),
        confidence: float = 0.95,
    ) -> Comparison:
        """Compares two runs, in pairs where they keep their samples.

        Args:
            baseline, candidate: runs, or their ids.
            gates: how much worse the candidate may be: `{"metric": "accuracy", "margin": 0.005}`.
            confidence: of the intervals.

        Raises:
            NotFound: if there is no such run.
            InvalidRequest: if one has no batch yet, or a gate does not fit.
        """
        return self.send(calls.compare(_comparison(baseline, candidate, gates, confidence)))


class AsyncEvaluations:
    """Calls of `AsyncClient` for evaluations."""

    async def evaluate(
        self: _AsyncSending,
        predictions: Any,
        labels: Any,
        *,
        task: str,
        losses: Choices | None = None,
        metrics: Choices | None = None,
        gates: Sequence[str | Mapping[str, Any]] = (),
        **fields: Any,
    ) -> Report:
        """As `Client.evaluate`."""
        more = {"task": task, "gates": list(gates) or None, **fields}
        return await self.send(
            calls.evaluate(
                self._codec, {"predictions": predictions, "labels": labels} | evaluation_fields(losses, metrics, more)
            )
        )

    async def metrics(self: _AsyncSending) -> list[Entry]:
        """As `Client.metrics`."""
        return await self.send(calls.metrics())

    async def describe_metric(self: _AsyncSending, metric: str) -> Entry:
        """As `Client.describe_metric`."""
        return await self.send(calls.describe_metric(metric))

    def run(
        self: _AsyncSending,
        name: str = "",
        *,
        losses: Choices | None = None,
        metrics: Choices | None = None,
        tags: Sequence[str] = (),
        **fields: Any,
    ) -> AsyncRun:
        """As `Client.run`: `async with client.run(…) as run`."""
        return AsyncRun(self, self._codec, run_fields(name, losses, metrics, tags, fields))

    def attach(self: _AsyncSending, run_id: str) -> AsyncRun:
        """As `Client.attach`."""
        return AsyncRun(self, self._codec, {}, run_id)

    async def runs(
        self: _AsyncSending,
        *,
        name: str = "",
        task: str = "",
        tags: Sequence[str] = (),
        limit: int = 50,
        cursor: str = "",
    ) -> RunList:
        """As `Client.runs`."""
        found: list[Mapping[str, Any]] = []
        following: str | None = cursor
        while following is not None and len(found) < limit:
            page = await self.send(calls.runs(_filters(name, task, tags, limit - len(found), following)))
            found, following = [*found, *page.to_list()], page.next
        return RunList(found, following)

    async def compare(
        self: _AsyncSending,
        baseline: AsyncRun | str,
        candidate: AsyncRun | str,
        *,
        gates: Sequence[Mapping[str, Any]] = (),
        confidence: float = 0.95,
    ) -> Comparison:
        """As `Client.compare`."""
        return await self.send(calls.compare(_comparison(baseline, candidate, gates, confidence)))


def _filters(name: str, task: str, tags: Sequence[str], limit: int, cursor: str) -> dict[str, Any]:
    return {"name": name, "task": task, "tag": list(tags), "limit": min(limit, PAGE), "cursor": cursor}


def _comparison(
    baseline: Run | AsyncRun | str,
    candidate: Run | AsyncRun | str,
    gates: Sequence[Mapping[str, Any]],
    confidence: float,
) -> dict[str, Any]:
    ids = {"baseline": baseline, "candidate": candidate}
    sides = {role: one if isinstance(one, str) else one.id for role, one in ids.items()}
    return {**sides, "gates": [dict(one) for one in gates], "confidence": confidence}
