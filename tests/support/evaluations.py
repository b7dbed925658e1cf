"""Real data with predictions, as the fields of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from lossmeter.evaluation import Plan, SlicedFields
from lossmeter.tensors import Datatype, Tensor
from lossmeter.validation import validate

TENSORS = ("predictions", "labels", "sample_weight", "mask")
DATATYPES = {"f": Datatype.FP64, "i": Datatype.INT64, "b": Datatype.BOOL}


def tensor(array: Any) -> Tensor:
    """An array as it would have come over the wire."""
    array = np.asarray(array)
    datatype = DATATYPES[array.dtype.kind]
    return Tensor(datatype, array.shape, np.ascontiguousarray(array).reshape(-1).astype(datatype.dtype))


def plan(**fields: Any) -> Plan:
    return Plan.of(validate(SlicedFields, "plan", {"replicates": 20, **fields}))


def fields(data: Mapping[str, Any], chosen: Any = slice(None)) -> dict[str, Any]:
    """The fields of a batch: the chosen samples of the data."""
    found: dict[str, Any] = {name: tensor(data[name][chosen]) for name in TENSORS if name in data}
    found |= {name: data[name][chosen].tolist() for name in ("sample_ids", "groups") if name in data}
    if "slices" in data:
        found["slices"] = {column: np.asarray(values)[chosen].tolist() for column, values in data["slices"].items()}
    return found


def decorated(predictions: np.ndarray, labels: np.ndarray, seed: int = 5) -> dict[str, Any]:
    """Predictions and labels with weights, a mask, ids and two columns of slices."""
    rng = np.random.default_rng(seed)
    n = len(labels)
    return {
        "predictions": predictions,
        "labels": labels,
        "sample_weight": rng.integers(0, 4, n) * rng.uniform(0.5, 2, n),
        "mask": rng.random(n) > 0.2,
        "sample_ids": np.array([f"id-{i}" for i in range(n)]),
        "slices": {"country": rng.choice(["de", "fr", "it"], n), "fold": np.arange(n) % 2},
    }


@cache
def digits() -> dict[str, Any]:
    """Ten classes: logits of a linear model of handwritten digits."""
    x, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=200, C=0.01).fit(x[:600] / 16, y[:600])
    return decorated(model.decision_function(x[600:] / 16), y[600:].astype(np.int64))


@cache
def tumours() -> dict[str, Any]:
    """Two classes: logits of a linear model of tumours."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    model = LogisticRegression(C=0.1).fit(x[:200], y[:200])
    return decorated(model.decision_function(x[200:]), y[200:].astype(np.int64))


@cache
def diabetes() -> dict[str, Any]:
    """Numbers: the progression of diabetes, as a linear model predicts it."""
    x, y = load_diabetes(return_X_y=True)
    return decorated(Ridge().fit(x[:200], y[:200]).predict(x[200:]), y[200:])


DATA = {"multiclass": (digits, "logits"), "binary": (tumours, "logits"), "regression": (diabetes, "values")}


def figure(report: Mapping[str, Any], name: str) -> Any:
    """The loss or metric of that name in a report."""
    (found,) = [one for one in (*report["losses"], *report["metrics"]) if name in (one.get("loss"), one.get("metric"))]
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), -1).numpy()
