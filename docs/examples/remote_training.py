"""A network is trained without computing a single loss: each value and each gradient is fetched over HTTP.

The network runs here, the loss runs in the service: logits go out, the loss of each sample and its gradient come back, and
backpropagation goes on from there. Beside it the same network is trained in process, with the losses of torch. The two loss
curves, and the weights in the end, are the same numbers, bit for bit.

    python docs/examples/remote_training.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import Tensor, nn

STEPS, BATCH, RATE = 40, 64, 0.01

Backward = Callable[[Tensor, Tensor], float]
"""Takes predictions and labels, propagates the gradient of the mean loss back, gives its value."""


@dataclass(frozen=True)
class Lesson:
    """What is learned: data, a loss of the service, and the same loss in torch."""

    title: str
    data: Callable[[], tuple[Tensor, Tensor]]
    outputs: int
    loss: str
    torch_loss: Callable[..., Tensor]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class Curves:
    """The same training twice."""

    remote: list[float]
    local: list[float]
    remote_weights: list[Tensor]
    local_weights: list[Tensor]


def remote_loss(client: httpx.Client, lesson: Lesson) -> Backward:
    """The loss of the service."""

    def backward(predictions: Tensor, labels: Tensor) -> float:
        share = 1 / len(predictions)  # of each sample in the mean
        body = {
            "predictions": predictions.detach().tolist(),
            "labels": labels.tolist(),
            "reduction": "none",
            "gradients": ["predictions"],
            "upstream": torch.full(labels.shape, share).tolist(),
            **lesson.parameters,
        }
        response = client.post(f"/v1/losses/{lesson.loss}", json=body)
        response.raise_for_status()
        answer = response.json()
        gradient = answer["gradients"]["predictions"]
        predictions.backward(torch.tensor(gradient["data"]).view(gradient["shape"]))
        return torch.tensor(answer["values"]["data"]).mean().item()

    return backward


def local_loss(lesson: Lesson) -> Backward:
    """The loss of torch."""

    def backward(predictions: Tensor, labels: Tensor) -> float:
        losses = lesson.torch_loss(predictions, labels, reduction="none", **lesson.parameters)
        losses.mean().backward()
        return losses.detach().view(-1).mean().item()

    return backward


def train(lesson: Lesson, backward: Backward) -> tuple[list[float], list[Tensor]]:
    """The loss after each step, and the weights at the end."""
    torch.manual_seed(0)
    inputs, labels = lesson.data()
    network = nn.Sequential(nn.Linear(inputs.shape[1], 32), nn.ReLU(), nn.Linear(32, lesson.outputs))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    curve = []
    for _ in range(STEPS):
        batch = torch.randint(len(inputs), (BATCH,))
        optimizer.zero_grad()
        predictions = network(inputs[batch])
        if lesson.outputs == 1:
            predictions = predictions.squeeze(1)
        curve.append(backward(predictions, labels[batch]))
        optimizer.step()
    return curve, [parameter.detach() for parameter in network.parameters()]


def digits() -> tuple[Tensor, Tensor]:
    """Images of handwritten digits, and which digit each is."""
    inputs, labels = load_digits(return_X_y=True)
    return torch.tensor(inputs / 16, dtype=torch.float32), torch.tensor(labels)


def diabetes() -> tuple[Tensor, Tensor]:
    """Patients, and how their diabetes progressed, in hundreds of points."""
    inputs, labels = load_diabetes(return_X_y=True, scaled=True)
    return torch.tensor(inputs * 20, dtype=torch.float32), torch.tensor(labels / 100, dtype=torch.float32)


def tumours() -> tuple[Tensor, Tensor]:
    """Tumours, and whether each is malignant."""
    inputs, benign = load_breast_cancer(return_X_y=True)
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    return torch.tensor(scaled, dtype=torch.float32), torch.tensor(1 - benign, dtype=torch.float32)


LESSONS = (
    Lesson("digits", digits, 10, "cross_entropy", F.cross_entropy, {"label_smoothing": 0.1}),
    Lesson("digits", digits, 10, "multi_margin", F.multi_margin_loss),
    Lesson("diabetes", diabetes, 1, "mse", F.mse_loss),
    Lesson("diabetes", diabetes, 1, "huber", F.huber_loss, {"delta": 0.5}),
    Lesson("tumours", tumours, 1, "binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits),
)


def investigate(client: httpx.Client) -> dict[str, Curves]:
    """Both curves of every lesson, by the name of the loss.

    Raises:
        AssertionError: if they are not the same numbers.
    """
    found = {}
    for lesson in LESSONS:
        remote, remote_weights = train(lesson, remote_loss(client, lesson))
        local, local_weights = train(lesson, local_loss(lesson))
        assert remote == local, f"{lesson.loss}: the curves differ"
        assert all(map(torch.equal, remote_weights, local_weights)), f"{lesson.loss}: the weights differ"
        found[lesson.loss] = Curves(remote, local, remote_weights, local_weights)
    return found


def tell(found: dict[str, Curves]) -> None:
    """What was found, in words."""
    say(
        f"A small network learned {STEPS} steps of {BATCH} samples, every loss and gradient fetched over HTTP; then again, in "
        f"process."
    )
    shown = (0, STEPS // 4, STEPS // 2, STEPS - 1)
    for lesson in LESSONS:
        curves = found[lesson.loss]
        print(f"\n{lesson.title}, {lesson.loss}")
        print("  step      " + "".join(f"{step + 1:>22}" for step in shown))
        print("  over HTTP " + "".join(f"{curves.remote[step]:>22.17g}" for step in shown))
        print("  in process" + "".join(f"{curves.local[step]:>22.17g}" for step in shown))
    say(
        f"\nAll {STEPS} losses of each curve, and all weights in the end, are equal bit for bit: it makes no difference to the "
        f"training where the loss is computed. The network itself never left this process; its outputs did."
    )


def say(text: str) -> None:
    """Prints a paragraph."""
    print(textwrap.fill(text, 100, replace_whitespace=False))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where lossmeter is served")
    torch.set_num_threads(1)  # the network is too small to be worth more
    with httpx.Client(base_url=parser.parse_args().url) as client:
        tell(investigate(client))


if __name__ == "__main__":
    main()
