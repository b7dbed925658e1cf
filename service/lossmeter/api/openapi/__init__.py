"""The OpenAPI document: FastAPI's own, with the models of the tensor routes put in.

`operations` is what routes declare of themselves, `answers` what goes wrong, `access` what a call must show, `components` and
`choices` the schemas that no pydantic model stands for, `plain` how a schema is said so that generators understand it, and
`document` the whole.
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
