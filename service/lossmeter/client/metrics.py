"""Metrics over many batches, in the manner of torchmetrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lossmeter.client.clients import Client
from lossmeter.client.runs import Choices, Run


class RemoteMetrics:
    """Computes metrics over many batches, which the service adds up in a run: `update`, `compute`, `reset`.

        metrics = RemoteMetrics(client, ["accuracy", {"metric": "f1", "average": "macro"}],
                                task="multiclass", predictions_are="logits")
        for logits, labels in batches:
            metrics.update(logits, labels)
        print(metrics.compute())  # {"accuracy": 0.93, "f1": 0.91}
        metrics.reset()

    The figures are those of one pass over all samples, however they were cut into batches.

    Args:
        client: that asks.
        metrics: by name, or as objects with parameters.
        task, predictions_are: as `Client.run` takes them.
        fields: of the run, `name` and `tags` among them.

    Attributes:
        run: the run that adds up, with the whole report; none before the first batch.
    """

    def __init__(self, client: Client, metrics: Choices, *, task: str, predictions_are: str, **fields: Any) -> None:
        self._client = client
        self._fields = {"metrics": metrics, "task": task, "predictions_are": predictions_are, "losses": [], **fields}
        self.run: Run | None = None

    def update(self, predictions: Any, labels: Any, **fields: Any) -> None:
        """Adds a batch: arrays of numpy, tensors of torch or nested lists, and what else `Run.add` takes.

        Raises:
            ServiceError: as `Run.add`.
        """
        if self.run is None:
            self.run = self._client.run(**self._fields).open()
        self.run.add(predictions, labels, **fields)

    def compute(self) -> dict[str, Any]:
        """Returns the values so far by the name of the metric, with its parameters where one name is there twice.

        Numbers are floats, or none where nothing is defined; figures of classes are lists.

        Raises:
            RuntimeError: before the first batch.
            ServiceError: as `Run.report`.
        """
        if self.run is None:
            raise RuntimeError("There is nothing to compute: update was not called, or not since reset")
        return named(self.run.report()["metrics"])

    def reset(self) -> None:
        """Forgets everything: the next batch opens another run. The run so far is closed, and stays with the service."""
        if self.run is not None:
            self.run.close()
            self.run = None


def named(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Arranges the values of a report's metrics by name."""
    count = Counter(figure["metric"] for figure in figures)
    return {figure["metric"] if count[figure["metric"]] == 1 else _whole(figure): figure["value"] for figure in figures}


def _whole(figure: Mapping[str, Any]) -> str:
    parameters = ", ".join(f"{name}={value}" for name, value in figure["parameters"].items())
    return f"{figure['metric']}({parameters})"
