"""`/v2`: the losses as models of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lossmeter.api.messages.body import Body
from lossmeter.api.messages.headers import header
from lossmeter.api.models import inference
from lossmeter.api.models.inference import Live, ModelMetadata, ModelReady, Ready, ServerMetadata
from lossmeter.api.models.schemas import tensor_names
from lossmeter.api.openapi import infer_operation, plain_errors
from lossmeter.api.problems import OPEN_INFERENCE
from lossmeter.api.tensor_routes import Asked, TensorRoute, computed, send_pieces
from lossmeter.errors import MalformedBody
from lossmeter.losses import LOSSES, Loss, find
from lossmeter.scheduling.limits import Limits
from lossmeter.scheduling.micro_batching import MicroBatcher
from lossmeter.telemetry.readiness import Readiness
from lossmeter.wire import open_inference
from lossmeter.wire.open_inference import Answer

MODEL = OPEN_INFERENCE + "/models/{loss}"
VERSION = MODEL + "/versions/{version}"
HEADER_LENGTH = b"inference-header-content-length"
CODINGS = ("gzip", "deflate")
"""What the protocol's clients expand; they ask for whatever their HTTP library knows."""
JSON, BYTES = b"application/json", b"application/octet-stream"


def router(
    batcher: MicroBatcher, limits: Limits, max_elements: int, readiness: Readiness
) -> tuple[APIRouter, dict[str, ASGIApp]]:
    """The routes, and the table of those that the express way leads to."""
    endpoints = {loss.name: InferEndpoint(loss, batcher, limits, max_elements) for loss in LOSSES.values()}
    express: dict[str, ASGIApp] = {}
    for loss in LOSSES.values():
        for name in (loss.name, *loss.aliases):
            for path in (MODEL, VERSION):
                express[path.format(loss=name, version=inference.VERSION) + "/infer"] = endpoints[loss.name]
    routes = APIRouter(tags=["open inference"])
    _add_server(routes, readiness)
    _add_models(routes)
    _add_infer(routes, endpoints)
    return routes, express


def _add_server(routes: APIRouter, readiness: Readiness) -> None:
    @routes.get(OPEN_INFERENCE, operation_id="server_metadata", summary="The server and the extensions it speaks")
    async def server_metadata() -> ServerMetadata:
        """Name and version of the server, and the extensions of the protocol that it speaks."""
        return inference.SERVER

    @routes.get(OPEN_INFERENCE + "/health/live", operation_id="server_live", summary="Whether the server is alive")
    async def server_live() -> Live:
        """Answers as long as the process lives."""
        return Live(live=True)

    @routes.get(
        OPEN_INFERENCE + "/health/ready",
        operation_id="server_ready",
        summary="Whether it is ready for work",
        responses=plain_errors(503),
    )
    async def server_ready() -> Ready:
        """Answers when the server takes work."""
        readiness.check()
        return Ready(ready=True)


def _add_models(routes: APIRouter) -> None:
    errors = plain_errors(404)

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


def _add_infer(routes: APIRouter, endpoints: dict[str, InferEndpoint]) -> None:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        loss = find(scope["path_params"]["loss"])
        inference.check_version(loss, scope["path_params"].get("version", inference.VERSION))
        await endpoints[loss.name](scope, receive, send)

    async def model_infer(loss: str) -> Response:  # noqa: ARG001 - the document knows the path by it
        """Computes a loss. Its roles and tensor parameters are the inputs, its scalar parameters the parameters."""
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    async def model_version_infer(loss: str, version: str) -> Response:  # noqa: ARG001
        """Computes a loss, as without the version."""
        raise AssertionError("a TensorRoute runs its tensor endpoint")

    documented: list[tuple[str, Callable[..., Any]]] = [(MODEL, model_infer), (VERSION, model_version_infer)]
    for path, function in documented:
        function.tensor_endpoint = routed  # type: ignore[attr-defined]
        operation = infer_operation(function.__name__)
        routes.routes.append(TensorRoute(path + "/infer", function, methods=["POST"], tags=routes.tags, **operation))


class InferEndpoint:
    """ASGI application that computes one loss for clients of the protocol."""

    def __init__(self, loss: Loss, batcher: MicroBatcher, limits: Limits, max_elements: int) -> None:
        self.loss = loss
        self.batcher = batcher
        self.limits = limits
        self.max_elements = max_elements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # NVIDIA's client sends no content type, or that of bytes: how long the JSON is, a header of its own says.
        given = header(scope, HEADER_LENGTH)
        if given is not None and not (given.isdigit() and len(given) < 20):
            raise MalformedBody("Inference-Header-Content-Length is not a number.")
        json_bytes = None if given is None else int(given)
        answer = await computed(scope, receive, self.limits, self.batcher, self.decode, json_bytes)
        headers = [(b"content-type", JSON if answer.json_bytes is None else BYTES), (b"vary", b"accept-encoding")]
        if answer.json_bytes is not None:
            headers.append((HEADER_LENGTH, b"%d" % answer.json_bytes))
        await send_pieces(scope, send, self.limits, answer.pieces, headers, CODINGS)

    def decode(self, body: Body, json_bytes: int | None) -> Asked[Answer]:
        """What a body asks for."""
        asked = open_inference.decode(body.take(), json_bytes, tensor_names(self.loss))
        call, wanted, elements = inference.infer_call(self.loss, asked, self.max_elements)
        loss, precision, asked = call.loss, call.precision, replace(asked, tensors={})
        return Asked(call, elements, lambda outcome: inference.infer_answer(loss, precision, asked, wanted, outcome))
