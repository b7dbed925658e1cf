"""The OpenAPI document: FastAPI's own, with the models of the tensor routes put in.

`operations` declares routes, `answers` errors, `access` keys; `components` and `choices` hold the schemas that no pydantic
model stands for, `plain` writes schemas so that generators understand them, and `document` puts the whole together.
"""

from __future__ import annotations

from lossmeter.api.openapi.answers import ERRORS, error_answers, plain_errors
from lossmeter.api.openapi.components import REF
from lossmeter.api.openapi.document import document
from lossmeter.api.openapi.operations import SAFETENSORS, infer_operation, operation, tensor_operation

__all__ = [
    "ERRORS",
    "REF",
    "SAFETENSORS",
    "document",
    "error_answers",
    "infer_operation",
    "operation",
    "plain_errors",
    "tensor_operation",
]
