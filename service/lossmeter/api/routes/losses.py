"""`/v1/losses`: the catalogue, and one operation for each loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api.messages import formats
from lossmeter.api.messages.body import Body
from lossmeter.api.messages.formats import Format
from lossmeter.api.models import schemas
from lossmeter.api.models.catalogue import LossEntry, LossList, loss_entry
from lossmeter.api.openapi import error_answers, operation
from lossmeter.api.tensor_routes import Asked, Pieces, TensorRoute, computed, send_answer
from lossmeter.engine import Outcome
from lossmeter.losses import LOSSES, Loss, find
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher

PATH = "/v1/losses"


def router(batcher: MicroBatcher, limits: Limits, max_elements: int) -> tuple[APIRouter, dict[str, ASGIApp]]:
    """The routes, and the table of those that the express way leads to."""
    routes = APIRouter(tags=["losses"])
    express: dict[str, ASGIApp] = {}

    @routes.get(PATH, operation_id="list_losses", summary="All losses")
    async def list_losses() -> LossList:
        """Every loss with its formula, roles, parameters, application scenarios, source and a request that works."""
        return LossList(losses=[loss_entry(loss) for loss in LOSSES.values()])

    @routes.get(
        PATH + "/{loss}",
        operation_id="describe_loss",
        summary="One loss: formula, roles, when to use it",
        responses=error_answers(404),
    )
    async def describe_loss(loss: str) -> LossEntry:
        """What there is to know of a loss, with a request that works when posted as it stands."""
        return loss_entry(find(loss))

    for loss in LOSSES.values():
        endpoint = LossEndpoint(loss, batcher, limits, max_elements)
        documented = {"methods": ["POST"], "tags": routes.tags, **operation(loss)}
        routes.routes.append(TensorRoute(f"{PATH}/{loss.name}", _documented(loss, endpoint), **documented))
        for name in (loss.name, *loss.aliases):
            express[f"{PATH}/{name}"] = endpoint

    @routes.post(PATH + "/{loss}", include_in_schema=False)
    async def unknown_loss(loss: str) -> Response:
        find(loss)
        raise AssertionError("every loss that exists has a route of its own")

    return routes, express


def _documented(loss: Loss, endpoint: LossEndpoint) -> Callable[..., Any]:
    async def compute_loss() -> Response:
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    compute_loss.__doc__ = (
        f"{loss.explanation}\n\n$${loss.formula}$$\n\n**Use when** {loss.use_when}\n\n**Avoid when** {loss.avoid_when}"
    )
    compute_loss.tensor_endpoint = endpoint  # type: ignore[attr-defined]
    return compute_loss


class LossEndpoint:
    """ASGI application that computes one loss."""

    def __init__(self, loss: Loss, batcher: MicroBatcher, limits: Limits, max_elements: int) -> None:
        self.loss = loss
        self.batcher = batcher
        self.limits = limits
        self.max_elements = max_elements
        self.names = schemas.tensor_names(loss)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = formats.of_request(scope)
        writer = formats.of_answer(scope)
        pieces = await computed(scope, receive, self.limits, self.batcher, self.decode, reader, writer)
        await send_answer(scope, send, self.limits, pieces, writer)

    def decode(self, body: Body, reader: Format, writer: Format) -> Asked[Pieces]:
        """What a body asks for."""
        given = reader.decode(body.take(), self.names)
        call, base64, elements = schemas.call_of(self.loss, given, self.max_elements)
        loss, reduction, precision = call.loss, call.reduction, call.precision

        def encoded(outcome: Outcome) -> Pieces:
            return writer.encode(answer(loss, reduction, precision, outcome), base64=base64)

        return Asked(call, elements, encoded)


def answer(loss: Loss, reduction: str, precision: str, outcome: Outcome) -> dict[str, Any]:
    """The fields of the answer, in the order in which they are written."""
    result: dict[str, Any] = {"loss": loss.name, "reduction": reduction}
    if outcome.values is None:
        result["value"] = outcome.value
    else:
        result["values"] = outcome.values
    result["sum"] = outcome.sum
    result["normalizer"] = outcome.normalizer
    result["count"] = outcome.count
    result["gradients"] = outcome.gradients
    result["precision"] = precision
    result["device"] = outcome.device
    result["warnings"] = [
        {"code": w.code, "message": w.message, "pointer": w.pointer, "index": w.index, "value": w.value}
        for w in outcome.warnings
    ]
    return result
