"""The classifier: what the service says is what scikit-learn says, image by image."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss


@pytest.fixture(scope="module")
def digits(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("digits")


@pytest.fixture(scope="module")
def found(digits: ModuleType, http: httpx.Client) -> Any:
    return digits.investigate(http)


@pytest.fixture(scope="module")
def probabilities(found: Any) -> np.ndarray:
    return softmax(found.logits, axis=1)


def test_cross_entropy_is_the_log_loss_of_scikit_learn(found: Any, probabilities: np.ndarray) -> None:
    assert found.cross_entropy == pytest.approx(log_loss(found.labels, probabilities), rel=1e-12)
    assert found.by_temperature[1.0] == found.cross_entropy
    for temperature, value in found.by_temperature.items():
        expected = log_loss(found.labels, softmax(temperature * found.logits, axis=1))
        assert value == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_probability_minus_label(found: Any, probabilities: np.ndarray) -> None:
    expected = (probabilities - np.eye(10)[found.labels]) / len(found.labels)
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-12, atol=1e-17)


def test_focal_loss_is_cross_entropy_times_the_squared_doubt(found: Any, probabilities: np.ndarray) -> None:
    right = probabilities[np.arange(len(found.labels)), found.labels]
    np.testing.assert_allclose(found.each_focal, (1 - right) ** 2 * found.each_cross_entropy, rtol=1e-9)
    assert found.focal == pytest.approx(found.each_focal.mean(), rel=1e-14)


def test_focal_loss_leaves_the_easy_images_alone(digits: ModuleType, found: Any) -> None:
    easy = found.each_cross_entropy < -np.log(digits.EASY)
    assert easy.mean() > 0.5
    assert found.each_focal[easy].sum() / found.each_focal.sum() < 0.01
    assert found.each_cross_entropy[easy].sum() / found.each_cross_entropy.sum() > 0.1


def test_confidence_has_an_optimum_in_between(digits: ModuleType, found: Any) -> None:
    values = [found.by_temperature[temperature] for temperature in digits.TEMPERATURES]
    assert values[0] > min(values) < values[-1]


def test_the_findings_are_told(digits: ModuleType, found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    digits.tell(found)
    told = " ".join(capsys.readouterr().out.split())
    assert f"Its cross entropy is {found.cross_entropy:.3f}" in told
    assert "68% of the images are easy" in told
