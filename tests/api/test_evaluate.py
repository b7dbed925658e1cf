"""`POST /v1/evaluate` answers what the engine computes, in every format, and says what is wrong with a request."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy as oracle

from lossmeter.api.models.evaluation import EXAMPLES, EvaluateAnswer
from lossmeter.evaluation import evaluate
from lossmeter.metrics import METRICS
from tests.support.evaluations import digits, fields, plan
from tests.support.service import serving

PATH = "/v1/evaluate"
SAFETENSORS = "application/vnd.safetensors"
GOOD = EXAMPLES["multiclass"]


def post(http: httpx.Client, **changed: Any) -> httpx.Response:
    return http.post(PATH, json=GOOD | changed)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_work_and_their_answers_are_as_documented(http: httpx.Client, name: str) -> None:
    response = http.post(PATH, json=EXAMPLES[name])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == set(EvaluateAnswer.model_fields)
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    kinds = schemas["MetricFigure"]["discriminator"]["mapping"]
    models = [("LossFigure", one) for one in answer["losses"]] + [("SliceFigures", one) for one in answer["slices"]]
    models += [(kinds[one["kind"]].rpartition("/")[2], one) for one in answer["metrics"]]
    assert all(set(one) == set(schemas[model]["required"]) for model, one in models)


def test_the_answer_is_that_of_the_engine(http: httpx.Client) -> None:
    data = digits()
    body = {name: data[name].tolist() for name in ("predictions", "labels", "sample_weight", "mask", "sample_ids")}
    body |= {"slices": {name: values.tolist() for name, values in data["slices"].items()}}
    plain = {"task": "multiclass", "predictions_are": "logits", "hardest": 3, "replicates": 20}
    gates = [{"metric": "accuracy", "minimum": 0.5, "slice": "fold"}]
    response = http.post(PATH, json={**body, **plain, "gates": gates, "gradients": ["predictions"]})
    expected = evaluate(plan(**plain, slices=["country", "fold"], gates=gates), fields(data), ["predictions"])
    gradient = expected["objective"]["gradients"]["predictions"]
    expected["objective"]["gradients"]["predictions"] = {
        "datatype": "FP64",
        "shape": list(gradient.shape),
        "data": gradient.data.tolist(),
    }
    assert response.json() == json.loads(json.dumps(expected))


@pytest.mark.parametrize("accept", ["application/json", SAFETENSORS])
def test_every_format_gives_the_same_bits(http: httpx.Client, accept: str) -> None:
    arrays = {"predictions": np.array(GOOD["predictions"]), "labels": np.array(GOOD["labels"])}
    rest = {name: value for name, value in GOOD.items() if name not in arrays}
    content = oracle.save(arrays, {"request": json.dumps(rest)})
    headers = {"Content-Type": SAFETENSORS, "Accept": accept}
    response = http.post(PATH, content=content, headers=headers)
    assert response.status_code == 200, response.text
    expected = post(http).json()
    gradient = expected["objective"]["gradients"].pop("predictions")["data"]
    if accept == SAFETENSORS:
        (values,) = oracle.load(response.content).values()
        assert values.ravel().tolist() == gradient
        header = json.loads(response.content[8 : 8 + int.from_bytes(response.content[:8], "little")])
        assert "objective.gradients.predictions" in header
        assert json.loads(header["__metadata__"]["response"]) == expected
    else:
        assert response.json()["objective"]["gradients"]["predictions"]["data"] == gradient


def test_gradients_come_in_base64_where_wanted(http: httpx.Client) -> None:
    answer = post(http, tensor_encoding="base64").json()
    assert set(answer["objective"]["gradients"]["predictions"]) == {"datatype", "shape", "base64"}
    assert post(http, gradients=[]).json()["objective"]["gradients"] == {}


def test_ids_of_a_large_body_are_kept(http: httpx.Client) -> None:
    n = 30_000
    labels = np.zeros(n)
    labels[17] = 9.0
    body = {"task": "regression", "predictions_are": "values", "predictions": [0.0] * n, "labels": labels.tolist()}
    more = {"sample_ids": list(range(n)), "slices": {"odd": [i % 2 == 1 for i in range(n)]}, "hardest": 1}
    answer = http.post(PATH, json={**body, **more, "replicates": 2}).json()
    assert answer["hardest"][0]["sample_id"] == 17
    assert [(one["value"], one["samples"]) for one in answer["slices"]] == [(False, n // 2), (True, n // 2)]


def test_figures_that_are_not_finite_are_null_with_a_warning(http: httpx.Client) -> None:
    answer = post(http, mask=[False] * 4, gradients=[]).json()
    assert answer["samples"] == 0
    assert answer["losses"][0]["value"] is None
    assert {"/losses/0/value", "/objective/value", "/gates/0/observed"} <= {
        one["pointer"] for one in answer["warnings"]
    }
    assert not answer["passed"]


@pytest.mark.parametrize(
    ("changed", "pointer", "message"),
    [
        ({"task": None}, "/task", "task is missing; expected one of regression, binary"),
        ({"task": "guessing"}, "/task", "expected 'regression'"),
        ({"predictions_are": None}, "/predictions_are", "predictions_are is missing; expected one of logits"),
        ({"predictions_are": "values"}, "/predictions_are", "expected one of logits"),
        ({"predictions": None}, "/predictions", "predictions is missing"),
        ({"predictions": [[1, 2], [3]]}, "/predictions", "expected 2"),
        ({"labels": [0, 1, 2, 9]}, "/labels", "labels[3] is 9"),
        ({"losses": [{"loss": "mse"}]}, "/losses/0/loss", "not for the task multiclass"),
        ({"losses": [{"weight_in_objective": 1.0}]}, "/losses/0/loss", "is missing"),
        ({"losses": [{"loss": "cross_entropy", "weight": [1.0]}]}, "/losses/0/weight", "expected [3]"),
        (
            {"losses": [{"loss": "cross_entropy", "weight_in_objective": -1.0}]},
            "/losses/0/weight_in_objective",
            "at least 0",
        ),
        ({"confidence": 1.0}, "/confidence", "less than 1"),
        ({"replicates": 100_000}, "/replicates", "at most 2000"),
        ({"hardest": -1}, "/hardest", "at least 0"),
        (
            {"losses": [{"loss": "cross_entropy", "weight": False}]},
            "/losses/0/weight",
            "no number or rectangular array of numbers",
        ),
        ({"ignore_index": 2**63}, "/ignore_index", "at most 9223372036854775807"),
        ({"gates": [{"metric": "accuracy", "minimum": "high"}]}, "/gates/0/minimum", "expected a number"),
        ({"slices": {"country": ["de"]}}, "/slices/country", "expected 4, one for each sample"),
        ({"slices": {"country": [1.5, 1, 1, 1]}}, "/slices/country", "is 1.5; expected a string"),
        ({"sample_ids": ["a", "b", "c", True]}, "/sample_ids", "sample_ids[3] is True"),
        ({"gradients": ["labels"]}, "/gradients/0", "expected 'predictions'"),
        ({"nothing": 1}, "/nothing", "is not a field"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, changed: dict[str, Any], pointer: str, message: str) -> None:
    body = {name: value for name, value in (GOOD | changed).items() if value is not None}
    response = http.post(PATH, json=body)
    assert response.status_code == 422, response.text
    (problem, *_) = response.json()["errors"]
    assert problem["pointer"] == pointer
    assert message in problem["message"]


def test_unknown_names_are_pointed_at_in_a_body_and_not_found_in_a_path(http: httpx.Client) -> None:
    for choices, place in (
        ({"losses": ["none"]}, "/losses/0"),
        ({"metrics": [{"metric": "none"}]}, "/metrics/0/metric"),
    ):
        response = post(http, **choices)
        assert response.status_code == 422
        assert [one["pointer"] for one in response.json()["errors"]] == [place]
    assert http.get("/v1/metrics/none").status_code == 404
    assert http.post("/v1/losses/none", json={}).status_code == 404


def test_names_of_other_libraries_are_addresses_too(http: httpx.Client) -> None:
    body = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}
    for name in ("mse", "MSELoss", "mean_squared_error", "mean-squared-error"):
        answer = http.post(f"/v1/losses/{name}", json=body).json()
        assert (answer["loss"], answer["requested"], answer["value"]) == ("mse", name, 2.5)
    assert http.get("/v1/losses/MSELoss").json()["name"] == "mse"
    tensors = [{"name": k, "datatype": "FP32", "shape": [2], "data": v} for k, v in body.items()]
    answer = http.post("/v2/models/MSELoss/infer", json={"inputs": tensors}).json()
    assert (answer["model_name"], answer["outputs"][0]["data"]) == ("mse", [2.5])
    figure = post(http, metrics=["F1Score"], gates=[]).json()["metrics"][0]
    assert (figure["metric"], figure["requested"]) == ("f1", "F1Score")


def test_other_bodies_and_methods_are_refused(http: httpx.Client) -> None:
    assert http.post(PATH, content=b"{").status_code == 400
    assert http.get(PATH).status_code == 405


def test_too_many_elements_are_refused() -> None:
    with serving(max_elements=15) as url, httpx.Client(base_url=url) as client:
        assert client.post(PATH, json=GOOD).status_code == 413


def test_the_catalogue_lists_every_metric(http: httpx.Client) -> None:
    entries = http.get("/v1/metrics").json()["metrics"]
    assert [one["name"] for one in entries] == list(METRICS)
    assert http.get("/v1/metrics/f1").json() == next(one for one in entries if one["name"] == "f1")
    alias = next(one for one in entries if one["aliases"])
    assert http.get(f"/v1/metrics/{alias['aliases'][0]}").json() == alias
    response = http.get("/v1/metrics/acuracy")
    assert response.status_code == 404
    assert "accuracy" in response.json()["detail"]


@pytest.mark.parametrize("name", METRICS)
def test_the_examples_of_the_catalogue_work_as_posted(http: httpx.Client, name: str) -> None:
    for example in http.get(f"/v1/metrics/{name}").json()["examples"]:
        response = http.post(PATH, json=example["request"])
        assert response.status_code == 200, response.text
        (found,) = response.json()["metrics"]
        assert found["metric"] == name
        same(found["value"], example["answer"]["value"])


def same(found: Any, expected: Any) -> None:
    """Equal, as far as the example says."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            same(found[key], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif expected is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
