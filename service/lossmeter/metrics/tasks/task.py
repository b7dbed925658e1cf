"""Declares tasks, and the kinds of predictions that a task may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lossmeter.errors import Invalid, pointer
from lossmeter.metrics.batches import Batch
from lossmeter.metrics.tasks.raw import RawBatch


@dataclass(frozen=True)
class Kind:
    """A kind of predictions.

    Attributes:
        name: as `predictions_are` has it.
        gives: what metrics can make of them.
        meanings: those that a loss which takes them may declare for its predictions.
        exponential: the kind that metrics take once the exponential is applied; empty where metrics take this one itself.
    """

    name: str
    gives: frozenset[str]
    meanings: tuple[str, ...]
    exponential: str = ""


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("logits", frozenset({"classes", "scores", "probabilities"}), ("logits", "scores")),
        Kind(
            "probabilities", frozenset({"classes", "scores", "probabilities"}), ("probabilities", "log-probabilities")
        ),
        Kind("log_probabilities", frozenset(), ("log-probabilities",), exponential="probabilities"),
        Kind("scores", frozenset({"scores"}), ("scores",)),
        Kind("classes", frozenset({"classes"}), ()),
        Kind("values", frozenset(), ("values",)),
    )
}


@dataclass(frozen=True)
class LossUse:
    """Says how the losses of a task take its predictions and labels.

    Attributes:
        labels: the meanings that a loss may declare for its labels; none, and no loss suits the task.
        usual: by kind of predictions, the losses that are computed if none are asked for.
        elementwise: only losses that have one value for each prediction.
        indices: labels are indices of classes, and not real numbers.
    """

    labels: tuple[str, ...] = ()
    usual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elementwise: bool = False
    indices: bool = True


def no_classes(predictions: Any, predictions_are: str, declared: int | None) -> int | None:
    """Counts no classes, as the task has none."""
    return None


@dataclass(frozen=True, eq=False)
class Task:
    """A kind of question that predictions answer.

    Attributes:
        name: as a request has it.
        kinds: what its predictions may be; the first is that of examples.
        read: checks a batch as it was sent, and cuts it down to what counts.
        losses: how losses take it.
        classes: counts classes or labels, given the predictions, what they are, and the number that the plan declares.
        named: its labels are classes, which may have names.
    """

    name: str
    kinds: tuple[str, ...]
    read: Callable[[RawBatch], Batch]
    losses: LossUse = field(default_factory=LossUse)
    classes: Callable[[Any, str, int | None], int | None] = no_classes
    named: bool = False

    @property
    def measured(self) -> tuple[str, ...]:
        """The kinds of predictions that metrics take as they are."""
        return tuple(kind for kind in self.kinds if not KINDS[kind].exponential)

    def measured_as(self, predictions_are: str) -> str:
        """The kind that metrics take such predictions for.

        Raises:
            Invalid: the task has no such predictions.
        """
        if predictions_are not in self.kinds:
            message = f"predictions_are is {predictions_are!r}; expected one of {', '.join(self.kinds)}"
            raise Invalid.at(self.name, pointer("predictions_are"), message)
        return KINDS[predictions_are].exponential or predictions_are
