"""Precision follows from datatypes, values out of their domain are computed where wanted, and bits depend on numbers alone."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import torch

from lossmeter.engine import Call, Engine
from lossmeter.losses import find
from lossmeter.tensors import Datatype, Tensor
from tests.support.devices import NAME

LARGE = {"predictions": [100000001.0], "labels": [100000000.0]}


def declared(data: list[Any], datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    return {"datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": data}


def posted(http: httpx.Client, loss: str, **body: Any) -> dict[str, Any]:
    response = http.post(f"/v1/losses/{loss}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(http: httpx.Client, loss: str, **body: Any) -> str:
    response = http.post(f"/v1/losses/{loss}", json=body)
    assert response.status_code == 422, response.text
    return str(response.json()["errors"][0]["message"])


def test_precision_is_that_of_the_tensors_as_in_torch(http: httpx.Client) -> None:
    double = {name: declared(value) for name, value in LARGE.items()}
    for body, precision, value in (
        (double, "float64", 1.0),
        (double | {"precision": "auto"}, "float64", 1.0),
        (LARGE | {"labels": double["labels"]}, "float64", 1.0),
        (LARGE, "float32", 0.0),
        (double | {"precision": "float32"}, "float32", 0.0),
        ({name: declared(value, "FP32") for name, value in LARGE.items()}, "float32", 0.0),
    ):
        answer = posted(http, "mse", **body)
        assert (answer["precision"], answer["value"]) == (precision, value)
    evaluation = {"task": "regression", "predictions_are": "values", "losses": ["mse"], "metrics": ["mse"], **LARGE}
    answer = http.post("/v1/evaluate", json=evaluation).json()
    assert answer["losses"][0]["value"] == answer["metrics"][0]["value"] == 1.0


@pytest.mark.parametrize(
    ("loss", "body", "pointer", "value"),
    [
        ("cross_entropy", {"predictions": [[1.0, 2.0]], "labels": [1], "weight": [0.5, -2.0]}, "/weight", "-2.0"),
        ("margin_ranking", {"input1": [1.0, 2.0], "input2": [0.0, 5.0], "labels": [1, 0]}, "/labels", "0"),
        ("kl_div", {"predictions": [[-1.0, -2.0]], "labels": [[0.2, 1.5]]}, "/labels", "1.5"),
    ],
)
def test_values_out_of_their_domain_are_computed_as_torch_does_where_allowed(
    http: httpx.Client, loss: str, body: dict[str, Any], pointer: str, value: str
) -> None:
    message = refused(http, loss, **body)
    for _ in range(6):  # the way of the first calls of a kind, and that of the later ones
        answer = posted(http, loss, **body, out_of_domain="allow", reduction="none")
        (warning,) = answer["warnings"]
        assert (warning["code"], warning["pointer"], warning["value"]) == ("out_of_domain", pointer, value)
        assert warning["message"] == message
    role = pointer[1:]
    tensors = {name: torch.tensor(one) for name, one in body.items()}
    if loss != "cross_entropy":
        tensors[role] = tensors[role].float()
    expected = find(loss).function(**tensors, **{p.name: p.default for p in find(loss).parameters})
    assert np.array(answer["values"]["data"], np.float32).tolist() == expected.flatten().tolist()
    assert refused(http, loss, **body) == message


@pytest.mark.parametrize(
    ("loss", "body"),
    [
        ("cross_entropy", {"predictions": [[1.0, 2.0]], "labels": [2]}),
        ("binary_cross_entropy", {"predictions": [1.5], "labels": [1.0]}),
        ("binary_cross_entropy", {"predictions": [0.5], "labels": [1.5]}),
        ("gaussian_nll", {"predictions": [0.5], "labels": [1.5], "variance": [-1.0]}),
    ],
)
def test_what_kernels_give_up_on_is_never_allowed(http: httpx.Client, loss: str, body: dict[str, Any]) -> None:
    assert refused(http, loss, **body, out_of_domain="allow") == refused(http, loss, **body)


def test_masks_may_be_zeros_and_ones(http: httpx.Client) -> None:
    body = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}
    assert posted(http, "mse", **body, mask=[1, 0])["value"] == 1.0
    assert posted(http, "mse", **body, mask=declared([0, 1], "UINT8"))["value"] == 4.0
    assert refused(http, "mse", **body, mask=[1, 2]) == "mask[1] is 2; expected true or false, or 1 or 0"
    tokens = {name: [[-1.0, -2.0]] for name in ("log_probs", "old_log_probs", "advantages")}
    for mask in ([[1, 0]], [[True, False]]):
        assert posted(http, "ppo_clip", **tokens, mask=mask)["count"] == 1
    evaluation = {"task": "regression", "predictions_are": "values", "metrics": ["mse"], **body}
    assert http.post("/v1/evaluate", json=evaluation | {"mask": [0, 1]}).json()["metrics"][0]["value"] == 4.0


@pytest.mark.parametrize(
    ("predictions", "mask"), [((0, 3), (0,)), ((0, 3), (0, 3)), ((2, 3), (2,)), ((0,), (0,))], ids=str
)
def test_a_mean_over_an_empty_batch_is_not_defined(
    http: httpx.Client, predictions: tuple[int, ...], mask: tuple[int, ...]
) -> None:
    numbers = declared([-1.0] * int(np.prod(predictions)), "FP32", list(predictions))
    labels = declared([0.5] * int(np.prod(predictions)), "FP32", list(predictions))
    masked = declared([False] * int(np.prod(mask)), "BOOL", list(mask))
    answer = posted(http, "kl_div", predictions=numbers, labels=labels, mask=masked, reduction="batchmean")
    assert (answer["value"], answer["normalizer"], answer["count"]) == (None, 0.0, 0)


def test_weights_multiply_in_float64_before_they_are_summed() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=500).astype(np.float32), rng.uniform(size=500)
    given = Tensor(Datatype.FP32, (500,), x)
    zeros = Tensor(Datatype.FP32, (500,), np.zeros(500, np.float32))
    call = Call(
        find("mae"),
        {"predictions": given, "labels": zeros},
        reduction="sum",
        sample_weight=Tensor(Datatype.FP64, (500,), w),
    )
    outcome = Engine(NAME).compute(call)
    assert outcome.sum == float(np.add.reduce(np.abs(x).astype(np.float64) * w))
    assert outcome.normalizer == pytest.approx(float(w.sum()), rel=1e-15)


def test_bits_do_not_depend_on_where_tensors_lie() -> None:
    rng = np.random.default_rng(0)
    features, classifier = (rng.normal(size=size).astype(np.float32) for size in ((64, 37), (11, 37)))
    labels = Tensor(Datatype.INT64, (64,), rng.integers(0, 11, 64))
    loss, engine = find("linear_cross_entropy"), Engine(NAME)

    def at(array: np.ndarray, offset: int) -> Tensor:
        room = np.empty(array.nbytes + 256, np.uint8)
        start = -room.ctypes.data % 64 + offset
        flat = room[start : start + array.nbytes].view(array.dtype)
        flat[:] = array.reshape(-1)
        return Tensor(Datatype.FP32, array.shape, flat)

    found = set()
    for offset in (0, 4, 8, 16, 32, 60) * 2:
        tensors = {"features": at(features, offset), "classifier": at(classifier, offset), "labels": labels}
        parameters = {one.name: one.default for one in loss.parameters}
        outcome = engine.compute(Call(loss, tensors, parameters, "none", gradients=("features", "classifier")))
        assert outcome.values is not None
        parts = (outcome.values, *outcome.gradients.values())
        found.add(b"".join(one.data.tobytes() for one in parts))
    assert len(found) == 1


def test_classes_in_the_wrong_dimension_are_pointed_out(http: httpx.Client) -> None:
    body = {"predictions": [[[1.0, 2.0, 3.0]] * 2] * 2, "labels": [[0, 1], [1, 0]]}
    assert "classes belong in dimension 1" in refused(http, "cross_entropy", **body)
    answer = http.post("/v1/evaluate", json={"task": "multiclass", "predictions_are": "logits", **body})
    assert "classes belong in dimension 1" in answer.json()["detail"]


def test_probabilities_of_two_digits_sum_to_one_and_others_do_not(http: httpx.Client) -> None:
    body = {"task": "multiclass", "predictions_are": "probabilities", "labels": [0, 1], "metrics": ["accuracy"]}
    rounded = http.post("/v1/evaluate", json=body | {"predictions": [[0.33, 0.33, 0.33], [0.05, 0.9, 0.05]]})
    assert rounded.status_code == 200, rounded.text
    wrong = http.post("/v1/evaluate", json=body | {"predictions": [[0.3, 0.3, 0.3], [0.05, 0.9, 0.05]]})
    assert "expected 1, or at most 0.02 from it" in wrong.json()["detail"]
