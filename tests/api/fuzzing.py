"""Hooks of schemathesis: what its cases need to get beyond validation, and which of its findings are none.

All that is known here comes from the document, as for any other reader of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure

TENSOR = "#/components/schemas/Tensor"
OF_BYTES = ("Content-Encoding", "Inference-Header-Content-Length")
GENERATED = ("fuzzing", "stateful")


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Gives three of four cases that claim to be valid the tensors of an example, since no schema says which shapes agree.

    What is not a tensor stays as it was generated. Names of losses and metrics, of which the document gives no list, become
    real ones.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or case.meta.phase.name.value not in GENERATED:
        return case
    draw = zlib.crc32(repr((case.path, case.body, sorted(case.path_parameters))).encode())
    if draw % 4 == 0:
        return case
    document: Mapping[str, Any] = case.operation.schema.raw_schema
    paths = [path for path in document["paths"] if path.startswith("/v1/losses/") and "{" not in path]
    if "loss" in case.path_parameters:
        case.path_parameters["loss"] = paths[draw % len(paths)].rpartition("/")[2]
    if "version" in case.path_parameters:
        case.path_parameters["version"] = "1"
    if isinstance(case.body, dict) and case.media_type == "application/json":
        case.body = grounded(document, case, draw)
    return case


def grounded(document: Mapping[str, Any], case: Case, draw: int) -> dict[str, Any]:
    """The generated body with the tensors of an example, or with all of it."""
    content = case.operation.definition.raw["requestBody"]["content"]["application/json"]
    examples = examples_of(case)
    if not examples:
        return inference(document, case, draw)
    example: dict[str, Any] = examples[draw % len(examples)]
    model = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    tensors = {name for name, schema in model["properties"].items() if schema.get("$ref") == TENSOR}
    generated = {name: value for name, value in case.body.items() if name not in tensors}
    if case.operation.definition.raw["operationId"] in ("add_batch", "compare_runs"):
        ids = {name: value for name, value in generated.items() if name in ("baseline", "candidate")}
        return {**example, **ids}
    kept = {name: value for name, value in generated.items() if zlib.crc32(name.encode()) ^ draw & 1}
    return {**kept, **example}


def examples_of(case: Case) -> list[dict[str, Any]]:
    """The examples of the body that the document gives."""
    body = case.operation.definition.raw.get("requestBody", {"content": {}})
    return [one["value"] for one in body["content"].get("application/json", {}).get("examples", {}).values()]


def inference(document: Mapping[str, Any], case: Case, draw: int) -> dict[str, Any]:
    """The example of a loss as a request of the Open Inference Protocol."""
    operation = document["paths"][f"/v1/losses/{case.path_parameters['loss']}"]["post"]
    example: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["examples"]["example1"]["value"]
    inputs = [
        {"name": name, "datatype": datatype(value), "shape": shape(value), "data": value}
        for name, value in example.items()
        if isinstance(value, list)
    ]
    scalars = {name: value for name, value in example.items() if not isinstance(value, list)}
    outputs = [{"name": name} for name in ("value", "sum", "normalizer", "count")[: draw % 5]]
    return {"inputs": inputs, "parameters": scalars, "outputs": outputs, "id": str(draw)}


def shape(value: Any) -> list[int]:
    """Of nested lists."""
    return [len(value), *shape(value[0])] if isinstance(value, list) else []


def datatype(value: Any) -> str:
    """Of nested lists."""
    while isinstance(value, list):
        value = value[0]
    return "INT64" if isinstance(value, int) else "FP32"


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether a finding is one; each rule says why it is none."""
    kind, status = type(failure).__name__, response.status_code
    if kind == "RejectedPositiveData":
        # Which shapes and fields go together is in no schema; nor are the bytes of a binary or compressed body.
        binary = case.media_type != "application/json" or any(name in (case.headers or {}) for name in OF_BYTES)
        return not (status == 422 or (status == 400 and binary))
    if kind == "AcceptedNegativeData" and isinstance(case.body, dict):
        # Decision 0006: null means that a field is not given, which the document does not repeat for each of them.
        # And what holds a whole example got it from us: schemathesis takes it for what it replaced.
        drawn = case.meta is not None and case.meta.phase.name.value in GENERATED
        whole = any(one == {name: case.body.get(name) for name in one} for one in examples_of(case))
        return not (_lacks(case.body) or (drawn and whole))
    if kind == "AllowHeaderMismatch":
        # GET of a loss is documented under the template, its POST under its name; Allow knows both.
        return not (case.path.startswith("/v1/losses/") and response.headers["allow"] == ["GET, POST"])
    if kind == "UnsupportedMethodResponse":
        return case.path != "/v1/losses/{loss}"  # for the same reason
    return True


def _lacks(value: Any) -> bool:
    """Whether a field is null, of the request or of one of its losses and metrics."""
    if isinstance(value, dict):
        return None in value.values() or any(map(_lacks, value.values()))
    return isinstance(value, list) and any(_lacks(item) for item in value if isinstance(item, dict))
