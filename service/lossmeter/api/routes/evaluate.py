"""`/v1/evaluate`: a batch, many losses and metrics."""

from __future__ import annotations

from fastapi import APIRouter

from lossmeter.api.addresses import EVALUATE
from lossmeter.api.models.evaluation import EXAMPLES, EvaluateAnswer, EvaluateRequest
from lossmeter.api.models.tables import PARAMETERS
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.operations import REPORTS, SAFETENSORS, TABLES, request_body, tensor_answer
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources

DESCRIPTION = """\
Every loss and metric with its uncertainty, the same per slice, the hardest samples, and whether the gates hold.

Losses are means over what counts, as `POST /v1/losses/{loss}` computes them. Where `losses` or `metrics` are left out,
they are the usual ones of the task.

The body may also be a file, whose plan is in the query: CSV, Parquet, an Arrow stream, NPZ, JSON Lines."""


def router(resources: Resources) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(tags=["evaluation"])
    examples = {name: {"summary": name, "value": value} for name, value in EXAMPLES.items()}
    add_raw_route(
        routes,
        "POST",
        EVALUATE,
        resources.endpoints[EVALUATE],
        operation_id="evaluate",
        summary="A batch: many losses and metrics, with confidence, slices and gates",
        description=DESCRIPTION,
        openapi_extra={
            "parameters": PARAMETERS,
            **request_body(EvaluateRequest.__name__, examples, SAFETENSORS | TABLES),
        },
        responses={
            200: tensor_answer(EvaluateAnswer.__name__, "Everything that follows from the batch.", REPORTS),
            **error_answers(404),
        },
    )
    return routes
