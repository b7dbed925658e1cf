"""A batch is checked and converted once, each loss runs once, and batches need not be tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lossmeter.engine import Engine, Work
from lossmeter.evaluation import evaluate
from lossmeter.evaluation.loss_inputs import LossInputs
from lossmeter.metrics.batches import Batch
from lossmeter.metrics.tasks import RawBatch, Task
from tests.support.evaluations import fields, plan

RNG = np.random.default_rng(2)
DATA = {
    "predictions": RNG.normal(size=(40, 3)),
    "labels": RNG.integers(0, 3, 40),
    "sample_weight": RNG.uniform(0.5, 2, 40),
    "mask": RNG.random(40) > 0.2,
}
LOSSES = [{"loss": "cross_entropy"}, {"loss": "focal"}, {"loss": "multi_margin", "weight_in_objective": 0.0}]


def test_each_loss_runs_forward_once_with_and_without_gradients() -> None:
    ran: list[tuple[str, tuple[str, ...]]] = []

    class Counting(Engine):
        def run(self, work: Work) -> Any:
            ran.append((work.call.loss.name, work.call.gradients))
            return super().run(work)

    chosen = plan(task="multiclass", predictions_are="logits", losses=LOSSES)
    engine = Counting("cpu")
    with_gradients = evaluate(chosen, fields(DATA), ["predictions"], engine=engine)
    assert ran == [("cross_entropy", ("predictions",)), ("focal", ("predictions",)), ("multi_margin", ())]
    ran.clear()
    without = evaluate(chosen, fields(DATA), engine=engine)
    assert ran == [(one["loss"], ()) for one in LOSSES]
    assert repr(with_gradients["losses"]) == repr(without["losses"])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_losses_share_each_form_of_their_inputs(precision: Any) -> None:
    inputs = LossInputs(np.array([0.5, 0.25]), np.array([0, 1]), None, None, precision)
    assert inputs.predicted(logarithm=False) is inputs.predicted(logarithm=False)
    assert inputs.labelled(signed=True, floating=True) is inputs.labelled(signed=True, floating=True)
    assert inputs.predicted(logarithm=True).data.tolist() == np.log([0.5, 0.25], dtype=precision).tolist()
    assert inputs.labelled(signed=True, floating=True).data.tolist() == [-1.0, 1.0]
    assert inputs.labelled(signed=False, floating=False).data.dtype == np.int64


@dataclass(frozen=True, eq=False)
class Sentences(Batch):
    """A batch as a task of texts would have it."""

    text: list[str]
    references: list[str]


def read_sentences(raw: RawBatch) -> Batch:
    weight = raw.weights((len(raw.predictions),))
    shared, keep = raw.kept(weight)
    places = np.arange(len(weight))[keep]
    return Sentences(
        **shared,
        text=[raw.predictions[place] for place in places],
        references=[raw.labels[place] for place in places],
    )


def test_a_task_may_have_lists_of_texts_in_place_of_tensors() -> None:
    task = Task("text", ("values",), read_sentences)
    raw = RawBatch.of(
        "text",
        "values",
        ["a b", "c", "d e f"],
        ["a", "c", "d f"],
        mask=np.array([True, False, True]),
        sample_ids=[7, 8, 9],
    )
    batch = task.read(raw)
    assert isinstance(batch, Sentences)
    assert (batch.units, batch.text, batch.references) == (2, ["a b", "d e f"], ["a", "d f"])
    slice_ = batch.where(np.array([False, True, True]))
    assert (slice_.units, slice_.text, slice_.samples.tolist()) == (1, ["d e f"], [2])
    assert task.classes(raw.predictions, "values", None) is None
