"""`/v1/evaluate`: a batch, many losses and metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp

from lossmeter.api.messages.body import Body
from lossmeter.api.messages.formats import Format
from lossmeter.api.models.evaluation import EXAMPLES, TENSORS, EvaluateAnswer, EvaluateRequest, request_of
from lossmeter.api.openapi import tensor_operation
from lossmeter.api.tensor_routes import Pieces, TensorEndpoint, TensorRoute, timed
from lossmeter.engine import Engine
from lossmeter.evaluation import evaluate
from lossmeter.scheduling.admission import Reservation
from lossmeter.scheduling.limits import Limits
from lossmeter.telemetry.request import Stages

PATH = "/v1/evaluate"


def router(engine: Engine, limits: Limits, max_elements: int) -> tuple[APIRouter, dict[str, ASGIApp]]:
    """The route, and the table by which the express way leads to it."""
    routes = APIRouter(tags=["evaluation"])

    def work(body: Body, reader: Format, writer: Format, ticket: Reservation) -> tuple[Pieces, Stages]:
        base64 = False

        def decode() -> Any:
            nonlocal base64
            plan, data, wanted, base64, elements = request_of(reader.decode(body.take(), TENSORS), max_elements)
            ticket.grow(elements=elements)
            return plan, data, wanted

        def compute(decoded: Any) -> dict[str, Any]:
            found = evaluate(*decoded, engine=engine)
            ticket.warnings = [warned["code"] for warned in found["warnings"]]
            return found

        return timed(decode, compute, lambda fields: writer.encode(fields, base64=base64))

    endpoint = TensorEndpoint(work, limits)

    async def evaluate_batch() -> Response:
        """Every loss and metric with its uncertainty, the same per slice, the hardest samples, and whether the gates hold.

        Losses are means over what counts, as `POST /v1/losses/{loss}` computes them. Where `losses` or `metrics` are left out,
        they are the usual ones of the task.
        """
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    evaluate_batch.tensor_endpoint = endpoint  # type: ignore[attr-defined]
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
    routes.routes.append(TensorRoute(PATH, evaluate_batch, methods=["POST"], tags=routes.tags, **declared))
    return routes, {PATH: endpoint}
