"""The OpenAPI document: FastAPI's own, with the models of the tensor routes put in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import lossmeter
from lossmeter.api import problems
from lossmeter.api.evaluation import EvaluateAnswer, EvaluateRequest
from lossmeter.api.inference import InferAnswer, InferError, InferRequest
from lossmeter.api.runs import BatchAnswer, BatchRequest, Comparison, ComparisonRequest, RunReport, RunRequest, RunState
from lossmeter.api.schemas import LossAnswer, request_model
from lossmeter.losses import LOSSES, Loss
from lossmeter.wire import safetensors

HEADER_LENGTH = "Inference-Header-Content-Length"
REF = "#/components/schemas/{model}"

NUMBERS: dict[str, Any] = {
    "description": "A number, true, false, or nested arrays of them: rectangular, finite, in the dtype of their role.",
    "oneOf": [
        {"type": "number", "format": "double"},
        {"type": "boolean"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Numbers"}},
    ],
}
TENSOR_OBJECT: dict[str, Any] = {
    "description": "A tensor with its datatype and shape; exactly one of `data` and `base64`.",
    "type": "object",
    "required": ["datatype", "shape"],
    "additionalProperties": False,
    "properties": {
        "datatype": {
            "type": "string",
            "enum": ["BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"],
            "description": "Of the Open Inference Protocol v2; FP16 and BF16 in base64 only.",
        },
        "shape": {"type": "array", "items": {"type": "integer", "format": "int64", "minimum": 0}},
        "data": {
            "$ref": "#/components/schemas/Numbers",
            "description": "Flat or nested, row-major.",
        },
        "base64": {"type": "string", "contentEncoding": "base64", "description": "Little-endian, row-major bytes."},
    },
}
TENSOR_ANSWER: dict[str, Any] = {
    "description": "A tensor of an answer, with its datatype and shape; exactly one of `data` and `base64`.",
    "type": "object",
    "required": ["datatype", "shape"],
    "properties": {
        "datatype": TENSOR_OBJECT["properties"]["datatype"] | {"description": "Of the Open Inference Protocol v2."},
        "shape": TENSOR_OBJECT["properties"]["shape"],
        "data": {
            "type": "array",
            "items": {"type": ["number", "null"], "format": "double"},
            "description": "Flat, row-major; null where not finite.",
        },
        "base64": TENSOR_OBJECT["properties"]["base64"],
    },
}
TENSOR: dict[str, Any] = {
    "description": "A tensor: nested arrays of numbers, or an object that states datatype and shape.",
    "anyOf": [{"$ref": "#/components/schemas/TensorObject"}, {"$ref": "#/components/schemas/Numbers"}],
}

SAFETENSORS: dict[str, Any] = {
    safetensors.MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "A safetensors file. Tensors of a request stand under the names of their roles, those of an "
            "answer under `values` and `gradients.<role>`; all else is JSON text, in `__metadata__` under `request` or "
            "`response`.",
        }
    }
}

ERRORS = {
    400: "The body is not the format that it claims to be.",
    404: "There is nothing of that name.",
    406: "No acceptable format can be produced.",
    409: "The request contradicts what is there.",
    413: "The request is over a limit of this server.",
    415: "The format of the body is not supported.",
    422: "The request is well-formed but not valid; `errors` names every offending place.",
    503: "No room, or no database, at present; `Retry-After` says when to try again.",
    507: "The request does not fit into the memory of the device.",
}


def error_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declaration of error answers with their model."""
    media = {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
    return {status: {"description": ERRORS[status], "content": media} for status in statuses}


def plain_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declaration of error answers of the Open Inference Protocol."""
    media = {"application/json": {"schema": {"$ref": REF.format(model="InferError")}}}
    return {status: {"description": ERRORS[status], "content": media} for status in statuses}


def infer_operation(operation_id: str) -> dict[str, Any]:
    """What a route declares that speaks the Open Inference Protocol."""
    length: dict[str, Any] = {
        "description": "Bytes of JSON at the beginning of the body, where the bytes of tensors follow it.",
        "schema": {"type": "integer", "format": "int64", "minimum": 0},
    }
    binary = {
        "application/octet-stream": {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": "JSON of the same form, and behind it the bytes of the tensors that state "
                "`binary_data_size`, little-endian and row-major, in the order of the JSON.",
            }
        }
    }
    encoding = {
        "name": "Content-Encoding",
        "in": "header",
        "schema": {"type": "string", "enum": ["identity", "gzip", "deflate"]},
    }
    answer = {"application/json": {"schema": {"$ref": REF.format(model="InferAnswer")}}, **binary}
    return {
        "operation_id": operation_id,
        "summary": "A loss and its gradients",
        "openapi_extra": {
            "parameters": [{"name": HEADER_LENGTH, "in": "header"} | length, encoding],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": REF.format(model="InferRequest")}}, **binary},
            },
        },
        "responses": {
            200: {
                "description": "The outputs that were asked for.",
                "headers": {HEADER_LENGTH: length},
                "content": answer,
            },
            **plain_errors(400, 404, 413, 415, 422, 503, 507),
        },
    }


def operation(loss: Loss) -> dict[str, Any]:
    """What the route of one loss declares."""
    examples = {
        f"example{number}": {"summary": f"value is {example.value:g}", "value": example.request}
        for number, example in enumerate(loss.examples, 1)
    }
    described = "The loss and the gradients that were asked for."
    request = request_model(loss).__name__
    return tensor_operation(f"compute_{loss.name}", loss.summary, request, "LossAnswer", examples, described)


def tensor_operation(
    operation_id: str, summary: str, request: str, answer: str, examples: dict[str, Any], described: str, *more: int
) -> dict[str, Any]:
    """What a route that carries tensors declares, given the names of its models, and statuses that others do not have."""
    schema = {"$ref": REF.format(model=request)}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "examples": examples}, **SAFETENSORS},
            }
        },
        "responses": {
            200: {
                "description": described,
                "content": {"application/json": {"schema": {"$ref": REF.format(model=answer)}}, **SAFETENSORS},
            },
            **error_answers(*sorted({400, 406, 413, 415, 422, 503, 507, *more})),
        },
    }


ANSWERS: tuple[type[BaseModel], ...] = (
    *(LossAnswer, EvaluateAnswer, problems.Problem),
    *(RunReport, RunState, BatchAnswer, Comparison),
    *(InferAnswer, InferError),
)


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document (OpenAPI 3.1)."""
    whole = get_openapi(
        title="lossmeter",
        version=lossmeter.__version__,
        summary="Losses, gradients and evaluation metrics as a service.",
        description="Post predictions and labels, get what PyTorch would have computed in process.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[
            {"name": "losses", "description": "The catalogue of losses, and one operation for each."},
            {"name": "metrics", "description": "The catalogue of metrics."},
            {
                "name": "evaluation",
                "description": "Many losses and metrics at once, with confidence, slices and gates.",
            },
            {"name": "open inference", "description": "The losses as models of the Open Inference Protocol v2."},
            {
                "name": "runs",
                "description": "Evaluations in many batches that survive every process, and two compared.",
            },
            {"name": "service", "description": "Health."},
        ],
        routes=app.routes,
    )
    requests: list[type[BaseModel]] = [
        *(request_model(loss) for loss in LOSSES.values()),
        *(EvaluateRequest, RunRequest, BatchRequest, ComparisonRequest, InferRequest),
    ]
    _, requests_schema = models_json_schema([(model, "validation") for model in requests], ref_template=REF)
    _, answers_schema = models_json_schema([(answer, "serialization") for answer in ANSWERS], ref_template=REF)
    schemas: dict[str, Any] = whole["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _drop_unused_answers(whole["paths"])
    for part in (requests_schema["$defs"], answers_schema["$defs"]):
        schemas.update(part)
    schemas |= {"Numbers": NUMBERS, "Tensor": TENSOR, "TensorObject": TENSOR_OBJECT, "TensorAnswer": TENSOR_ANSWER}
    answer = schemas["LossAnswer"]
    answer["required"] = [name for name in answer["required"] if name not in ("value", "values")]
    answer["properties"]["values"] = {"$ref": REF.format(model="TensorAnswer")}
    schemas["InferInput"]["properties"]["data"] = {"$ref": REF.format(model="Numbers")}
    schemas["InferAnswer"]["required"] = ["model_name", "model_version", "outputs"]
    schemas["InferOutput"]["required"] = ["name", "datatype", "shape"]
    for name in ("LossAnswer", "ObjectiveAnswer"):
        gradients = schemas[name]["properties"]["gradients"]
        gradients["additionalProperties"] = {"$ref": REF.format(model="TensorAnswer")}
    for schema in schemas.values():
        _tidy(schema)
    whole["components"]["schemas"] = dict(sorted(schemas.items()))
    return whole


def _drop_unused_answers(paths: dict[str, Any]) -> None:
    """Takes out what FastAPI says of parameters that it would refuse: here they are text, and our own answers refuse."""
    for path in paths.values():
        for one in path.values():
            refusal = one["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if refusal.get("$ref") == REF.format(model="HTTPValidationError"):
                del one["responses"]["422"]


def _tidy(schema: Any) -> None:
    """Says the same in the form that generators of clients understand best."""
    if isinstance(schema, list):
        for item in schema:
            _tidy(item)
        return
    if not isinstance(schema, dict):
        return
    if schema.pop("x-tensor", False):
        schema.pop("title", None)
        schema["$ref"] = REF.format(model="Tensor")
    if schema.get("default", ...) is None:
        del schema["default"]
    options = schema.get("anyOf", [])
    kept: dict[str, Any] = next((option for option in options if option != {"type": "null"}), {})
    if {"type": "null"} in options and len(options) == 2 and "type" in kept:
        del schema["anyOf"]
        schema |= kept
        schema["type"] = [kept["type"], "null"]
    if "number" in schema.get("type", ()) and isinstance(schema.get("type"), str | list):
        schema.setdefault("format", "double")
    for item in list(schema.values()):
        _tidy(item)
