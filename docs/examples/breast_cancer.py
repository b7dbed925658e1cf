"""What to do when one class is rare?

Malignant tumours are made rare among the training data (a cut of scikit-learn's bundled breast-cancer data), and a small
neural network, written here in numpy, learns to find them. Every loss and every gradient comes from the service: binary cross
entropy, plain and with a weight on the rare class, against focal loss. It is all plain HTTP.

    python docs/examples/breast_cancer.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

MALIGNANT = 8
"""How many malignant tumours are left in each training set."""
CUTS, HIDDEN, STEPS, RATE = 3, 16, 60, 0.02


@dataclass(frozen=True)
class Recipe:
    """A loss to train with."""

    title: str
    loss: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a network did on tumours that it has not seen, and what the service said of it."""

    labels: np.ndarray
    logits: np.ndarray
    curve: list[float]
    held_out: float
    benign_pull: float

    @property
    def found(self) -> float:
        """Share of the malignant tumours that were found."""
        return float((self.logits[self.labels == 1] > 0).mean())

    @property
    def false_alarms(self) -> float:
        """Share of the benign ones that were taken for malignant."""
        return float((self.logits[self.labels == 0] > 0).mean())


class Network:
    """One hidden layer, trained with Adam; it needs to be told the gradient of the loss, and works out the rest."""

    def __init__(self, inputs: int, random: np.random.Generator) -> None:
        self.weights = [
            random.normal(0, 0.2, (inputs, HIDDEN)),
            np.zeros(HIDDEN),
            random.normal(0, 0.2, HIDDEN),
            np.zeros(1),
        ]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self.steps = 0

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """The scores; positive means malignant."""
        self.inputs = inputs
        self.hidden = np.tanh(inputs @ self.weights[0] + self.weights[1])
        return self.hidden @ self.weights[2] + self.weights[3]

    def learn(self, gradient: np.ndarray) -> None:
        """One step against the gradient of the loss with respect to the logits."""
        into_hidden = np.outer(gradient, self.weights[2]) * (1 - self.hidden**2)
        gradients = (
            self.inputs.T @ into_hidden,
            into_hidden.sum(0),
            self.hidden.T @ gradient,
            gradient.sum(keepdims=True),
        )
        self.steps += 1
        for i, g in enumerate(gradients):
            first, second = (0.9 * self.moments[i][0] + 0.1 * g, 0.999 * self.moments[i][1] + 0.001 * g**2)
            self.moments[i] = first, second
            scale = np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8
            self.weights[i] = self.weights[i] - RATE * first / (1 - 0.9**self.steps) / scale


def loss(client: httpx.Client, name: str, predictions: np.ndarray, labels: np.ndarray, **fields: Any) -> dict[str, Any]:
    """The answer of the service about one loss."""
    body = {"predictions": predictions.tolist(), "labels": labels.tolist(), "precision": "float64", **fields}
    response = client.post(f"/v1/losses/{name}", json=body)
    response.raise_for_status()
    return response.json()


def cut(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training data in which malignant tumours (label 1) are rare, and test data in which they are not."""
    inputs, benign = load_breast_cancer(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        inputs, 1 - benign, random_state=seed, stratify=benign, test_size=0.5
    )
    rare = np.random.default_rng(seed).choice(np.flatnonzero(train_labels == 1), MALIGNANT, replace=False)
    kept = np.concatenate([np.flatnonzero(train_labels == 0), rare])
    scaler = StandardScaler().fit(train[kept])
    return scaler.transform(train[kept]), train_labels[kept], scaler.transform(test), test_labels


def recipes(labels: np.ndarray) -> list[Recipe]:
    """The losses that are compared."""
    balance = float((labels == 0).sum() / (labels == 1).sum())
    return [
        Recipe("binary cross entropy", "binary_cross_entropy_with_logits"),
        Recipe("  with pos_weight", "binary_cross_entropy_with_logits", {"pos_weight": balance}),
        Recipe("focal, alpha = 0.25", "binary_focal", {"gamma": 2.0, "alpha": 0.25}),
        Recipe("focal, alpha = 0.95", "binary_focal", {"gamma": 2.0, "alpha": 0.95}),
    ]


def train(client: httpx.Client, recipe: Recipe, seed: int) -> Outcome:
    """Trains a network on one cut, with one loss."""
    inputs, labels, test_inputs, test_labels = cut(seed)
    network = Network(inputs.shape[1], np.random.default_rng(seed))
    curve: list[float] = []
    for _ in range(STEPS):
        logits = network.logits(inputs)
        answer = loss(client, recipe.loss, logits, labels, gradients=["predictions"], **recipe.parameters)
        curve.append(answer["value"])
        network.learn(np.array(answer["gradients"]["predictions"]["data"]))
        if len(curve) == 1:
            pull = np.abs(answer["gradients"]["predictions"]["data"])
            benign_pull = float(pull[labels == 0].sum() / pull.sum())
    logits = network.logits(test_inputs)
    held_out = loss(client, "binary_cross_entropy_with_logits", logits, test_labels)["value"]
    return Outcome(test_labels, logits, curve, held_out, benign_pull)


def investigate(client: httpx.Client) -> dict[str, list[Outcome]]:
    """The outcomes on every cut, by the title of the loss."""
    known = recipes(cut(0)[1])
    return {recipe.title: [train(client, recipe, seed) for seed in range(CUTS)] for recipe in known}


def tell(outcomes: dict[str, list[Outcome]]) -> None:
    """What was found, in words."""
    labels = cut(0)[1]
    say(
        f"A small network learns from {len(labels)} tumours, of which only {MALIGNANT} are malignant. Answering 'benign' every "
        f"time would be right for {(labels == 0).mean():.0%} of them, and useless. On tumours it has not seen (averages over "
        f"{CUTS} cuts):"
    )
    print("                        malignant   false    cross     pull of the benign")
    print("  trained with            found     alarms   entropy   when training begins")
    averages = {}
    for title, found in outcomes.items():
        averages[title] = row = [
            float(np.mean([getattr(outcome, name) for outcome in found]))
            for name in ("found", "false_alarms", "held_out", "benign_pull")
        ]
        print(f"  {title:22s} {row[0]:7.0%} {row[1]:9.1%} {row[2]:9.3f} {row[3]:12.0%}")
    plain, weighted, small, large = (row[0] for row in averages.values())
    say(
        f"\nPlain binary cross entropy finds {plain:.0%} of the malignant tumours. With pos_weight = benign / malignant both "
        f"classes pull about equally from the start, and it finds {weighted:.0%}. Focal loss turns down what the network is "
        f"sure of already; which class weighs more is up to alpha. The 0.25 of the paper, made for object detection, holds the "
        f"rare class back ({small:.0%}); 0.95 favours it ({large:.0%}). Neither loss is a cure by itself: gamma decides about "
        f"easy and hard, alpha and pos_weight about rare and common, and each is a choice between tumours missed and false "
        f"alarms."
    )


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
