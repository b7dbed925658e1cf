"""A plain training loop with a loss that is computed elsewhere: `RemoteLoss` stands where `nn.CrossEntropyLoss` stood.

A network learns handwritten digits with the focal loss of the service, is evaluated over batches of unequal size by the metrics
of the service, and the loop is timed beside the same loop with the cross entropy of torch in process.

    python docs/examples/remote_loss.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lossmeter.client import Client, MeanLoss, RemoteLoss, RemoteMetrics

STEPS, BATCH, TRAINED, UNEQUAL = 150, 64, 1297, 128

Split = tuple[Tensor, Tensor]


@dataclass
class Findings:
    """What came of it.

    Attributes:
        loss: mean cross entropy of the held-out digits, after training.
        of_means: the mean of the batches' means, which is not the same.
        accuracy: share of the held-out digits that are recognised.
        f1: of each digit, averaged.
        remote_milliseconds, local_milliseconds: of one training step.
    """

    loss: float
    of_means: float
    accuracy: float
    f1: float
    remote_milliseconds: float
    local_milliseconds: float


def digits() -> tuple[Split, Split]:
    """Images of handwritten digits and which digit each is: some to learn from, some held out."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    inputs, targets = torch.tensor(pixels / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]
    return (inputs[:TRAINED], targets[:TRAINED]), (inputs[TRAINED:], targets[TRAINED:])


def train(criterion: Callable[[Tensor, Tensor], Tensor], data: Split) -> tuple[nn.Module, float]:
    """A trained network, and the milliseconds of a step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    inputs, labels = data
    begin = time.perf_counter()
    for _ in range(STEPS):
        batch = torch.randint(len(inputs), (BATCH,))
        optimizer.zero_grad()
        criterion(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return network, (time.perf_counter() - begin) / STEPS * 1e3


def investigate(client: Client) -> Findings:
    """Trains and evaluates."""
    learned, held_out = digits()
    network, remote = train(RemoteLoss("focal", client=client, gamma=2.0), learned)
    _, local = train(nn.CrossEntropyLoss(), learned)
    mean = MeanLoss(client, "cross_entropy")
    choices = ["accuracy", {"metric": "f1", "average": "macro"}]
    metrics = RemoteMetrics(client, choices, task="multiclass", predictions_are="logits", name="held-out digits")
    means = []
    with torch.no_grad():
        for inputs, labels in zip(*(part.split(UNEQUAL) for part in held_out), strict=True):
            logits = network(inputs)
            means.append(mean.update(logits, labels).value or 0.0)
            metrics.update(logits, labels)
    figures = metrics.compute()
    metrics.reset()
    return Findings(mean.compute(), sum(means) / len(means), figures["accuracy"], figures["f1"], remote, local)


def tell(found: Findings) -> None:
    """What was found, in words."""
    text = (
        f"After {STEPS} steps of {BATCH} digits with the focal loss of the service, {found.accuracy:.1%} of those held "
        f"out are recognised (F1 {found.f1:.3f}), at a cross entropy of {found.loss:.6f}. The mean of the means of the "
        f"batches, the last of which is short, would have been {found.of_means:.6f}. A step took "
        f"{found.remote_milliseconds:.2f} ms with the loss over the wire, and {found.local_milliseconds:.2f} ms with a loss "
        "of torch in process."
    )
    print(textwrap.fill(text, 100))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--url", default="http://127.0.0.1:8000", help="where lossmeter is served; or http+unix:///a.sock"
    )
    torch.set_num_threads(1)  # the network is too small to be worth more
    with Client(parser.parse_args().url) as client:
        tell(investigate(client))


if __name__ == "__main__":
    main()
