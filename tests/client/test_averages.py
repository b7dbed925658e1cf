"""Means over batches are means over everything."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lossmeter.client import Client, MeanLoss

SIZES = (1, 7, 32, 3)


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(3)
    found = []
    for size in SIZES:
        labels = torch.randint(4, (size,), generator=random)
        labels[1::2] = -100
        found.append((torch.randn(size, 4, generator=random), labels))
    return found


WEIGHT = torch.tensor([1.0, 2.0, 0.5, 3.0])


def whole() -> float:
    logits, labels = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    return F.cross_entropy(logits.double(), labels, weight=WEIGHT.double()).item()


def test_unequal_batches_add_up_to_the_whole(client: Client) -> None:
    mean = MeanLoss(client, "cross_entropy", weight=WEIGHT)
    results = [mean.update(logits, labels) for logits, labels in batches()]
    assert mean.compute() == pytest.approx(whole(), rel=1e-6)
    assert mean.count == sum(int((labels != -100).sum()) for _, labels in batches())
    of_means = sum(result.value or 0.0 for result in results) / len(results)
    assert of_means != pytest.approx(whole(), rel=1e-2)


def test_results_and_other_means_can_be_added(client: Client) -> None:
    first, second = MeanLoss(client, "cross_entropy", weight=WEIGHT), MeanLoss()
    for number, (logits, labels) in enumerate(batches()):
        if number % 2:
            first.update(predictions=logits, labels=labels)
        else:
            second.add(client.loss("cross_entropy", predictions=logits, labels=labels, weight=WEIGHT, reduction="sum"))
    assert first.add(second).compute() == pytest.approx(whole(), rel=1e-6)
    first.reset()
    assert math.isnan(first.compute())


def test_a_loss_that_does_not_add_up_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="ctc: cannot be added up over batches; mean averages"):
        MeanLoss(client, "ctc").update(torch.zeros(2, 3))


def test_tensors_in_order_are_those_of_the_catalogue(client: Client) -> None:
    mean = MeanLoss(client, "margin_ranking", margin=1.0)
    mean.update(torch.tensor([2.0]), torch.tensor([1.5]), torch.tensor([1.0]))
    assert mean.compute() == 0.5
    with pytest.raises(TypeError, match="takes 3 tensors in order, input1, input2, labels; 4 were given"):
        mean.update(*[torch.zeros(1)] * 4)
    with pytest.raises(TypeError, match="no client"):
        MeanLoss().update(torch.zeros(1))
