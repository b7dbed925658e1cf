"""What real traffic might look like: small and large, JSON and binary, batches, runs, mistakes."""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx
import numpy as np

from tests.benchmarks.load import request
from tests.benchmarks.openloop import COUNTER
from tests.benchmarks.payloads import as_json, as_safetensors, classification

JSON = (("Content-Type", "application/json"),)
RUN = {"task": "regression", "predictions_are": "values", "metrics": [{"metric": "mse"}], "replicates": 0}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request, how many of a hundred are of it, and the status that answers it."""

    name: str
    prepared: bytes
    share: float
    status: int


def mixture(url: str) -> list[Kind]:
    """Requests to a service, in which a run is opened for those that add batches."""
    run = httpx.post(url + "/v1/runs", json=RUN).headers["location"]
    small = as_json("cross_entropy", classification(32, 10)).prepared
    large = classification(256, 100)
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 200)
    batch = {
        "task": "multiclass",
        "predictions_are": "logits",
        "predictions": random.normal(size=(200, 5)).round(4).tolist(),
        "labels": labels.tolist(),
        "slices": {"site": [f"site {label % 3}" for label in labels]},
    }
    regression = {"predictions": random.normal(size=20).tolist(), "labels": [0.0] * 20}
    return [
        Kind("small JSON, [32, 10]", small, 60, 200),
        Kind("large JSON, [256, 100]", as_json("cross_entropy", large).prepared, 8, 200),
        Kind("safetensors, [256, 100]", as_safetensors("cross_entropy", large).prepared, 8, 200),
        Kind("evaluate, [200, 5]", _post("/v1/evaluate", batch), 2, 200),
        Kind("batch of a run", request("PUT", f"{run}/batches/{COUNTER.decode()}", _json(regression), JSON), 6, 201),
        Kind("report of a run", request("GET", run), 1, 200),
        Kind("invalid", _post("/v1/losses/mse", {"predictions": [1.0, 2.0], "labels": [1.0]}), 5, 422),
        Kind("malformed", request("POST", "/v1/losses/mse", b'{"predictions": [1.0', JSON), 5, 400),
        Kind("unknown", _post("/v1/losses/none", {}), 5, 404),
    ]


def _post(path: str, fields: object) -> bytes:
    return request("POST", path, _json(fields), JSON)


def _json(fields: object) -> bytes:
    return json.dumps(fields).encode()
