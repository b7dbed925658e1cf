"""The Open Inference Protocol gives the bits of `/v1/losses`, to requests made by hand and to clients that others wrote."""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.errors import NotFoundError
from open_inference.openapi.types import InferenceRequest
from tritonclient.utils import InferenceServerException

from lossmeter.losses import LOSSES, Loss
from tests.contracts.generated import ROOT
from tests.contracts.test_readme import blocks
from tests.support.open_inference import arrays, body, outputs
from tests.support.service import serving

RNG = np.random.default_rng(7)
PREDICTIONS = RNG.normal(size=(64, 10)).astype(np.float32)
LABELS = RNG.integers(0, 10, 64)
TENSORS = {"predictions": PREDICTIONS, "labels": LABELS}
GAMMA = 1.5
CE = "/v2/models/cross_entropy/infer"
ALL_OUTPUTS = ["value", "sum", "normalizer", "count", "gradient_predictions"]


def infer(http: httpx.Client, content: bytes, headers: dict[str, str], path: str = CE) -> httpx.Response:
    return http.post(path, content=content, headers=headers)


@pytest.fixture(scope="module")
def expected(http: httpx.Client) -> dict[str, Any]:
    """What `/v1/losses/focal` says of the same tensors."""
    request = {name: array.tolist() for name, array in TENSORS.items()}
    answer = http.post("/v1/losses/focal", json={**request, "gamma": GAMMA, "gradients": ["predictions"]}).json()
    gradient = np.array(answer["gradients"]["predictions"]["data"], np.float32).reshape(64, 10)
    return {"value": np.float32(answer["value"]), "count": 64, "gradient_predictions": gradient}


def assert_same(answer: Any, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert np.array_equal(answer.as_numpy(name).squeeze(), value), name


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_every_example_gives_the_same_bits(http: httpx.Client, loss: Loss) -> None:
    for example, reduction in itertools.product(loss.examples, ("mean", "none")):
        tensors = arrays(loss, example.request)
        roles = [role.name for role in loss.roles if role.differentiable and tensors[role.name].dtype.kind == "f"]
        request = {**example.request, "reduction": reduction, "gradients": roles}
        answer = http.post(f"/v1/losses/{loss.name}", json=request).json()
        assert list(answer["gradients"]) == roles
        for binary in (False, True):
            assert_same_bits(http, loss, example.request, answer, binary=binary, reduction=reduction)


def assert_same_bits(
    http: httpx.Client, loss: Loss, request: dict[str, Any], answer: dict[str, Any], *, binary: bool, reduction: str
) -> None:
    """A request in this protocol, in JSON or with binary tensors, gives the numbers of an answer of `/v1/losses`."""
    tensors = arrays(loss, request)
    roles = list(answer["gradients"])
    parameters = {name: value for name, value in request.items() if name not in tensors}
    parameters |= {"reduction": reduction, "binary_data_output": binary}
    names = ["values" if reduction == "none" else "value", "sum", "normalizer", "count"]
    wanted = [{"name": name} for name in names + [f"gradient_{role}" for role in roles]]
    content, headers = body(tensors, binary=binary, parameters=parameters, outputs=wanted)
    response = infer(http, content, headers, f"/v2/models/{loss.name}/infer")
    assert response.status_code == 200, response.text
    found = outputs(response.content, response.headers)
    assert list(found) == [output["name"] for output in wanted]
    for name in names[1:] + ["value"] * (reduction == "mean"):
        assert found[name].shape == (1,)
        assert found[name].dtype.type(answer[name]) == found[name][0]
    pairs = [(found[f"gradient_{role}"], answer["gradients"][role]) for role in roles]
    for array, tensor in pairs + ([(found["values"], answer["values"])] if reduction == "none" else []):
        assert list(array.shape) == tensor["shape"]
        assert array.ravel().tolist() == np.array(tensor["data"], array.dtype).tolist()


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_the_client_of_triton_works(url: str, expected: dict[str, Any], binary: bool, compression: str | None) -> None:
    inputs, wanted = _triton_request(triton, binary)
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("focal", "1")
        assert not client.is_model_ready("nothing")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        assert client.get_model_metadata("focal", "1")["inputs"][1] == {
            "name": "labels",
            "datatype": "INT64",
            "shape": [-1],
        }
        answer = client.infer(
            "focal", inputs, outputs=wanted, request_id="42", parameters={"gamma": GAMMA}, timeout=10**6,
            request_compression_algorithm=compression, response_compression_algorithm=compression,
        )  # fmt: skip
        assert_same(answer, expected)
        assert answer.get_response()["id"] == "42"
        assert client.infer("focal", inputs, parameters={"gamma": GAMMA}).as_numpy("value")[0] == expected["value"]
        with pytest.raises(InferenceServerException, match="nothing is not an output") as error:
            client.infer("focal", inputs, outputs=[triton.InferRequestedOutput("nothing")])
        assert error.value.status() == "422"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_the_asyncio_client_of_triton_works(
    url: str, expected: dict[str, Any], binary: bool, compression: str | None
) -> None:
    async def main() -> None:
        inputs, wanted = _triton_request(triton_aio, binary)
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
            assert await client.is_model_ready("focal")
            answer = await client.infer(
                "focal", inputs, "1", wanted, parameters={"gamma": GAMMA}, request_compression_algorithm=compression
            )
            assert_same(answer, expected)

    anyio.run(main)


def _triton_request(module: Any, binary: bool) -> tuple[list[Any], list[Any]]:
    inputs = [module.InferInput("predictions", [64, 10], "FP32"), module.InferInput("labels", [64], "INT64")]
    for given, array in zip(inputs, TENSORS.values(), strict=True):
        given.set_data_from_numpy(array, binary_data=binary)
    names = ("gradient_predictions", "count", "value")
    return inputs, [module.InferRequestedOutput(name, binary_data=binary) for name in names]


def test_the_client_of_the_working_group_works(url: str, expected: dict[str, Any]) -> None:
    fields = {"parameters": {"gamma": GAMMA}, "outputs": [{"name": "value"}, {"name": "gradient_predictions"}]}
    request = InferenceRequest.parse_raw(body(TENSORS, **fields)[0])
    with httpx.Client() as transport:
        client = OpenInferenceClient(base_url=url, httpx_client=transport)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_version_readiness("focal", "1")
        assert client.read_server_metadata().name == "lossmeter"
        assert client.read_model_metadata("focal").versions == ["1"]
        answer = client.model_infer("focal", request=request)
        assert np.float32(answer.outputs[0].data.__root__[0]) == expected["value"]
        with pytest.raises(NotFoundError):
            client.check_model_readiness("nothing")

    async def main() -> None:
        async with httpx.AsyncClient() as transport:
            client = AsyncOpenInferenceClient(base_url=url, httpx_client=transport)
            again = await client.model_version_infer("focal", "1", request=request)
            assert again.outputs == answer.outputs

    anyio.run(main)


def test_an_alias_answers_with_the_proper_name(http: httpx.Client) -> None:
    content, headers = body({"predictions": PREDICTIONS, "labels": PREDICTIONS + 1})
    for path in ("/v2/models/l1/infer", "/v2/models/l1/versions/1/infer"):
        answer = infer(http, content, headers, path).json()
        assert (answer["model_name"], answer["model_version"]) == ("mae", "1")
        assert [output["name"] for output in answer["outputs"]] == ["value"]
    assert http.get("/v2/models/l1").json()["name"] == "mae"
    assert http.get("/v2/models/l1/versions/1/ready").json() == {"name": "mae", "ready": True}


def test_outputs_choose_their_form_one_by_one(http: httpx.Client) -> None:
    wanted = [
        {"name": "value", "parameters": {"binary_data": False}},
        {"name": "gradient_predictions"},
        {"name": "count"},
    ]
    content, headers = body(TENSORS, binary=True, outputs=wanted, parameters={"binary_data_output": True})
    response = infer(http, content, headers)
    assert response.headers["content-type"] == "application/octet-stream"
    head = json.loads(response.content[: int(response.headers["inference-header-content-length"])])
    assert ["data" in output for output in head["outputs"]] == [True, False, False]
    assert outputs(response.content, response.headers)["count"].tolist() == [64]


def test_every_common_input_arrives(http: httpx.Client) -> None:
    more = {"sample_weight": np.arange(64, dtype=np.float32), "mask": LABELS > 2, "upstream": np.float32([3])}
    fields = {"reduction": "sum", "precision": "float64"}
    content, headers = body(TENSORS | more, binary=True, parameters=fields, outputs=[{"name": n} for n in ALL_OUTPUTS])
    response = infer(http, content, headers)
    assert response.status_code == 200, response.text
    request = {name: array.tolist() for name, array in (TENSORS | more).items()} | fields
    request["predictions"] = {"datatype": "FP32", "shape": [64, 10], "data": PREDICTIONS.ravel().tolist()}
    answer = http.post(
        "/v1/losses/cross_entropy", json=request | {"upstream": 3.0, "gradients": ["predictions"]}
    ).json()
    found = outputs(response.content, response.headers)
    assert (found["value"].dtype, found["value"][0]) == (np.float64, answer["value"])
    assert found["gradient_predictions"].ravel().tolist() == answer["gradients"]["predictions"]["data"]


def test_what_is_not_finite_is_null_in_json_and_unchanged_in_bytes(http: httpx.Client) -> None:
    tensors = {"predictions": np.float32([np.inf, np.nan, 1]), "labels": np.zeros(3, np.float32)}
    for as_bytes in (False, True):
        parameters = {"reduction": "none", "non_finite": "allow", "binary_data_output": as_bytes}
        content, headers = body(tensors, binary=True, parameters=parameters)
        response = infer(http, content, headers, "/v2/models/mse/infer")
        values = outputs(response.content, response.headers)["values"]
        if as_bytes:
            assert np.array_equal(values, np.float32([np.inf, np.nan, 1]), equal_nan=True)
        else:
            assert response.json()["outputs"][0]["data"] == [None, None, 1.0]
            assert "values[0] is Infinity" in response.json()["parameters"]["warnings"]
            assert "sum" not in response.json()["parameters"]["warnings"]


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/plain", "application/json"])
def test_the_content_type_is_not_relied_on(http: httpx.Client, content_type: str | None) -> None:
    content, headers = body(TENSORS, binary=True)
    request = http.build_request("POST", CE, content=content, headers=headers)
    request.headers.pop("content-type", None)
    if content_type:
        request.headers["content-type"] = content_type
    assert http.send(request).status_code == 200


def test_large_json_is_read_fast_and_right(http: httpx.Client) -> None:
    large = {"predictions": np.tile(PREDICTIONS, (100, 1)), "labels": np.tile(LABELS, 100)}
    wanted = [{"name": "gradient_predictions"}]
    answers = [infer(http, *body(large, binary=binary, outputs=wanted)) for binary in (False, True)]
    first, second = (outputs(answer.content, answer.headers)["gradient_predictions"] for answer in answers)
    assert first.shape == (6400, 10)
    assert np.array_equal(first, second)


GOOD = body(TENSORS)[0]
CHANGED: dict[str, tuple[str, Any]] = {
    "unknown input": ("name", "logits"),
    "not a name": ("name", 3),
    "wrong datatype": ("datatype", "INT64"),
    "unknown datatype": ("datatype", "FP8"),
    "FP16 in JSON": ("datatype", "FP16"),
    "wrong shape": ("shape", [64, 11]),
    "negative shape": ("shape", [-1, 10]),
    "huge shape": ("shape", [2**62, 4]),
    "data is a string": ("data", "1, 2"),
    "data is null": ("data", None),
    "bytes without a header": ("parameters", {"binary_data_size": 2560}),
    "shared memory": ("parameters", {"shared_memory_region": "x"}),
    "unknown field": ("values", [1]),
}
FIELDS: dict[str, dict[str, Any]] = {
    "unknown output": {"outputs": [{"name": "values"}]},
    "output twice": {"outputs": [{"name": "value"}, {"name": "value"}]},
    "classification": {"outputs": [{"name": "value", "parameters": {"classification": 3}}]},
    "gradient of an absent tensor": {"outputs": [{"name": "gradient_weight"}]},
    "unknown parameter": {"parameters": {"temperature": 1}},
    "parameter out of bounds": {"parameters": {"label_smoothing": 2}},
    "gradients as a parameter": {"parameters": {"gradients": ["predictions"]}},
    "an input as a parameter": {"parameters": {"weight": 1}},
    "parameters are no object": {"parameters": 1},
    "binary is no boolean": {"parameters": {"binary_data_output": 1}},
    "id is a number": {"id": 7},
    "inputs are no array": {"inputs": {}},
    "inputs are numbers": {"inputs": [1]},
    "no inputs": {"inputs": None},
    "unknown field of the request": {"model": "x"},
}


@pytest.mark.parametrize("case", [*CHANGED, *FIELDS])
def test_an_invalid_request_is_refused_in_one_sentence(http: httpx.Client, case: str) -> None:
    request = json.loads(GOOD)
    if case in CHANGED:
        name, value = CHANGED[case]
        request["inputs"][0][name] = value
    else:
        request |= FIELDS[case]
    _refused(http, json.dumps(request).encode(), {}, 422)


LENGTH = "Inference-Header-Content-Length"
BINARY, HEADERS = body(TENSORS, binary=True)
JSON_BYTES = int(HEADERS[LENGTH])
LIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "cut short": (BINARY[:-1], HEADERS, 400),
    "too long": (BINARY + b"\0", HEADERS, 400),
    "cut in the JSON": (BINARY[: JSON_BYTES - 5], HEADERS, 400),
    "length beyond the body": (BINARY, {LENGTH: str(len(BINARY) + 1)}, 400),
    "length is huge": (BINARY, {LENGTH: "9" * 30}, 400),
    "length is no number": (BINARY, {LENGTH: "-1"}, 400),
    "length is too short": (BINARY, {LENGTH: str(JSON_BYTES - 1)}, 400),
    "length is zero": (BINARY, {LENGTH: "0"}, 400),
    "no length": (BINARY, {}, 400),
    "size too small": (BINARY.replace(b'size": 2560', b'size": 2559'), HEADERS, 422),
    "size too large": (BINARY.replace(b'size": 2560', b'size": 9560'), HEADERS, 422),
    "size is negative": (BINARY.replace(b'size": 2560', b'size": -560'), HEADERS, 422),
    "sizes do not add up": (BINARY.replace(b"[64, 10]", b"[63, 10]").replace(b"2560", b"2520"), HEADERS, 400),
    "not JSON": (b"predictions=1", {}, 400),
    "empty": (b"", {}, 400),
    "not gzip": (BINARY, HEADERS | {"Content-Encoding": "gzip"}, 400),
    "not deflate": (BINARY, HEADERS | {"Content-Encoding": "deflate"}, 400),
    "gzip cut short": (gzip.compress(BINARY)[:-9], HEADERS | {"Content-Encoding": "gzip"}, 400),
    "more behind the gzip": (gzip.compress(BINARY) + b"x", HEADERS | {"Content-Encoding": "gzip"}, 400),
    "more behind the deflate": (zlib.compress(BINARY) + b"x", HEADERS | {"Content-Encoding": "deflate"}, 400),
    "unknown encoding": (BINARY, HEADERS | {"Content-Encoding": "br"}, 415),
}


@pytest.mark.parametrize("case", LIES)
def test_bytes_that_lie_are_refused(http: httpx.Client, case: str) -> None:
    content, headers, status = LIES[case]
    _refused(http, content, headers, status)


def _refused(http: httpx.Client, content: bytes, headers: dict[str, str], status: int) -> None:
    response = infer(http, content, headers)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert response.headers["content-type"] == "application/json"
    assert infer(http, BINARY, HEADERS).status_code == 200


@pytest.mark.parametrize("tail", ["", "/ready", "/infer"])
@pytest.mark.parametrize("path", ["/v2/models/nothing", "/v2/models/mse/versions/2", "/v2/models/nothing/versions/1"])
def test_unknown_models_and_versions_are_not_found(http: httpx.Client, path: str, tail: str) -> None:
    response = http.request("POST" if tail == "/infer" else "GET", path + tail)
    assert response.status_code == 404
    assert list(response.json()) == ["error"]
    assert http.put("/v2/models/mse/infer").json().keys() == {"error"}


def test_what_comes_out_of_a_small_body_is_limited() -> None:
    with serving(max_body_bytes=100_000) as url, httpx.Client(base_url=url) as http:
        for encoding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            response = infer(http, compress(b"[" * 10_000_000), {"Content-Encoding": encoding})
            assert response.status_code == 413, response.text
            assert list(response.json()) == ["error"]
            good = compress(BINARY)
            assert infer(http, good, HEADERS | {"Content-Encoding": encoding}).status_code == 200


def test_gzip_may_come_in_several_members(http: httpx.Client) -> None:
    content = gzip.compress(BINARY[:100]) + gzip.compress(b"") + gzip.compress(BINARY[100:])
    assert infer(http, content, HEADERS | {"Content-Encoding": "gzip"}).status_code == 200


def test_the_page_shows_what_happens(http: httpx.Client) -> None:
    request, answer = blocks("json", (ROOT / "docs" / "open-inference.md").read_text())
    given, shown = infer(http, request.encode(), {}).json(), json.loads(answer)
    assert shown["outputs"][0].pop("data") == pytest.approx(given["outputs"][0].pop("data"))
    assert shown == given
