"""Evaluations with intervals over HTTP, beside what scikit-learn takes for the values alone, in process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from tests.benchmarks import floor
from tests.benchmarks.load import Connection
from tests.benchmarks.payloads import SEED, Arrays, Payload, evaluation
from tests.benchmarks.results import Result
from tests.benchmarks.servers import CLIENT_CORE, SERVER_CORE, SERVICE, Server, alone, pinned, present, started

ROUNDS = 3
REPLICATES = 200
QUICK_SHARE = 10
"""A quick run has so much less data."""
AIMS = {0: 0.5, REPLICATES: 1.5}
Pair = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Subject:
    """An evaluation, and the same by scikit-learn: values alone."""

    name: str
    task: str
    predictions_are: str
    metrics: Sequence[str]
    tensors: Arrays
    reference: Callable[[], object]

    def payload(self, replicates: int) -> Payload:
        return evaluation(
            self.tensors,
            task=self.task,
            predictions_are=self.predictions_are,
            losses=[],
            metrics=[{"metric": name} for name in self.metrics],
            replicates=replicates,
        )


def measure(quick: bool) -> Result:
    result = Result("evaluation", "Evaluations over HTTP in safetensors, beside scikit-learn's values in process")
    share = QUICK_SHARE if quick else 1
    with started(present([SERVICE])) as (server,):
        for subject in (_binary(10**6 // share), _multiclass(10**5 // share, 100), regression(10**6 // share)):
            for _ in range(1 if quick else ROUNDS):
                _add(result, f"scikit-learn, {subject.name}", _in_process(subject.reference))
                for replicates in AIMS:
                    _add(result, _named(subject, replicates), _over_http(server, subject.payload(replicates)))
            for replicates, aim in AIMS.items():
                name = _named(subject, replicates)
                result.compare(f"{name} ÷ scikit-learn, values alone", name, f"scikit-learn, {subject.name}", aim, "≤")
    return result


def _named(subject: Subject, replicates: int) -> str:
    return f"lossmeter, {subject.name}, {replicates} replicates"


def _add(result: Result, name: str, took: tuple[float, float]) -> None:
    result.add(name, "ms", took[0] * 1e3, took[1] * 1e3)


def _over_http(server: Server, payload: Payload) -> tuple[float, float]:
    before = server.processor_seconds()
    with server.running() as port, pinned(CLIENT_CORE), Connection(port) as connection:
        answer = connection.exchange(payload.prepared, keep=True)
    if answer.status != 200:
        raise RuntimeError(f"{server.subject.name} answered {answer.status}: {answer.body[:500]!r}")
    return answer.seconds, server.processor_seconds() - before


def _in_process(work: Callable[[], object]) -> tuple[float, float]:
    before = time.thread_time()
    with alone(), pinned(SERVER_CORE):
        wall = floor.seconds(work)
    return wall, time.thread_time() - before


def _binary(samples: int) -> Subject:
    random = np.random.default_rng(SEED)
    labels = (random.random(samples) < 0.3).astype(np.int64)
    scores = (1 / (1 + np.exp(0.8 - 1.5 * labels - random.standard_normal(samples)))).astype(np.float32)

    def reference() -> object:
        decided = scores > 0.5
        decisions = (metrics.accuracy_score, metrics.precision_score, metrics.recall_score, metrics.f1_score)
        return [measured(labels, decided) for measured in decisions] + [
            metrics.roc_auc_score(labels, scores),
            metrics.average_precision_score(labels, scores),
        ]

    names = ("accuracy", "precision", "recall", "f1", "auroc", "average_precision")
    tensors = {"predictions": scores, "labels": labels}
    return Subject(f"binary [{samples:,}]", "binary", "probabilities", names, tensors, reference)


def _multiclass(samples: int, classes: int) -> Subject:
    random = np.random.default_rng(SEED)
    labels = random.integers(0, classes, samples)
    parts = np.exp(random.standard_normal((samples, classes), dtype=np.float32))
    parts[np.arange(samples), labels] *= 7
    probabilities = parts / parts.sum(axis=1, keepdims=True)

    def reference() -> object:
        decided = probabilities.argmax(axis=1)
        averaged = (metrics.precision_score, metrics.recall_score, metrics.f1_score)
        return [measured(labels, decided, average="macro") for measured in averaged] + [
            metrics.accuracy_score(labels, decided),
            metrics.log_loss(labels, probabilities),
        ]

    names = ("precision", "recall", "f1", "accuracy", "log_loss")
    tensors = {"predictions": probabilities, "labels": labels}
    return Subject(f"multiclass [{samples:,}, {classes}]", "multiclass", "probabilities", names, tensors, reference)


def regression(samples: int) -> Subject:
    random = np.random.default_rng(SEED)
    labels = random.standard_normal(samples, dtype=np.float32) + 3
    values = labels + random.standard_normal(samples, dtype=np.float32) / 2

    def reference() -> object:
        measured = (
            metrics.mean_squared_error,
            metrics.root_mean_squared_error,
            metrics.mean_absolute_error,
            metrics.r2_score,
        )
        return [one(labels, values) for one in measured]

    tensors = {"predictions": values, "labels": labels}
    return Subject(
        f"regression [{samples:,}]", "regression", "values", ("mse", "rmse", "mae", "r2"), tensors, reference
    )
