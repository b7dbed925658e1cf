"""What a task of the cluster makes of records and errors, without the cluster: as columns, as Ray hands them on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossmeter.cluster.runner import Names, Work
from lossmeter.wire.datasets import Dataset
from lossmeter.wire.sources import Source
from lossmeter.wire.tables import Chunk, Columns
from tests.support.evaluations import plan, tensor

COLUMNS = Columns(("p",), ("y",))


@dataclass(frozen=True)
class Scored:
    """A part of one chunk, of so many classes."""

    classes: int

    @property
    def name(self) -> str:
        return f"{self.classes} classes"

    def read(self, columns: Columns) -> Generator[Chunk, None, None]:
        assert columns == COLUMNS
        scores = np.random.default_rng(self.classes).normal(size=(20, self.classes))
        fields = {"predictions": tensor(scores), "labels": tensor(np.zeros(20, np.int64)), "slices": {}}
        yield Chunk(0, 20, fields, 1.0)


def merged(*parts: Scored) -> dict[str, Any]:
    made = plan(task="multiclass", predictions_are="logits", metrics=["accuracy"], losses=[], hardest=0)
    work = Work(json.dumps(made.to_json()), COLUMNS, "cpu", len(parts))
    rows = [work.measure({"number": number, "part": pickle.dumps(part)}) for number, part in enumerate(parts)]
    return work.merge({name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]})


def test_what_does_not_fit_together_is_an_error_that_is_handed_on() -> None:
    left = merged(Scored(2), Scored(3))
    assert "classes" in str(pickle.loads(left["error"][0]))


def test_no_column_is_without_values() -> None:
    left = merged(Scored(3), Scored(3))
    assert left["rows"].tolist() == [40]
    assert left["error"].tolist() == [b""]
    assert left["record"][0]


@pytest.mark.parametrize(("labels", "expected"), [(("dog", "cat"), ["cat", "dog"]), ((1, 0), None)])
def test_whether_classes_have_names_is_told_without_nulls(
    tmp_path: Path, labels: tuple[object, object], expected: list[str] | None
) -> None:
    file = tmp_path / "d.csv"
    file.write_text("p,y\n{0},{1}\n{1},{0}\n".format(*labels))
    made = plan(task="multiclass", predictions_are="classes", losses=[])
    (part,) = Dataset.of(Source.of_file(file)).parts
    row = Names(json.dumps(made.to_json()), COLUMNS).look({"part": pickle.dumps(part)})
    assert (json.loads(row["names"] or "null"), row["error"]) == (expected, b"")
    assert None not in row.values()
