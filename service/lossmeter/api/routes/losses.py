"""`/v1/losses`: the catalogue, and one operation for each loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp

from lossmeter.api import schemas
from lossmeter.api.admission import Ticket
from lossmeter.api.body import Body
from lossmeter.api.catalogue import LossEntry, LossList, loss_entry
from lossmeter.api.formats import Format
from lossmeter.api.openapi import error_answers, operation
from lossmeter.api.tensor_routes import Limits, Pieces, Stages, TensorEndpoint, TensorRoute, Work, timed
from lossmeter.engine import Engine, Outcome
from lossmeter.losses import LOSSES, Loss, find

PATH = "/v1/losses"


def router(engine: Engine, limits: Limits, max_elements: int) -> tuple[APIRouter, dict[str, ASGIApp]]:
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
        endpoint = TensorEndpoint(_work(loss, engine, max_elements), limits)
        routes.routes.append(
            TensorRoute(
                f"{PATH}/{loss.name}",
                _documented(loss, endpoint),
                methods=["POST"],
                tags=routes.tags,
                **operation(loss),
            )
        )
        for name in (loss.name, *loss.aliases):
            express[f"{PATH}/{name}"] = endpoint

    @routes.post(PATH + "/{loss}", include_in_schema=False)
    async def unknown_loss(loss: str) -> Response:
        find(loss)
        raise AssertionError("every loss that exists has a route of its own")

    return routes, express


def _documented(loss: Loss, endpoint: TensorEndpoint) -> Callable[..., Any]:
    async def compute_loss() -> Response:
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    compute_loss.__doc__ = (
        f"{loss.explanation}\n\n$${loss.formula}$$\n\n**Use when** {loss.use_when}\n\n**Avoid when** {loss.avoid_when}"
    )
    compute_loss.tensor_endpoint = endpoint  # type: ignore[attr-defined]
    return compute_loss


def _work(loss: Loss, engine: Engine, max_elements: int) -> Work:
    names = schemas.tensor_names(loss)

    def work(body: Body, reader: Format, writer: Format, ticket: Ticket) -> tuple[Pieces, Stages]:
        base64 = False

        def decode() -> Any:
            nonlocal base64
            call, base64, elements = schemas.call_of(loss, reader.decode(body.take(), names), max_elements)
            ticket.grow(elements=elements)
            return call

        def compute(call: Any) -> dict[str, Any]:
            return answer(loss, call.reduction, call.precision, engine.compute(call))

        return timed(decode, compute, lambda fields: writer.encode(fields, base64=base64))

    return work


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
