"""How sure is a classifier, and which images does a loss spend its attention on?

A logistic regression reads handwritten digits (scikit-learn's bundled data). The service judges its scores by cross entropy
and by focal loss, image by image. It is all plain HTTP: a POST with predictions and labels, and JSON back.

    python docs/examples/digits.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
EASY = 0.9
"""Probability of the right class above which an image counts as easy."""


@dataclass
class Findings:
    """What the service said, and the data that it was asked about."""

    labels: np.ndarray
    logits: np.ndarray
    cross_entropy: float
    by_temperature: dict[float, float]
    each_cross_entropy: np.ndarray
    each_focal: np.ndarray
    focal: float
    gradient: np.ndarray


def loss(client: httpx.Client, name: str, predictions: np.ndarray, labels: np.ndarray, **fields: Any) -> dict[str, Any]:
    """The answer of the service about one loss."""
    body = {"predictions": predictions.tolist(), "labels": labels.tolist(), "precision": "float64", **fields}
    response = client.post(f"/v1/losses/{name}", json=body)
    response.raise_for_status()
    return response.json()


def investigate(client: httpx.Client) -> Findings:
    """Asks the service everything that this example tells of."""
    images, digits = load_digits(return_X_y=True)
    train_images, test_images, train_digits, labels = train_test_split(images / 16, digits, random_state=0)
    logits = LogisticRegression(max_iter=1000).fit(train_images, train_digits).decision_function(test_images)
    whole = loss(client, "cross_entropy", logits, labels, gradients=["predictions"])
    gradient = whole["gradients"]["predictions"]
    return Findings(
        labels=labels,
        logits=logits,
        cross_entropy=whole["value"],
        by_temperature={t: loss(client, "cross_entropy", t * logits, labels)["value"] for t in TEMPERATURES},
        each_cross_entropy=np.array(loss(client, "cross_entropy", logits, labels, reduction="none")["values"]["data"]),
        each_focal=np.array(loss(client, "focal", logits, labels, gamma=2.0, reduction="none")["values"]["data"]),
        focal=loss(client, "focal", logits, labels, gamma=2.0)["value"],
        gradient=np.array(gradient["data"]).reshape(gradient["shape"]),
    )


def tell(found: Findings) -> None:
    """What was found, in words."""
    answers = found.logits.argmax(axis=1)
    say(
        f"A logistic regression reads {len(found.labels)} images of handwritten digits that it has not seen; "
        f"{(answers == found.labels).mean():.1%} of its answers are right. Its cross entropy is {found.cross_entropy:.3f}: "
        f"the right digit is given {np.exp(-found.cross_entropy):.0%} on (geometric) average. Knowing nothing, 10% for each "
        f"digit, would cost ln 10 = {np.log(10):.3f}."
    )
    say(
        "\nCross entropy judges not only the answer but how sure the model is of it. Multiply all scores by a number: every "
        "answer stays the same, and so does the accuracy, but"
    )
    best = min(found.by_temperature, key=lambda t: found.by_temperature[t])
    for temperature, value in found.by_temperature.items():
        note = "   the best of these" if temperature == best else ""
        print(f"  scores x {temperature:<5} cross entropy {value:.3f}{note}")
    say("Too timid costs on the many images that are right, too bold on the few that are wrong.")
    easy = found.each_cross_entropy < -np.log(EASY)
    say(f"\n{easy.mean():.0%} of the images are easy: their digit is given more than {EASY:.0%}. Together they make")
    print(f"  {found.each_cross_entropy[easy].sum() / found.each_cross_entropy.sum():6.2%} of the cross entropy, and")
    print(f"  {found.each_focal[easy].sum() / found.each_focal.sum():6.2%} of the focal loss with gamma = 2,")
    say(f"which fades out what is learned already, and is {found.focal:.3f} on average.")
    hardest = int(found.each_cross_entropy.argmax())
    label, answer = found.labels[hardest], answers[hardest]
    gradient = found.gradient[hardest] * len(found.labels)
    say(
        f"\nThe hardest image is a {label} read as a {answer}: its cross entropy is {found.each_cross_entropy[hardest]:.2f}, "
        f"as the {label} was given {np.exp(-found.each_cross_entropy[hardest]):.1%}. Its gradient says what to do: raise the "
        f"score of {label} (where it is {gradient[label]:+.2f}), lower that of {answer} ({gradient[answer]:+.2f})."
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
