"""`/v2/systemsharedmemory` and `/v2/cudasharedmemory`: what clients of this machine share with the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from lossmeter.api import addresses
from lossmeter.api.exchange import respond
from lossmeter.api.models.shared_memory import CudaRegion, CudaRegionRequest, Done, SystemRegion, SystemRegionRequest
from lossmeter.api.openapi.answers import error_answers
from lossmeter.api.openapi.operations import request_body
from lossmeter.api.operations.shared_memory import RegisterRegion
from lossmeter.api.raw_routes import add_raw_route
from lossmeter.api.resources import Resources
from lossmeter.wire.regions import Kind, Region


@dataclass(frozen=True)
class _Variant:
    """One kind of shared memory: its addresses and models, and how the document words it.

    Attributes:
        region: makes the region of a memory, by its name and a request; refuses what cannot be one.
    """

    kind: Kind
    address: str
    region: Callable[[Any, str, Any], Region]
    request: type[BaseModel]
    answer: type[BaseModel]
    example: dict[str, Any]
    noun: str
    register: str
    registered: str
    unregistered: str
    unregister_all: str


SYSTEM = _Variant(
    kind="system",
    address=addresses.SYSTEM_MEMORY,
    region=lambda memory, name, given: memory.region(name, given.key, given.offset, given.byte_size),
    request=SystemRegionRequest,
    answer=SystemRegion,
    example={"key": "/lossmeter-batch", "offset": 0, "byte_size": 4096},
    noun="system shared memory",
    register="Share memory of this machine",
    registered="From then on, inputs and outputs may lie in the region, until it is unregistered or its object is removed.",
    unregistered="The memory stays the client's, and so does removing it.",
    unregister_all="Share no system memory any longer",
)
CUDA = _Variant(
    kind="cuda",
    address=addresses.CUDA_MEMORY,
    region=lambda memory, name, given: memory.region(name, given.raw_handle.b64, given.device_id, given.byte_size),
    request=CudaRegionRequest,
    answer=CudaRegion,
    example={"raw_handle": {"b64": "AAAA" * 21 + "AA=="}, "device_id": 0, "byte_size": 4096},
    noun="CUDA shared memory",
    register="Share memory of a GPU",
    registered="As with system memory. A server that does not compute on a GPU of CUDA refuses.",
    unregistered="The memory stays the client's.",
    unregister_all="Share no memory of a GPU any longer",
)


def router(resources: Resources) -> APIRouter:
    """Returns the routes, which answer 404 to whoever may not use shared memory."""
    routes = APIRouter(tags=["open inference"])
    for variant in (SYSTEM, CUDA):
        _add(routes, resources, variant)
    return routes


def _add(routes: APIRouter, resources: Resources, variant: _Variant) -> None:
    """Adds the routes of one kind. They look at regions in threads of the pool, as these are files."""
    sharing, limits, kind = resources.sharing, resources.limits, variant.kind
    memory = sharing.memories[kind]
    all_regions, one_region = variant.address, variant.address + "/region/{region}"

    async def find(request: Request, name: str | None) -> list[Region]:
        registry = sharing.registry(request.scope)
        limits.admit()
        if name is None:
            return await limits.pool.run(0, registry.all, kind)
        return [await limits.pool.run(0, registry.find, name)]

    async def remove(request: Request, name: str | None) -> Done:
        registry = sharing.registry(request.scope)
        limits.admit()
        await limits.pool.run(0, registry.remove, kind, name)
        return Done()

    async def register(scope: Scope, receive: Receive, send: Send) -> None:
        name, registry = scope["path_params"]["region"], sharing.registry(scope)
        operation = RegisterRegion(registry, memory, variant.request, partial(variant.region, memory, name))
        await respond(operation, limits, scope, receive, send)

    listed: dict[str, Any] = {"response_model": list[variant.answer]}  # type: ignore[name-defined]

    @routes.get(all_regions + "/status", **listed, **_declared(f"{kind}_regions", f"All regions of {variant.noun}"))
    async def regions(request: Request) -> list[Region]:
        """The regions that are registered with this server."""
        return await find(request, None)

    @routes.get(one_region + "/status", **listed, **_declared(f"{kind}_region", f"A region of {variant.noun}"))
    async def region(request: Request, region: str) -> list[Region]:
        """The region of that name, alone in a list."""
        return await find(request, region)

    async def documented(region: str) -> Done:  # noqa: ARG001 - the document knows the path by it
        raise AssertionError("its raw route answers")

    add_raw_route(
        routes,
        "POST",
        one_region + "/register",
        register,
        documented,
        operation_id=f"register_{kind}_region",
        summary=variant.register,
        description=variant.registered,
        openapi_extra=request_body(variant.request.__name__, {"region": {"value": variant.example}}),
        responses=error_answers(404, 409, plain=True),
    )

    @routes.post(
        one_region + "/unregister",
        description=variant.unregistered,
        **_declared(f"unregister_{kind}_region", "Share a region no longer"),
    )
    async def unregister(request: Request, region: str) -> Done:
        return await remove(request, region)

    @routes.post(all_regions + "/unregister", **_declared(f"unregister_{kind}_regions", variant.unregister_all))
    async def unregister_all(request: Request) -> Done:
        """All regions are unregistered, whoever registered them."""
        return await remove(request, None)


def _declared(operation_id: str, summary: str) -> dict[str, Any]:
    return {"operation_id": operation_id, "summary": summary, "responses": error_answers(404, plain=True)}
