"""Labels of losses for one class of several: which of them count, for how much, and where their classes stand."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lossmeter.errors import Flaw
from lossmeter.losses import _flaws
from lossmeter.losses.catalogue import Arguments, Support


def counted(arguments: Arguments) -> Support:
    """Ignored labels do not count."""
    return Support(arguments["labels"] != arguments["ignore_index"])


def weighted(arguments: Arguments) -> Support:
    """Ignored labels do not count; the others add the weight of their class to the denominator of `mean`."""
    labels = arguments["labels"]
    if labels.is_floating_point():
        return Support()
    kept = labels != arguments["ignore_index"]
    weight = arguments.get("weight")
    if weight is None:
        return Support(kept)
    return Support(kept, weight[labels.where(kept, 0)] * kept)


def class_flaws(arguments: Arguments) -> Iterator[Flaw]:
    """Predictions without any class."""
    yield from _flaws.classes("predictions", arguments["predictions"])


def class_dimension(predictions: Tensor) -> int:
    """Where the classes stand: in the second dimension, or the only one."""
    return min(1, predictions.ndim - 1)


def chosen(scores: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The score of each label's class, that of class 0 where the label is ignored; and which are not."""
    kept = labels != ignore_index
    dim = class_dimension(scores)
    return scores.gather(dim, labels.where(kept, 0).unsqueeze(dim)).squeeze(dim), kept
