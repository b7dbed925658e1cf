"""The regression: what the service says is what scikit-learn says, and the outliers do what the example tells of them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, mean_squared_error

DELTA = 50.0


@pytest.fixture(scope="module")
def diabetes(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("diabetes")


@pytest.fixture(scope="module")
def found(diabetes: ModuleType, http: httpx.Client) -> Any:
    return diabetes.investigate(http)


def huber(predictions: np.ndarray, labels: np.ndarray) -> float:
    residual = np.abs(predictions - labels)
    return float(np.where(residual < DELTA, residual**2 / 2, DELTA * (residual - DELTA / 2)).mean())


REFERENCES = {"mse": mean_squared_error, "mae": mean_absolute_error, "huber": huber}


@pytest.mark.parametrize("name", REFERENCES)
def test_values_are_those_of_scikit_learn(found: Any, name: str) -> None:
    reference = REFERENCES[name]
    assert found.model[name] == pytest.approx(reference(found.predictions, found.labels), rel=1e-14)
    assert found.mean_only[name] == pytest.approx(reference(found.baseline, found.labels), rel=1e-14)
    assert found.model_spoiled[name] == pytest.approx(reference(found.predictions, found.spoiled), rel=1e-14)


def test_the_model_beats_the_average_by_every_loss(found: Any) -> None:
    assert all(found.model[name] < found.mean_only[name] for name in REFERENCES)


def test_every_label_pulls_equally_under_mae(found: Any) -> None:
    spoiled = (found.labels != found.spoiled).mean()
    assert 0 < spoiled < 0.1
    assert found.pull["mae"] == pytest.approx(spoiled)
    assert found.pull["mae"] < found.pull["huber"] < 0.1 < 0.5 < found.pull["mse"]


def test_descent_over_http_reaches_the_least_squares_fit(diabetes: ModuleType, http: httpx.Client) -> None:
    random = np.random.default_rng(1)
    inputs = np.column_stack([random.normal(size=(60, 3)), np.ones(60)])
    labels = inputs @ [3.0, -2.0, 1.0, 5.0] + random.normal(size=60)
    fitted = inputs @ diabetes.fit(http, "mse", inputs, labels)
    np.testing.assert_allclose(fitted, LinearRegression().fit(inputs, labels).predict(inputs), atol=0.05)


def test_robust_losses_withstand_wrong_labels(found: Any) -> None:
    assert found.refitted["mse"] > 1.5 * found.refitted["mae"]
    assert found.refitted["mse"] > 1.5 * found.refitted["huber"]
    assert found.refitted["huber"] < 1.1 * found.model["mae"]


def test_the_findings_are_told(diabetes: ModuleType, found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    diabetes.tell(found)
    told = " ".join(capsys.readouterr().out.split())
    assert "mse grows to 33.0 times; the wrong labels make 59% of its gradient" in told
    assert f"mean absolute error {found.model['mae']:.1f}" in told
