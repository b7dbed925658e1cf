"""Records of parts add up in one tree, whatever order they come in, and a dataset in many files is one table."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet

from lossmeter.cli.measurement import LocalRunner, opened
from lossmeter.errors import Invalid, NotFound
from lossmeter.evaluation import evaluate, measure
from lossmeter.evaluation.runners import MergeTree
from lossmeter.wire import datasets
from lossmeter.wire.tables import Columns
from tests.support.evaluations import figure, plan, tensor

ROWS = 700
COLUMNS = Columns(("p",), ("y",))
PLAN = plan(task="binary", predictions_are="probabilities", metrics=["recall", "auroc"], losses=[], hardest=0)


def columns(seed: int, rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"p": rng.random(rows), "y": rng.integers(0, 2, rows)}


def table(folder: Path) -> dict[str, Any]:
    """Three files in two formats and two folders, and what is none of them; returns the table that they are."""
    parts = [columns(seed) for seed in range(3)]
    (folder / "more").mkdir()
    parquet.write_table(pyarrow.table(parts[0]), folder / "a.parquet", row_group_size=100)
    csv.write_csv(pyarrow.table(parts[1]), folder / "b.csv")
    parquet.write_table(pyarrow.table(parts[2]), folder / "more" / "c.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / "notes.txt").write_text("")
    names = [f"{name}/{row}" for name in ("a.parquet", "b.csv", "more/c.parquet") for row in range(ROWS)]
    whole = {name: tensor(np.concatenate([part[name] for part in parts])) for name in ("p", "y")}
    return {"predictions": whole["p"], "labels": whole["y"], "sample_ids": names}


@pytest.mark.parametrize("parts", [1, 2, 3, 6, 13])
def test_the_order_in_which_parts_come_changes_no_bit(parts: int) -> None:
    records = [
        measure(PLAN, {"predictions": tensor(one["p"]), "labels": tensor(one["y"])}, batch_id=str(seed))
        for seed in range(parts)
        for one in [columns(seed, 20)]
    ]

    def added(order: list[int]) -> Any:
        tree = MergeTree(parts)
        for number in order:
            tree.add((0, number), records[number])
        assert tree.record is not None
        return tree.record.to_json()

    expected = added(list(range(parts)))
    assert expected["whole"]["samples"] == 20 * parts
    for seed in range(4):
        order = random.Random(seed).sample(range(parts), parts)
        assert added(order) == expected
        # Some may have been merged elsewhere.
        near, rest = MergeTree(parts), MergeTree(parts)
        for number in order[: parts // 2]:
            near.add((0, number), records[number])
        for number in order[parts // 2 :]:
            rest.add((0, number), records[number])
        for node, record in near.nodes.items():
            rest.add(node, record)
        assert rest.record is not None
        assert rest.record.to_json() == expected


def test_parts_without_rows_add_nothing() -> None:
    tree = MergeTree(3)
    for number in range(3):
        tree.add((0, number), None)
    assert tree.record is None


def test_a_folder_is_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PART_ROWS", 250)
    expected = evaluate(PLAN, table(tmp_path))
    with opened(str(tmp_path), None) as dataset:
        assert [part.name for part in dataset.parts] == [*["a.parquet"] * 3, "b.csv", *["more/c.parquet"]]
        found = LocalRunner().measure(dataset, COLUMNS, PLAN)
    assert found["samples"] == 3 * ROWS
    for name in ("recall", "auroc"):
        one, other = figure(found, name), figure(expected, name)
        assert one["value"] == pytest.approx(other["value"], rel=1e-12)
        assert one["interval"]["low"] == pytest.approx(other["interval"]["low"], rel=1e-9)  # the same ids


def test_patterns_and_object_stores_are_datasets(tmp_path: Path) -> None:
    table(tmp_path)
    with opened(str(tmp_path / "*.parquet"), None) as dataset:
        assert [part.name for part in dataset.parts] == ["a.parquet"]
    with opened(str(tmp_path / "**" / "*.parquet"), None) as dataset:
        here = LocalRunner().measure(dataset, COLUMNS, PLAN)
    store = fsspec.filesystem("memory")
    store.put(f"{tmp_path}/", "memory://bucket/", recursive=True)
    store.rm("/bucket/b.csv")
    try:
        with opened("memory://bucket", None) as dataset:
            assert LocalRunner().measure(dataset, COLUMNS, PLAN) == here
    finally:
        store.rm("/bucket", recursive=True)
    for nowhere in (str(tmp_path / "*.npz"), "memory://nowhere", "unknown://bucket"):
        with pytest.raises(NotFound, match=r"There is no file|cannot be looked into"), opened(nowhere, None):
            pass


def test_errors_name_the_file_and_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PART_ROWS", 250)
    table(tmp_path)
    wrong = columns(0)
    wrong["p"][620] = 1.5
    parquet.write_table(pyarrow.table(wrong), tmp_path / "more" / "c.parquet", row_group_size=100)
    with (
        opened(str(tmp_path), None) as dataset,
        pytest.raises(Invalid, match=r"^more/c\.parquet, row 620: binary: predictions\[20\] is 1\.5"),
    ):
        LocalRunner().measure(dataset, COLUMNS, PLAN)
