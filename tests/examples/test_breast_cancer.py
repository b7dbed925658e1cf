"""The rare class: every loss is the one it says it is, and shifts the balance the way it should."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, recall_score


@pytest.fixture(scope="module")
def breast_cancer(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("breast_cancer")


@pytest.fixture(scope="module")
def outcomes(breast_cancer: ModuleType, http: httpx.Client) -> Any:
    return breast_cancer.investigate(http)


def test_the_cut_is_imbalanced_and_the_test_data_are_not(breast_cancer: ModuleType) -> None:
    _, train_labels, _, test_labels = breast_cancer.cut(0)
    assert train_labels.sum() == breast_cancer.MALIGNANT
    assert train_labels.mean() < 0.05
    assert test_labels.mean() > 0.3


def test_the_loss_on_held_out_data_is_that_of_scikit_learn(outcomes: Any) -> None:
    for outcome in (outcome for found in outcomes.values() for outcome in found):
        assert outcome.held_out == pytest.approx(log_loss(outcome.labels, expit(outcome.logits)), rel=1e-6)
        assert outcome.found == recall_score(outcome.labels, outcome.logits > 0)
        assert outcome.false_alarms == pytest.approx(1 - recall_score(outcome.labels, outcome.logits > 0, pos_label=0))


def test_training_lowers_every_loss(outcomes: Any) -> None:
    for outcome in (outcome for found in outcomes.values() for outcome in found):
        assert outcome.curve[-1] < outcome.curve[0] / 5


def test_weights_shift_the_pull_towards_the_rare_class(outcomes: Any) -> None:
    plain, weighted, small, large = (np.mean([outcome.benign_pull for outcome in found]) for found in outcomes.values())
    assert small > plain > 0.9
    assert weighted == pytest.approx(0.5, abs=0.1)
    assert large < 0.7


def test_favouring_the_rare_class_finds_more_of_it(outcomes: Any) -> None:
    plain, weighted, small, large = (np.mean([outcome.found for outcome in found]) for found in outcomes.values())
    assert weighted > plain
    assert large > small
    assert all(np.mean([o.false_alarms for o in found]) < 0.05 for found in outcomes.values())


def test_the_gradients_of_the_network_are_right(breast_cancer: ModuleType) -> None:
    random = np.random.default_rng(0)
    inputs, direction = random.normal(size=(5, 3)), random.normal(size=5)
    network = breast_cancer.Network(3, random)
    before = [w.copy() for w in network.weights]
    value = direction @ network.logits(inputs)
    network.learn(direction)
    for position, (first, _) in enumerate(network.moments):
        network.weights = [w.copy() for w in before]
        network.weights[position].flat[0] += 1e-6
        assert (direction @ network.logits(inputs) - value) / 1e-6 == pytest.approx(first.flat[0] / 0.1, rel=1e-4)


def test_the_findings_are_told(breast_cancer: ModuleType, outcomes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    breast_cancer.tell(outcomes)
    told = " ".join(capsys.readouterr().out.split())
    assert "of which only 8 are malignant" in told
    assert "Plain binary cross entropy finds 84% of the malignant tumours." in told
