"""`/v1/losses`: the catalogue, and one operation for each loss."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from lossmeter.api.addresses import CUSTOM
from lossmeter.api.addresses import LOSSES as PATH
from lossmeter.api.endpoints import Endpoint
from lossmeter.api.languages import Language, in_languages
from lossmeter.api.lasting import lasting_answer
from lossmeter.api.models.catalogue import chosen_entry, loss_entry
from lossmeter.api.models.loss_entries import LossEntry, LossList
from lossmeter.api.models.vectors import Vectors, vectors_of
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.components import ref
from lossmeter.api.openapi.operations import SAFETENSORS, loss_operation, request_body, tensor_answer
from lossmeter.api.operations.losses import ComputeLoss
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources
from lossmeter.catalogue.choosing import MAX_QUERY
from lossmeter.errors import Invalid, pointer
from lossmeter.losses import LOSSES, find
from lossmeter.losses.choosing import choose

CUSTOM_DESCRIPTION = """\
A graph of operations as torch.fx records it: its placeholders are the names of tensors beside `graph`, its output is the
unreduced loss, its targets are on a list of pure operations. All that every loss takes, this one takes too.

Nested arrays of numbers are floating; integers come as tensors with the datatype INT64."""

CUSTOM_EXAMPLE = {
    "summary": "(x - y)², thrice where x is too small",
    "value": {
        "graph": {
            "format": 1,
            "nodes": [
                {"op": "placeholder", "name": "x", "target": "predictions"},
                {"op": "placeholder", "name": "y", "target": "labels"},
                {"op": "call_function", "name": "d", "target": "operator.sub", "args": [{"ref": "x"}, {"ref": "y"}]},
                {"op": "call_function", "name": "s", "target": "torch.square", "args": [{"ref": "d"}]},
                {"op": "call_function", "name": "low", "target": "operator.lt", "args": [{"ref": "d"}, 0]},
                {"op": "call_function", "name": "t", "target": "operator.mul", "args": [{"ref": "s"}, 3.0]},
                {
                    "op": "call_function",
                    "name": "loss",
                    "target": "torch.where",
                    "args": [{"ref": "low"}, {"ref": "t"}, {"ref": "s"}],
                },
                {"op": "output", "name": "output", "target": "output", "args": [{"ref": "loss"}]},
            ],
        },
        "predictions": [1.0, 3.0],
        "labels": [2.0, 1.0],
        "gradients": ["predictions"],
    },
}


CHOOSING: list[dict[str, Any]] = [
    {
        "name": "task",
        "in": "query",
        "description": "What is predicted.",
        "schema": ref("LossTask"),
    },
    {
        "name": "situation",
        "in": "query",
        "description": "What is known of the data, or wanted of the model.",
        "schema": ref("Situation"),
    },
    {
        "name": "query",
        "in": "query",
        "description": "Words of names (those of other libraries too), summaries and uses, in English or Chinese.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_QUERY},
        "example": "rare classes",
    },
]
"""The parameters by which losses are chosen."""


def router(resources: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["losses"])

    @routes.get(
        PATH,
        operation_id="list_losses",
        summary="All losses, or those for a task, a situation, or words",
        response_model=LossList,
        **in_languages(parameters=CHOOSING),
    )
    async def list_losses(request: Request, language: Language) -> Response:
        """Every loss with its formula, roles, parameters, application scenarios, source and a request that works.

        With parameters, only the losses that fit all of them, the best first, each with the reason in `choice`.
        """
        if not request.query_params:
            return lasting_answer(request, _listed(language), language)
        content = await run_in_threadpool(_chosen, request.query_params, language)
        headers = {"Vary": "Accept-Language", "Content-Language": language}
        return Response(content, headers=headers, media_type="application/json")

    @routes.get(
        PATH + "/{loss}",
        operation_id="describe_loss",
        summary="One loss: formula, roles, when to use it",
        response_model_exclude_unset=True,
        **in_languages(404),
    )
    async def describe_loss(loss: str, language: Language) -> LossEntry:
        """Returns all that there is to know of a loss, with a request that works when posted as it stands."""
        return loss_entry(find(loss), language)

    @routes.get(
        PATH + "/{loss}/vectors",
        operation_id="loss_vectors",
        summary="Reference vectors of one loss, for other implementations",
        response_model=Vectors,
        responses=error_answers(404),
    )
    async def loss_vectors(loss: str) -> Response:
        """Inputs, parameters, values and gradients in float64, from references that are independent of the service."""
        return Response(vectors_of(find(loss)), media_type="application/json")

    add_raw_route(
        routes,
        "POST",
        CUSTOM,
        resources.endpoints[CUSTOM],
        operation_id="custom",
        summary="A loss that the client brings as data",
        description=CUSTOM_DESCRIPTION,
        openapi_extra=request_body("CustomRequest", {"asymmetric": CUSTOM_EXAMPLE}, SAFETENSORS),
        responses={200: tensor_answer("CustomAnswer", "The loss and the gradients that were asked for.")},
    )
    for loss in LOSSES.values():
        path = f"{PATH}/{loss.name}"
        add_raw_route(routes, "POST", path, resources.endpoints[path], **loss_operation(loss))

    async def other_spelling(scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for a name that is spelled as another library does, such as `MSELoss`."""
        requested = scope["path_params"]["loss"]
        endpoint = resources.endpoints[f"{PATH}/{find(requested).name}"]
        assert isinstance(endpoint.operation, ComputeLoss)
        operation = endpoint.operation.called(requested)
        await Endpoint(operation, endpoint.limits)(scope, receive, send)

    add_raw_route(routes, "POST", PATH + "/{loss}", other_spelling, include_in_schema=False)
    return routes


@cache
def _listed(language: str) -> bytes:
    return _encoded([loss_entry(loss, language) for loss in LOSSES.values()])


def _chosen(asked: QueryParams, language: str) -> bytes:
    """Answers with the losses that fit.

    Raises:
        Invalid: a parameter that is none, is there twice, or whose value is none.
    """
    known = [parameter["name"] for parameter in CHOOSING]
    for name, value in asked.multi_items():
        if name not in known:
            message = f"there is no parameter {name!r}; expected {', '.join(known)}"
            raise Invalid.at("losses", pointer(name), message)
        if len(asked.getlist(name)) > 1:
            raise Invalid.at("losses", pointer(name), f"{name} is {value!r} and {asked[name]!r}; expected one of them")
    chosen = choose(asked.get("task"), asked.get("situation"), asked.get("query"), language)
    return _encoded([chosen_entry(one, language) for one in chosen])


def _encoded(entries: list[LossEntry]) -> bytes:
    return LossList(losses=entries).model_dump_json(exclude_unset=True).encode()
