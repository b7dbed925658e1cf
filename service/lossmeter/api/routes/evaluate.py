"""`/v1/evaluate`: a batch, many losses and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lossmeter.api.addresses import EVALUATE
from lossmeter.api.models.evaluation import EXAMPLES, EvaluateAnswer, EvaluateRequest
from lossmeter.api.openapi import tensor_operation
from lossmeter.api.raw_routes import RawRoute
from lossmeter.api.resources import Resources


def router(resources: Resources) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(tags=["evaluation"])

    async def evaluate_batch() -> Response:
        """Every loss and metric with its uncertainty, the same per slice, the hardest samples, and whether the gates hold.

        Losses are means over what counts, as `POST /v1/losses/{loss}` computes them. Where `losses` or `metrics` are left out,
        they are the usual ones of the task.
        """
        raise AssertionError("its raw route answers")

    examples = {name: {"summary": name, "value": value} for name, value in EXAMPLES.items()}
    declared = tensor_operation(
        "evaluate",
        "A batch: many losses and metrics, with confidence, slices and gates",
        EvaluateRequest.__name__,
        EvaluateAnswer.__name__,
        examples,
        "Everything that follows from the batch.",
        404,
    )
    answer = resources.endpoints[EVALUATE]
    routes.routes.append(RawRoute(EVALUATE, evaluate_batch, answer, methods=["POST"], tags=routes.tags, **declared))
    return routes
