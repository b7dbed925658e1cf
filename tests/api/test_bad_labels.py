"""A label that no kernel may see is refused by every way in, and the same process answers the next request.

On a GPU such a label fails an assertion in the kernel, after which no call of the process works any more.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.benchmarks.payloads import FORMS, Arrays, Payload
from tests.support.open_inference import body

WRONG: dict[str, tuple[str, Arrays]] = {
    "too large": ("cross_entropy", {"predictions": np.zeros((4, 3), np.float32), "labels": np.array([0, 1, 2, 3])}),
    "negative": ("cross_entropy", {"predictions": np.zeros((4, 3), np.float32), "labels": np.array([0, 1, 2, -1])}),
    "huge": ("cross_entropy", {"predictions": np.zeros((4, 3), np.float32), "labels": np.array([0, 1, 2, 2**62])}),
    "nll": ("nll", {"predictions": np.full((4, 3), -1, np.float32), "labels": np.array([0, 1, 2, 3])}),
    "focal": ("focal", {"predictions": np.zeros((4, 3), np.float32), "labels": np.array([0, 1, 2, 3])}),
    "margin": ("multi_margin", {"predictions": np.zeros((4, 3), np.float32), "labels": np.array([0, 1, 2, 3])}),
    "a probability": (
        "binary_cross_entropy",
        {"predictions": np.array([0.5, 1.5], np.float32), "labels": np.array([0, 1], np.float32)},
    ),
}
GOOD = {"predictions": [[2.0, -1.0, 0.3]], "labels": [0]}


def in_base64(loss: str, tensors: Arrays, **fields: Any) -> Payload:
    """Tensors of JSON as bytes in base64."""
    named = {"float32": "FP32", "int64": "INT64"}
    given = {
        name: {
            "datatype": named[array.dtype.name],
            "shape": array.shape,
            "base64": base64.b64encode(array.tobytes()).decode(),
        }
        for name, array in tensors.items()
    }
    return FORMS["JSON"](loss, {}, **given, **fields)


def in_inference_json(loss: str, tensors: Arrays, **_: Any) -> Payload:
    """The Open Inference Protocol without its binary extension."""
    content, headers = body(tensors)
    return Payload("Open Inference JSON", f"/v2/models/{loss}/infer", content, tuple(headers.items()))


WAYS: dict[str, Callable[..., Payload]] = {**FORMS, "base64": in_base64, "Open Inference JSON": in_inference_json}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_bad_label_is_refused_by_every_format(http: httpx.Client, way: str, wrong: str) -> None:
    loss, tensors = WRONG[wrong]
    payload = WAYS[way](loss, tensors)
    for _ in range(6):  # as the first call of its kind, and as one of a kind that is known
        answer = http.post(payload.path, content=payload.body, headers=dict(payload.headers))
        assert answer.status_code == 422, answer.text
    assert http.post("/v1/losses/cross_entropy", json=GOOD).json()["count"] == 1


def test_a_bad_label_is_refused_by_evaluations_and_runs(http: httpx.Client) -> None:
    batch = {"predictions": [[0.0, 0.0, 0.0]] * 2, "labels": [0, 3]}
    plan = {"task": "multiclass", "predictions_are": "logits", "classes": 3, "losses": ["cross_entropy"]}
    answer = http.post("/v1/evaluate", json={**plan, **batch})
    assert answer.status_code == 422, answer.text
    created = http.post("/v1/runs", json=plan)
    assert created.status_code == 201, created.text
    place = f"/v1/runs/{created.json()['id']}"
    assert http.put(f"{place}/batches/0", json=batch).status_code == 422
    assert http.put(f"{place}/batches/0", json={**batch, "labels": [0, 2]}).status_code in (200, 201)
    assert http.delete(place).status_code in (200, 204)
    assert http.post("/v1/losses/cross_entropy", json=GOOD).json()["count"] == 1
