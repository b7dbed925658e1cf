"""Remote metrics are those of scikit-learn over everything that was shown, and start anew after a reset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from lossmeter.client import Client, RemoteMetrics

RANDOM = np.random.default_rng(7)
LABELS = RANDOM.integers(3, size=100)
LOGITS = RANDOM.normal(size=(100, 3)) + 2 * np.eye(3)[LABELS]
SIZES = (40, 1, 59)
MACRO = {"metric": "f1", "average": "macro"}


def parts() -> list[slice]:
    ends = np.cumsum(SIZES)
    return [slice(end - size, end) for size, end in zip(SIZES, ends, strict=True)]


def test_unequal_batches_give_the_figures_of_the_whole(client: Client) -> None:
    metrics = RemoteMetrics(client, ["accuracy", MACRO], task="multiclass", predictions_are="logits", name="validation")
    for part in parts():
        metrics.update(torch.tensor(LOGITS[part]), torch.tensor(LABELS[part]), sample_ids=np.arange(100)[part])
    found = LOGITS.argmax(1)
    assert metrics.compute() == {
        "accuracy": pytest.approx(accuracy_score(LABELS, found)),
        "f1": pytest.approx(f1_score(LABELS, found, average="macro")),
    }
    assert metrics.run is not None
    assert metrics.run.report()["run"]["name"] == "validation"


def test_a_reset_starts_anew_and_leaves_the_old_run_closed(client: Client) -> None:
    metrics = RemoteMetrics(client, ["auroc"], task="binary", predictions_are="probabilities", curves={"bins": 0})
    first, second = np.array([0.1, 0.9, 0.4, 0.6]), np.array([0.8, 0.3, 0.7, 0.2])
    labels = np.array([0, 1, 1, 0])
    for scores in (first, second):
        metrics.update(scores, labels)
        assert metrics.compute() == {"auroc": pytest.approx(roc_auc_score(labels, scores))}
        run = metrics.run
        metrics.reset()
        assert run is not None
        assert run.report()["run"]["closed"]
        assert metrics.run is None


def test_metrics_of_one_name_are_told_apart_by_their_parameters(client: Client) -> None:
    choices = [MACRO, {"metric": "f1", "average": "none"}]
    metrics = RemoteMetrics(client, choices, task="multiclass", predictions_are="logits")
    metrics.update(LOGITS, LABELS)
    found = metrics.compute()
    (macro,) = [value for name, value in found.items() if "average=macro" in name]
    (each,) = [value for name, value in found.items() if "average=none" in name]
    assert np.mean(each) == pytest.approx(macro)


def test_there_is_nothing_to_compute_before_the_first_batch(client: Client) -> None:
    metrics = RemoteMetrics(client, ["accuracy"], task="multiclass", predictions_are="logits")
    metrics.reset()
    with pytest.raises(RuntimeError, match="update was not called"):
        metrics.compute()
