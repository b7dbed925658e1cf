"""`/v1/losses`: the catalogue, and one operation for each loss."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lossmeter.api.addresses import LOSSES as PATH
from lossmeter.api.models.catalogue import LossEntry, LossList, loss_entry
from lossmeter.api.openapi import error_answers, operation
from lossmeter.api.raw_routes import Documented, RawRoute
from lossmeter.api.resources import Resources
from lossmeter.losses import LOSSES, Loss, find


def router(resources: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["losses"])

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
        documented = {"methods": ["POST"], "tags": routes.tags, **operation(loss)}
        path = f"{PATH}/{loss.name}"
        routes.routes.append(RawRoute(path, _document(loss), resources.endpoints[path], **documented))

    @routes.post(PATH + "/{loss}", include_in_schema=False)
    async def unknown_loss(loss: str) -> Response:
        find(loss)
        raise AssertionError("every loss that exists has a route of its own")

    return routes


def _document(loss: Loss) -> Documented:
    async def compute_loss() -> Response:
        raise AssertionError("its raw route answers")

    compute_loss.__doc__ = (
        f"{loss.explanation}\n\n$${loss.formula}$$\n\n**Use when** {loss.use_when}\n\n**Avoid when** {loss.avoid_when}"
    )
    return compute_loss
