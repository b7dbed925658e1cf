"""Declares routes for the document."""

from __future__ import annotations

from typing import Any

from lossmeter.api.models.schemas import request_model
from lossmeter.api.openapi.answers import error_answers, response_ref
from lossmeter.api.openapi.components import ref
from lossmeter.api.openapi.formulas import plain_formula
from lossmeter.api.report_formats import OF_COMPARISON, PAGES
from lossmeter.losses import Loss
from lossmeter.wire import safetensors
from lossmeter.wire.tables import MEDIA_TYPES

HEADER_LENGTH = "Inference-Header-Content-Length"

SAFETENSORS: dict[str, Any] = {safetensors.MEDIA_TYPE: {"schema": ref("Safetensors")}}

TABLES: dict[str, Any] = {
    media_type: {"schema": ref("Table" if media_type.startswith("text/") else "BinaryTable")}
    for media_type in MEDIA_TYPES
}
REPORTS: dict[str, Any] = {media_type: {"schema": ref("ReportText")} for media_type in PAGES}
COMPARED: dict[str, Any] = {media_type: REPORTS[media_type] for media_type in OF_COMPARISON if media_type in REPORTS}

INFER: dict[str, Any] = {
    "inputs": [
        {"name": "predictions", "datatype": "FP32", "shape": [2], "data": [2.5, 0.0]},
        {"name": "labels", "datatype": "FP32", "shape": [2], "data": [3.0, -0.5]},
    ],
    "parameters": {"reduction": "sum"},
    "outputs": [{"name": "value"}, {"name": "gradient_predictions"}],
}
"""A request that every server answers, here of `mse`."""


LENGTH: dict[str, Any] = {
    "description": "Bytes of JSON at the beginning of the body, where the bytes of tensors follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
ENCODING: dict[str, Any] = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed.",
    "schema": {"type": "string", "enum": ["identity", "gzip", "deflate"]},
}
BINARY: dict[str, Any] = {"application/octet-stream": {"schema": ref("InferBytes")}}


def json_content(model: str, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    """Declares a body of JSON, by the name of its model."""
    schema: dict[str, Any] = {"schema": ref(model)}
    return {"application/json": schema if examples is None else schema | {"examples": examples}}


def request_body(model: str, examples: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Declares the body of a request, which may come in `more` media types than JSON."""
    return {"requestBody": {"required": True, "content": json_content(model, examples) | (more or {})}}


def infer_operation(operation_id: str) -> dict[str, Any]:
    """Declares a route that speaks the Open Inference Protocol."""
    examples = {"mse": {"summary": "mse with its gradient", "value": INFER}}
    parameters = [{"name": HEADER_LENGTH, "in": "header"} | LENGTH, ENCODING]
    answer = {
        "description": "The outputs that were asked for.",
        "headers": {HEADER_LENGTH: LENGTH},
        "content": json_content("InferAnswer") | BINARY,
    }
    return {
        "operation_id": operation_id,
        "summary": "A loss and its gradients",
        "openapi_extra": {"parameters": parameters, **request_body("InferRequest", examples, BINARY)},
        "responses": {200: answer, **error_answers(404, 409, plain=True)},
    }


def loss_operation(loss: Loss) -> dict[str, Any]:
    """Declares the route of one loss; the catalogue, to which it leads, says more."""
    return {
        "operation_id": loss.name,
        "summary": loss.summary,
        "description": f"`{plain_formula(loss.formula)}`\n\n[More](./#/{loss.name})",
        "openapi_extra": request_body(
            request_model(loss).__name__, {"example1": {"value": loss.examples[0].request}}, SAFETENSORS
        ),
        "responses": {200: response_ref("LossAnswer")},
    }


def tensor_answer(model: str, description: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Declares the answer of a route that carries tensors, by the name of its model.

    Args:
        more: media types besides JSON and safetensors.
    """
    return {"description": description, "content": json_content(model) | SAFETENSORS | (more or {})}


LOSS_ANSWER = tensor_answer("LossAnswer", "The loss and the gradients that were asked for.")
