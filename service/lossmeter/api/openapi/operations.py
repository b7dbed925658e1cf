"""Declares routes for the document."""

from __future__ import annotations

from typing import Any

from lossmeter.api.models.schemas import request_model
from lossmeter.api.openapi.answers import error_answers, plain_errors
from lossmeter.api.openapi.components import REF
from lossmeter.losses import Loss
from lossmeter.wire import safetensors

HEADER_LENGTH = "Inference-Header-Content-Length"

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

INFER: dict[str, Any] = {
    "inputs": [
        {"name": "predictions", "datatype": "FP32", "shape": [2], "data": [2.5, 0.0]},
        {"name": "labels", "datatype": "FP32", "shape": [2], "data": [3.0, -0.5]},
    ],
    "parameters": {"reduction": "sum"},
    "outputs": [{"name": "value"}, {"name": "gradient_predictions"}],
}
"""A request that every server answers, here of `mse`."""


def infer_operation(operation_id: str) -> dict[str, Any]:
    """Returns the declaration of a route that speaks the Open Inference Protocol."""
    length: dict[str, Any] = {
        "description": "Bytes of JSON at the beginning of the body, where the bytes of tensors follow it.",
        "schema": {"type": "integer", "minimum": 0},
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
        "description": "How the body is compressed.",
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
                "content": {
                    "application/json": {
                        "schema": {"$ref": REF.format(model="InferRequest")},
                        "examples": {"mse": {"summary": "mse with its gradient", "value": INFER}},
                    },
                    **binary,
                },
            },
        },
        "responses": {
            200: {
                "description": "The outputs that were asked for.",
                "headers": {HEADER_LENGTH: length},
                "content": answer,
            },
            **plain_errors(400, 404, 409, 413, 415, 422, 503, 507),
        },
    }


def operation(loss: Loss) -> dict[str, Any]:
    """Returns the declaration of the route of one loss."""
    examples = {
        f"example{number}": {"summary": f"value is {example.value:g}", "value": example.request}
        for number, example in enumerate(loss.examples, 1)
    }
    described = "The loss and the gradients that were asked for."
    request = request_model(loss).__name__
    return tensor_operation(loss.name, loss.summary, request, "LossAnswer", examples, described)


def tensor_operation(
    operation_id: str, summary: str, request: str, answer: str, examples: dict[str, Any], described: str, *more: int
) -> dict[str, Any]:
    """Returns the declaration of a route that carries tensors, by the names of its models, with further statuses."""
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
