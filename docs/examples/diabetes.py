"""How wrong is a regression, and what does an outlier do to the answer?

A linear model predicts the progression of diabetes (scikit-learn's bundled data). The service says how wrong it is, as mean
squared error, mean absolute error and Huber loss; then some labels are spoiled, and the three react very differently. It is
all plain HTTP: a POST with predictions and labels, and JSON back.

    python docs/examples/diabetes.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

LOSSES: dict[str, dict[str, Any]] = {"mse": {}, "mae": {}, "huber": {"delta": 50.0}}
STEPS, RATE = 200, 10.0


@dataclass
class Findings:
    """What the service said, by loss, and the data that it was asked about."""

    labels: np.ndarray
    spoiled: np.ndarray
    predictions: np.ndarray
    baseline: np.ndarray
    model: dict[str, float]
    mean_only: dict[str, float]
    model_spoiled: dict[str, float]
    pull: dict[str, float]
    refitted: dict[str, float]


def loss(client: httpx.Client, name: str, predictions: np.ndarray, labels: np.ndarray, **fields: Any) -> dict[str, Any]:
    """The answer of the service about one loss."""
    body = {"predictions": predictions.tolist(), "labels": labels.tolist(), "precision": "float64", **fields}
    response = client.post(f"/v1/losses/{name}", json=body)
    response.raise_for_status()
    return response.json()


def spoil(labels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One label in twenty loses its decimal point, and becomes ten times too large."""
    chosen = random.choice(len(labels), max(1, len(labels) // 20), replace=False)
    spoiled = labels.copy()
    spoiled[chosen] *= 10
    return spoiled, chosen


def fit(client: httpx.Client, name: str, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A linear model, by gradient descent; every gradient comes from the service."""
    weights = np.zeros(inputs.shape[1])
    weights[-1] = np.median(labels)
    first = second = np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        answer = loss(client, name, inputs @ weights, labels, gradients=["predictions"], **LOSSES[name])
        gradient = inputs.T @ answer["gradients"]["predictions"]["data"]
        # Adam, with a step that shrinks: the gradient of the absolute error does not shrink by itself.
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
        weights = weights - RATE * (1 - step / STEPS) * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return weights


def investigate(client: httpx.Client) -> Findings:
    """Asks the service everything that this example tells of."""
    inputs, labels = load_diabetes(return_X_y=True)
    inputs = np.column_stack([inputs / inputs.std(axis=0), np.ones(len(inputs))])
    train_inputs, test_inputs, train_labels, test_labels = train_test_split(inputs, labels, random_state=0)
    random = np.random.default_rng(0)
    spoiled, chosen = spoil(test_labels, random)
    predictions = LinearRegression().fit(train_inputs, train_labels).predict(test_inputs)
    baseline = np.full_like(test_labels, train_labels.mean())

    def values(guesses: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        return {name: loss(client, name, guesses, truth, **more)["value"] for name, more in LOSSES.items()}

    pull = {}
    for name, more in LOSSES.items():
        answer = loss(client, name, predictions, spoiled, gradients=["predictions"], **more)
        strength = np.abs(answer["gradients"]["predictions"]["data"])
        pull[name] = float(strength[chosen].sum() / strength.sum())

    spoiled_train, _ = spoil(train_labels, random)
    refitted = {}
    for name in LOSSES:
        weights = fit(client, name, train_inputs, spoiled_train)
        refitted[name] = loss(client, "mae", test_inputs @ weights, test_labels)["value"]
    return Findings(
        labels=test_labels,
        spoiled=spoiled,
        predictions=predictions,
        baseline=baseline,
        model=values(predictions, test_labels),
        mean_only=values(baseline, test_labels),
        model_spoiled=values(predictions, spoiled),
        pull=pull,
        refitted=refitted,
    )


def tell(found: Findings) -> None:
    """What was found, in words."""
    count, spoiled = len(found.labels), int((found.labels != found.spoiled).sum())
    model, mean_only = found.model, found.mean_only
    say(f"A linear model predicts how diabetes progressed (25 to 346 points) for {count} patients it has not seen.")
    print(f"  mean absolute error {model['mae']:8.1f}   a prediction is off by {model['mae']:.0f} points on average")
    print(
        f"  mean squared error  {model['mse']:8.1f}   its root, {model['mse'] ** 0.5:.0f}, is larger: big errors weigh more"
    )
    print(f"  Huber loss          {model['huber']:8.1f}   squared up to 50 points, a straight line beyond")
    say(
        f"Always answering the average patient would cost {mean_only['mae']:.1f}, {mean_only['mse']:.1f} and "
        f"{mean_only['huber']:.1f}: a loss means little without something to compare it with."
    )
    say(f"\nNow {spoiled} of the {count} labels lose their decimal point and become ten times too large.")
    for name in LOSSES:
        factor = found.model_spoiled[name] / model[name]
        print(
            f"  {name:5s} grows to {factor:4.1f} times; the wrong labels make {found.pull[name]:4.0%} of its gradient"
        )
    say(
        "The model has not changed at all. Squaring lets the wrong labels take over; under the absolute error each patient "
        "pulls with the same force, and under Huber loss with a bounded one."
    )
    say(
        "\nSo which loss to train with, if one training label in twenty is wrong? On clean test labels the model is off by"
    )
    for name, error in found.refitted.items():
        print(f"  {error:5.1f} points after training with {name}")
    say(f"After training on clean labels it was {model['mae']:.1f}: the robust losses hardly notice the wrong ones.")


def say(text: str) -> None:
    """Prints a paragraph."""
    print(textwrap.fill(text, 100, replace_whitespace=False))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where lossmeter is served")
    with httpx.Client(base_url=parser.parse_args().url) as client:
        tell(investigate(client))


if __name__ == "__main__":
    main()
