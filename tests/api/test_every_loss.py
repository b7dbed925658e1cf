"""What every loss gets for free over HTTP, from its declaration alone."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import httpx
import jsonschema
import numpy as np
import orjson
import pytest
import torch

from lossmeter.catalogue import Parameter
from lossmeter.engine import Call, Engine, Outcome
from lossmeter.losses import LOSSES, Loss
from tests.losses.test_losses import differentiable
from tests.support.devices import NAME
from tests.support.inputs import Case, smooth
from tests.support.wire import split

ENGINE = Engine(NAME)
ENGINE.programs.record_after = 0  # the server may have programs; here, autograd says what is right
EXAMPLES = [
    pytest.param(loss, example, id=f"{loss.name}-{i}")
    for loss in LOSSES.values()
    for i, example in enumerate(loss.examples)
]
PARAMETERS = [
    pytest.param(loss, parameter, id=f"{loss.name}-{parameter.name}")
    for loss in LOSSES.values()
    for parameter in loss.parameters
]
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)


def path(loss: Loss) -> str:
    return f"/v1/losses/{loss.name}"


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    return dict(http.get("/openapi.json").json())


def in_process(loss: Loss, case: Case, **fields: Any) -> Outcome:
    tensors, parameters = split(loss, case)
    return ENGINE.compute(Call(loss, tensors, parameters, **fields))


def exactly(case: Case) -> dict[str, Any]:
    """A case as JSON that keeps every bit: doubles by their shortest decimal form."""
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in case.items()}


@pytest.mark.parametrize(("loss", "example"), EXAMPLES)
def test_examples_work_when_posted_as_they_stand(http: httpx.Client, loss: Loss, example: Any) -> None:
    answer = http.post(path(loss), json=example.request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["loss"] == loss.name
    assert answer.json()["value"] == pytest.approx(example.value, rel=1e-6)


def test_the_catalogue_lists_every_loss(http: httpx.Client) -> None:
    assert {entry["name"] for entry in http.get("/v1/losses").json()["losses"]} == set(LOSSES)


@every_loss
def test_the_catalogue_describes_it(http: httpx.Client, loss: Loss) -> None:
    for name in (loss.name, *loss.aliases):
        entry = http.get(f"/v1/losses/{name}").json()
        assert entry["name"] == loss.name
        assert all(
            entry[field] for field in ("summary", "formula", "roles", "use_when", "avoid_when", "source", "examples")
        )


@every_loss
def test_aliases_answer_with_the_proper_name(http: httpx.Client, loss: Loss) -> None:
    for alias in loss.aliases:
        assert http.post(f"/v1/losses/{alias}", json=loss.examples[0].request).json()["loss"] == loss.name


@every_loss
def test_the_openapi_document_knows_it(document: dict[str, Any], loss: Loss) -> None:
    operation = document["paths"][path(loss)]["post"]
    assert operation["operationId"] == loss.name
    content = operation["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    assert {*loss.tensor, *(parameter.name for parameter in loss.parameters)} <= set(schema["properties"])
    assert set(schema["required"]) == {argument.name for argument in loss.tensors if argument.required}
    assert schema["additionalProperties"] is False
    # That the document itself is valid, tests/contracts/test_openapi.py asks once.
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    for example in content["examples"].values():
        validator.validate(example["value"])


@every_loss
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_same_call_over_http_gives_the_same_bits(http: httpx.Client, loss: Loss, precision: Any) -> None:
    for case in smooth(loss.name):
        wanted = tuple(differentiable(loss, case))
        body = {**exactly(case), "reduction": "none", "gradients": wanted, "precision": precision}
        outcome = in_process(loss, case, reduction="none", gradients=wanted, precision=precision)
        for encoding in ("data", "base64"):
            answer = http.post(path(loss), content=orjson.dumps({**body, "tensor_encoding": encoding}))
            assert answer.status_code == 200, answer.text
            fields = answer.json()
            for given, expected in (
                (fields["values"], outcome.values),
                *((fields["gradients"][n], outcome.gradients[n]) for n in wanted),
            ):
                assert expected is not None
                assert given["datatype"] == expected.datatype.name
                assert tuple(given["shape"]) == expected.shape
                if encoding == "base64":
                    assert base64.b64decode(given["base64"]) == expected.data.tobytes()
                else:
                    np.testing.assert_array_equal(np.array(given["data"], expected.datatype.dtype), expected.data)


@every_loss
def test_a_missing_or_misshapen_tensor_is_named(http: httpx.Client, loss: Loss) -> None:
    request = loss.examples[0].request
    for argument in loss.tensors:
        if argument.required:
            without = {name: value for name, value in request.items() if name != argument.name}
            answer = http.post(path(loss), json=without)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == f"/{argument.name}"
        if argument.name in request:
            wrapped = {**request, argument.name: [[[[[request[argument.name]] * 2] * 3] * 2] * 5]}
            answer = http.post(path(loss), json=wrapped)
            assert answer.status_code == 422
            assert "has shape" in answer.json()["detail"]


@every_loss
def test_a_tensor_of_the_wrong_kind_is_named(http: httpx.Client, loss: Loss) -> None:
    request = loss.examples[0].request
    for argument in loss.tensors:
        if argument.name not in request:
            continue
        shape = np.shape(request[argument.name])
        kinds = {role.meaning.kind for role in argument.options} | {
            "index" for r in argument.options if r.meaning.exact
        }
        for kind, datatype in (("floating", "FP32"), ("index", "INT64")):
            if kind in kinds:
                continue
            zeros = {"datatype": datatype, "shape": shape, "data": [0] * math.prod(shape)}
            answer = http.post(path(loss), json={**request, argument.name: zeros})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == f"/{argument.name}"
            assert datatype in answer.json()["detail"]


@pytest.mark.parametrize(("loss", "parameter"), PARAMETERS)
def test_a_parameter_just_outside_its_bounds_is_named(
    http: httpx.Client, document: dict[str, Any], loss: Loss, parameter: Parameter
) -> None:
    name = document["paths"][path(loss)]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "$ref"
    ].rpartition("/")[2]
    schema = document["components"]["schemas"][name]["properties"][parameter.name]
    outside: list[Any] = ["text", [1]]
    if "minimum" in schema:
        outside.append(math.nextafter(schema["minimum"], -math.inf))
    if "exclusiveMinimum" in schema:
        outside.append(schema["exclusiveMinimum"])
    if "maximum" in schema:
        outside.append(math.nextafter(schema["maximum"], math.inf))
    if "exclusiveMaximum" in schema:
        outside.append(schema["exclusiveMaximum"])
    for value in outside:
        answer = http.post(path(loss), content=json.dumps({**loss.examples[0].request, parameter.name: value}))
        assert answer.status_code == 422, (value, answer.text)
        assert answer.json()["errors"][0]["pointer"].startswith(f"/{parameter.name}")


@every_loss
def test_null_stands_for_what_is_not_given(http: httpx.Client, loss: Loss) -> None:
    request = loss.examples[0].request
    optional = [argument.name for argument in loss.tensors if not argument.required and argument.name not in request]
    given = {**request, **dict.fromkeys([*optional, "upstream", "sample_weight", "mask", "normalizer"])}
    assert http.post(path(loss), json=given).json()["value"] == http.post(path(loss), json=request).json()["value"]


@pytest.mark.parametrize(("loss", "parameter"), PARAMETERS)
def test_no_number_is_too_large_to_be_answered(http: httpx.Client, loss: Loss, parameter: Parameter) -> None:
    for value in (1e300, -1e300, 3.5e38, 1e-300, 2**62, -(2**62)):
        request = {**loss.examples[0].request, parameter.name: value}
        for precision in ("float32", "float64"):
            answer = http.post(path(loss), json={**request, "precision": precision})
            assert answer.status_code in (200, 422), answer.text
            if answer.status_code == 422:
                assert answer.json()["errors"][0]["pointer"].startswith(f"/{parameter.name}")
