"""`/v1/objectives`: a weighted sum of losses."""

from __future__ import annotations

from fastapi import APIRouter

from lossmeter.api.addresses import OBJECTIVES
from lossmeter.api.models.objectives import ObjectiveRequest, ObjectiveResult
from lossmeter.api.openapi.operations import SAFETENSORS, request_body, tensor_answer
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources

DESCRIPTION = """\
Tensors stand beside `losses`, under the names of roles: every term takes those that its loss has. What a term has of its own
stands in it, or under its `parameters`.

The answer has the sum of weight times value, the gradients of the sum, and for each term its value and the norm of its
gradient, both without the weight: what to look at where one term drowns another."""

EXAMPLE = {
    "losses": [
        {"loss": "dice", "weight": 0.5},
        {"loss": "cross_entropy", "label_smoothing": 0.1, "parameters": {"weight": [1.0, 2.0]}},
    ],
    "predictions": [[[2.0, -1.0], [0.3, 0.4]]],
    "labels": [[0, 1]],
    "gradients": ["predictions"],
}


def router(resources: Resources) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(tags=["losses"])
    add_raw_route(
        routes,
        "POST",
        OBJECTIVES,
        resources.endpoints[OBJECTIVES],
        operation_id="objective",
        summary="A weighted sum of losses, and its gradients",
        description=DESCRIPTION,
        openapi_extra=request_body(
            ObjectiveRequest.__name__, {"two": {"summary": "two terms", "value": EXAMPLE}}, SAFETENSORS
        ),
        responses={200: tensor_answer(ObjectiveResult.__name__, "The sum, its gradients, and each term by itself.")},
    )
    return routes
