"""Runs and batches to try them with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lossmeter.database import Database
from lossmeter.engine import Engine
from lossmeter.evaluation import Plan, SlicedFields
from lossmeter.runs import Ledger, SqlStore, StoredRun, digest
from lossmeter.tensors import Datatype, Tensor

ENGINE = Engine("cpu")
PLAN = {
    "task": "multiclass",
    "predictions_are": "logits",
    "losses": [{"loss": "cross_entropy"}],
    "metrics": [{"metric": "accuracy"}, {"metric": "f1", "average": "macro"}, {"metric": "auroc"}],
    "curves": {"bins": 50},
    "slices": ["site"],
    "replicates": 20,
    "hardest": 3,
}
SMALL = {"task": "regression", "predictions_are": "values", "metrics": [{"metric": "mse"}], "replicates": 0}
FIGURES = ("samples", "losses", "objective", "metrics", "slices", "hardest", "gates", "passed")


@contextmanager
def ledger(url: str, retention_days: int = 0) -> Iterator[Ledger]:
    """A ledger on a database, whose tables are made if need be."""
    database = Database(url)
    database.upgrade()
    try:
        yield Ledger(SqlStore(database), ENGINE, retention_days)
    finally:
        database.close()


def opened(of: Ledger, plan: Mapping[str, Any] = PLAN, *tags: str) -> StoredRun:
    return of.open("", tags, Plan.of(SlicedFields.model_validate(dict(plan))))


def data(count: int, classes: int = 4, seed: int = 0) -> dict[str, Any]:
    """Samples with ids, of which some are weighted or masked, as nested lists."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += rng.normal(1, 1, count)
    return {
        "predictions": logits.tolist(),
        "labels": labels.tolist(),
        "sample_weight": rng.uniform(0.1, 2, count).tolist(),
        "mask": (rng.random(count) > 0.1).tolist(),
        "sample_ids": [f"sample {number}" for number in range(count)],
        "slices": {"site": [f"site {number % 3}" for number in range(count)]},
    }


def part(whole: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """Some of the samples."""
    return {
        name: {column: [values[row] for row in rows] for column, values in value.items()}
        if isinstance(value, dict)
        else [value[row] for row in rows]
        for name, value in whole.items()
    }


def tensors(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are after decoding."""
    kinds = {
        "predictions": Datatype.FP64,
        "labels": Datatype.INT64,
        "sample_weight": Datatype.FP64,
        "mask": Datatype.BOOL,
    }
    found = dict(fields)
    for name, kind in kinds.items():
        if name in found:
            array = np.asarray(found[name], kind.dtype)
            found[name] = Tensor(kind, array.shape, array.reshape(-1))
    return found


def numbers(*values: float) -> dict[str, Any]:
    """A batch of a regression, all labels 0."""
    return {"predictions": list(values), "labels": [0.0] * len(values)}


def put(of: Ledger, run_id: str, batch_id: str, fields: Mapping[str, Any]) -> bool:
    """Adds a batch as the route does; whether it was new."""
    given = tensors(fields)
    if "labels" in fields and isinstance(fields["labels"][0], float):
        array = np.asarray(fields["labels"])
        given["labels"] = Tensor(Datatype.FP64, array.shape, array)
    content = digest(given)
    run = of.check_batch(run_id, batch_id, content)
    return run is not None and of.add(run_id, of.measure_batch(run, batch_id, given, content))


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of the data."""
    return {name: report[name] for name in FIGURES}


def alike(one: Any, other: Any, tolerance: float = 1e-12) -> bool:
    """Whether two reports agree: numbers relatively, everything else exactly."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name], tolerance) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(alike(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, float):
        return bool(np.isclose(one, other, rtol=tolerance, atol=1e-13, equal_nan=True))
    return bool(one == other)
