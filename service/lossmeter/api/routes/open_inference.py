"""`/v2`: the losses as models of the Open Inference Protocol."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from lossmeter.api import addresses
from lossmeter.api.addresses import MODEL, OPEN_INFERENCE
from lossmeter.api.addresses import MODEL_VERSION as VERSION
from lossmeter.api.models import inference
from lossmeter.api.models.inference import Live, ModelMetadata, ModelReady, Ready, ServerMetadata
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.operations import infer_operation
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources
from lossmeter.api.shared_memory import Sharing
from lossmeter.losses import find
from lossmeter.telemetry.readiness import Readiness


def router(resources: Resources) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(tags=["open inference"])
    _add_server(routes, resources.readiness, resources.sharing)
    _add_models(routes)
    _add_infer(routes, resources)
    return routes


def _add_server(routes: APIRouter, readiness: Readiness, sharing: Sharing) -> None:
    @routes.get(OPEN_INFERENCE, operation_id="server_metadata", summary="The server and the extensions it speaks")
    async def server_metadata(request: Request) -> ServerMetadata:
        """Name and version of the server, and the extensions of the protocol that it speaks."""
        return inference.server_metadata(sharing.extensions(request.scope))

    @routes.get(OPEN_INFERENCE + "/health/live", operation_id="server_live", summary="Whether the server is alive")
    async def server_live() -> Live:
        """Answers as long as the process lives."""
        return Live(live=True)

    @routes.get(
        OPEN_INFERENCE + "/health/ready",
        operation_id="server_ready",
        summary="Whether it is ready for work",
    )
    async def server_ready() -> Ready:
        """Answers when the server takes work."""
        readiness.check()
        return Ready(ready=True)


def _add_models(routes: APIRouter) -> None:
    errors = error_answers(404, plain=True)

    @routes.get(MODEL, operation_id="model_metadata", summary="A loss as a model", responses=errors)
    async def model_metadata(loss: str) -> ModelMetadata:
        """Its inputs and outputs, in their usual datatypes."""
        return inference.metadata(find(loss))

    @routes.get(VERSION, operation_id="model_version_metadata", summary="A version of it", responses=errors)
    async def model_version_metadata(loss: str, version: str) -> ModelMetadata:
        """Its inputs and outputs, as without the version."""
        inference.check_version(find(loss), version)
        return inference.metadata(find(loss))

    @routes.get(MODEL + "/ready", operation_id="model_ready", summary="Whether it is ready for work", responses=errors)
    async def model_ready(loss: str) -> ModelReady:
        """A loss is ready as soon as the server is."""
        return ModelReady(name=find(loss).name, ready=True)

    @routes.get(
        VERSION + "/ready", operation_id="model_version_ready", summary="Whether a version is ready", responses=errors
    )
    async def model_version_ready(loss: str, version: str) -> ModelReady:
        """A version is ready as soon as the server is."""
        inference.check_version(find(loss), version)
        return ModelReady(name=find(loss).name, ready=True)


def _add_infer(routes: APIRouter, resources: Resources) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        loss = find(scope["path_params"]["loss"])
        inference.check_version(loss, scope["path_params"].get("version", addresses.VERSION))
        await resources.endpoints[MODEL.format(loss=loss.name) + "/infer"](scope, receive, send)

    async def model_infer(loss: str) -> Response:  # noqa: ARG001 - the document knows the path by it
        """Computes a loss. Its roles and tensor parameters are the inputs, its scalar parameters the parameters."""
        raise AssertionError("its raw route answers")

    async def model_version_infer(loss: str, version: str) -> Response:  # noqa: ARG001
        """Computes a loss, as without the version."""
        raise AssertionError("its raw route answers")

    add_raw_route(routes, "POST", MODEL + "/infer", answer, model_infer, **infer_operation("model_infer"))
    add_raw_route(
        routes, "POST", VERSION + "/infer", answer, model_version_infer, **infer_operation("model_version_infer")
    )
