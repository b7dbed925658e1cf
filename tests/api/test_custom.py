"""`POST /v1/losses/custom`: everything that a loss takes, for a loss that came as data."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import Tensor

from lossmeter.api.routes.losses import CUSTOM_EXAMPLE
from lossmeter.client import Client, InvalidRequest, RemoteLoss, trace

PATH = "/v1/losses/custom"
SQUARE: dict[str, Any] = {
    "format": 1,
    "nodes": [
        {"op": "placeholder", "name": "x", "target": "predictions"},
        {"op": "placeholder", "name": "y", "target": "labels"},
        {"op": "call_function", "name": "d", "target": "operator.sub", "args": ["x", "y"]},
        {"op": "call_method", "name": "loss", "target": "square", "args": ["d"]},
        {"op": "output", "name": "output", "target": "output", "args": ["loss"]},
    ],
}


def asymmetric(predictions: Tensor, labels: Tensor, factor: float = 3.0) -> Tensor:
    error = predictions - labels
    return torch.where(error < 0, factor * error.square(), error.square())


def test_the_example_of_the_document_works(http: httpx.Client) -> None:
    answer = http.post(PATH, json=CUSTOM_EXAMPLE["value"]).json()
    assert answer["value"] == (3 * 1 + 4) / 2
    assert answer["gradients"]["predictions"]["data"] == [-3.0, 2.0]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"reduction": "sum", "sample_weight": [0.5, 2.0, 0.0]},
        {"reduction": "none", "upstream": [[1.0, 2.0], [0.0, 3.0], [1.0, 1.0]]},
        {"mask": [True, False, True]},
        {"normalizer": 100.0},
        {"mask": [False, False, False], "empty": "zero"},
        {"precision": "float64", "tensor_encoding": "base64"},
    ],
)
def test_all_that_a_loss_takes_means_what_it_means_for_the_catalogue(http: httpx.Client, more: dict[str, Any]) -> None:
    request = {
        "predictions": [[1, 2.5], [3, 4], [0, -1]],
        "labels": [[0, 0], [1, 2], [3, 5]],
        "gradients": ["predictions"],
    }
    expected = http.post("/v1/losses/mse", json={**request, **more, "advice": False}).json()
    answer = http.post(PATH, json={**request, **more, "graph": SQUARE}).json()
    assert answer == {**expected, "loss": "custom", "requested": "custom", "metrics": {}}
    again = http.post(PATH, json={**request, **more, "graph": SQUARE}).json()
    assert again == answer


def test_sequences_are_reduced_as_sequences(http: httpx.Client) -> None:
    request = {"predictions": [[1.0, 2.0], [3.0, 4.0]], "labels": [[0.0, 0.0], [0.0, 0.0]], "graph": SQUARE}
    answer = http.post(
        PATH, json={**request, "reduction": "sequence_sum", "mask": [[True, False], [True, True]]}
    ).json()
    assert answer["value"] == (1 + 25) / 2


def test_refusals_point_at_what_is_wrong(http: httpx.Client) -> None:
    request: dict[str, Any] = {"predictions": [1.0], "labels": [2.0], "graph": SQUARE}
    for change, pointer in (
        ({"graph": None}, "/graph"),
        ({"graph": {**SQUARE, "nodes": SQUARE["nodes"][:2]}}, "/graph/nodes"),
        ({"predictions": None}, "/predictions"),
        ({"other": [1.0]}, "/other"),
        ({"labels": [1.0, 2.0, 3.0], "predictions": [1.0, 2.0]}, "/graph/nodes/2"),
        ({"gradients": ["nothing"]}, "/gradients"),
        ({"reduction": "batchmean"}, "/reduction"),
        ({"sample_weight": [-1.0]}, "/sample_weight"),
        ({"empty": "perhaps"}, "/empty"),
    ):
        answer = http.post(PATH, json={**request, **change})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("wire", ["safetensors", "json"])
def test_a_traced_loss_is_the_function_itself(url: str, wire: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    given, labels = torch.randn(8, 3, generator=generator).requires_grad_(), torch.randn(8, 3, generator=generator)
    with Client(url, wire=wire) as client:
        criterion = RemoteLoss(trace(asymmetric), client=client)
        torch.testing.assert_close(criterion(given, labels), asymmetric(given, labels).mean())
        (found,) = torch.autograd.grad(criterion(given, labels, factor=torch.tensor(5.0)), given)
        (expected,) = torch.autograd.grad(asymmetric(given, labels, 5.0).mean(), given)
        torch.testing.assert_close(found, expected)
        unreduced = RemoteLoss(trace(asymmetric), client=client, reduction="none")
        (found,) = torch.autograd.grad((unreduced(given, labels) ** 2).sum(), given)
        (expected,) = torch.autograd.grad((asymmetric(given, labels) ** 2).sum(), given)
        torch.testing.assert_close(found, expected)


def test_a_captured_tensor_travels_along(url: str) -> None:
    weights = torch.tensor([1.0, 10.0])

    def weighted(predictions: Tensor, labels: Tensor) -> Tensor:
        return (predictions - labels).abs() @ weights

    traced = trace(weighted)
    assert (str(traced), traced.roles) == ("weighted", ("predictions", "labels"))
    with Client(url) as client:
        result = client.loss(traced, predictions=np.ones((2, 2), np.float32), labels=np.zeros((2, 2), np.float32))
        assert result.value == 11.0
        with pytest.raises(InvalidRequest, match="labels is missing"):
            client.loss(traced, predictions=np.ones((2, 2), np.float32))


def test_what_cannot_be_traced_is_refused_here() -> None:
    def branching(x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="branching cannot be traced"):
        trace(branching)
