"""The OpenAPI document allows what the service answers; `tests/schema` searches for what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.contracts.compatibility import operations, parameters


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    return dict(http.get("/openapi.json").json())


def check(document: dict[str, Any], model: str, answer: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{model}", "components": document["components"]}
    jsonschema.validate(answer, schema, jsonschema.Draft202012Validator)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_numbers_that_are_not_finite_are_allowed_as_null(http: httpx.Client, document: dict[str, Any]) -> None:
    request = {"predictions": [3e38], "labels": [-3e38], "reduction": "none", "gradients": ["predictions"]}
    answer = http.post("/v1/losses/mse", json=request).json()
    assert answer["values"]["data"] == [None]
    check(document, "LossAnswer", answer)
    with pytest.raises(jsonschema.ValidationError):
        check(document, "LossAnswer", {**answer, "values": {**answer["values"], "data": ["NaN"]}})


def test_figures_without_an_interval_are_allowed(http: httpx.Client, document: dict[str, Any]) -> None:
    request = {
        "task": "binary",
        "predictions_are": "probabilities",
        "predictions": [0.9, 0.2],
        "labels": [1, 0],
        "replicates": 0,
        "gates": [{"metric": "recall", "minimum": 0.3, "at": "value"}],
    }
    answer = http.post("/v1/evaluate", json=request).json()
    assert answer["gates"][0]["where"] is None
    assert any(one["interval"] is None for one in answer["metrics"])
    check(document, "EvaluateAnswer", answer)


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/runs"])
def test_names_that_are_not_known_are_a_documented_422(http: httpx.Client, document: dict[str, Any], path: str) -> None:
    plan: dict[str, Any] = {"task": "regression", "predictions_are": "values", "losses": [{"loss": "mean_square"}]}
    if path == "/v1/evaluate":
        plan |= {"predictions": [1.0], "labels": [1.0]}
    assert http.post(path, json=plan).status_code == 422
    assert "4XX" in document["paths"][path]["post"]["responses"]


def test_links_name_operations_and_their_parameters(document: dict[str, Any]) -> None:
    known = {
        one["operationId"]: {parameter["name"] for parameter in parameters(document, one)}
        for _, _, one in operations(document)
    }
    links = document["paths"]["/v1/runs"]["post"]["responses"]["201"]["links"]
    assert json.dumps(links).count("$response.body#/id") > 1
    for link in links.values():
        assert set(link.get("parameters", {})) <= known[link["operationId"]]
