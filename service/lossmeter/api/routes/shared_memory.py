"""`/v2/systemsharedmemory` and `/v2/cudasharedmemory`: what clients of this machine share with the server."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.types import Receive, Scope, Send

from lossmeter.api.addresses import CUDA_MEMORY, SYSTEM_MEMORY
from lossmeter.api.exchange import respond
from lossmeter.api.models.shared_memory import CudaRegion, CudaRegionRequest, Done, SystemRegion, SystemRegionRequest
from lossmeter.api.openapi import REF, plain_errors
from lossmeter.api.operations.shared_memory import RegisterRegion
from lossmeter.api.raw_routes import Documented, RawRoute
from lossmeter.api.resources import Resources
from lossmeter.scheduling.limits import Limits
from lossmeter.wire.regions import Kind, Region

REGION = "/region/{region}"
EXAMPLES: dict[str, Any] = {
    "SystemRegionRequest": {"key": "/lossmeter-batch", "offset": 0, "byte_size": 4096},
    "CudaRegionRequest": {"raw_handle": {"b64": "AAAA" * 21 + "AA=="}, "device_id": 0, "byte_size": 4096},
}


def router(resources: Resources) -> APIRouter:
    """Returns the routes, which answer 404 to whoever may not use shared memory."""
    routes = APIRouter(tags=["open inference"])
    _add_system(routes, resources)
    _add_cuda(routes, resources)
    return routes


class _Regions:
    """The regions of one kind, looked at in threads of the pool, as they are files."""

    def __init__(self, resources: Resources, kind: Kind) -> None:
        self.sharing = resources.sharing
        self.limits: Limits = resources.limits
        self.kind = kind

    async def list(self, request: Request, name: str | None = None) -> list[Region]:
        """Lists all, or the one of that name."""
        registry = self.sharing.registry(request.scope)
        self.limits.admit()
        if name is None:
            return await self.limits.pool.run(0, registry.all, self.kind)
        return [await self.limits.pool.run(0, registry.find, name)]

    async def remove(self, request: Request, name: str | None = None) -> Done:
        """Forgets all, or the one of that name."""
        registry = self.sharing.registry(request.scope)
        self.limits.admit()
        await self.limits.pool.run(0, registry.remove, self.kind, name)
        return Done()


def _add_system(routes: APIRouter, resources: Resources) -> None:
    regions, sharing = _Regions(resources, "system"), resources.sharing

    def shown(found: list[Region]) -> list[SystemRegion]:
        return [SystemRegion(name=r.name, key=r.key, offset=r.offset, byte_size=r.byte_size) for r in found]

    @routes.get(SYSTEM_MEMORY + "/status", **_plain("system_regions", "All regions of system shared memory"))
    async def system_regions(request: Request) -> list[SystemRegion]:
        """The regions that are registered with this server."""
        return shown(await regions.list(request))

    @routes.get(SYSTEM_MEMORY + REGION + "/status", **_plain("system_region", "A region of system shared memory"))
    async def system_region(request: Request, region: str) -> list[SystemRegion]:
        """The region of that name, alone in a list."""
        return shown(await regions.list(request, region))

    async def register(scope: Scope, receive: Receive, send: Send) -> None:
        name, registry = scope["path_params"]["region"], sharing.registry(scope)

        def region(given: SystemRegionRequest) -> Region:
            return sharing.system.region(name, given.key, given.offset, given.byte_size)

        operation = RegisterRegion(registry, sharing.system, SystemRegionRequest, region)
        await respond(operation, resources.limits, scope, receive, send)

    async def register_system_region(region: str) -> Done:  # noqa: ARG001 - the document knows the path by it
        """From then on, inputs and outputs may lie in the region, until it is unregistered or its object is removed."""
        raise AssertionError("its raw route answers")

    summary = "Share memory of this machine"
    _add_registration(routes, SYSTEM_MEMORY, register_system_region, register, summary, "SystemRegionRequest")

    @routes.post(
        SYSTEM_MEMORY + REGION + "/unregister", **_plain("unregister_system_region", "Share a region no longer")
    )
    async def unregister_system_region(request: Request, region: str) -> Done:
        """The memory stays the client's, and so does removing it."""
        return await regions.remove(request, region)

    @routes.post(
        SYSTEM_MEMORY + "/unregister", **_plain("unregister_system_regions", "Share no system memory any longer")
    )
    async def unregister_system_regions(request: Request) -> Done:
        """All regions are unregistered, whoever registered them."""
        return await regions.remove(request)


def _add_cuda(routes: APIRouter, resources: Resources) -> None:
    regions, sharing = _Regions(resources, "cuda"), resources.sharing

    def shown(found: list[Region]) -> list[CudaRegion]:
        return [CudaRegion(name=r.name, device_id=r.device_id, byte_size=r.byte_size) for r in found]

    @routes.get(CUDA_MEMORY + "/status", **_plain("cuda_regions", "All regions of CUDA shared memory"))
    async def cuda_regions(request: Request) -> list[CudaRegion]:
        """The regions that are registered with this server."""
        return shown(await regions.list(request))

    @routes.get(CUDA_MEMORY + REGION + "/status", **_plain("cuda_region", "A region of CUDA shared memory"))
    async def cuda_region(request: Request, region: str) -> list[CudaRegion]:
        """The region of that name, alone in a list."""
        return shown(await regions.list(request, region))

    async def register(scope: Scope, receive: Receive, send: Send) -> None:
        name, registry = scope["path_params"]["region"], sharing.registry(scope)

        def region(given: CudaRegionRequest) -> Region:
            return sharing.cuda.region(name, given.raw_handle.b64, given.device_id, given.byte_size)

        operation = RegisterRegion(registry, sharing.cuda, CudaRegionRequest, region)
        await respond(operation, resources.limits, scope, receive, send)

    async def register_cuda_region(region: str) -> Done:  # noqa: ARG001
        """As with system memory. A server that does not compute on a GPU of CUDA refuses."""
        raise AssertionError("its raw route answers")

    summary = "Share memory of a GPU"
    _add_registration(routes, CUDA_MEMORY, register_cuda_region, register, summary, "CudaRegionRequest")

    @routes.post(CUDA_MEMORY + REGION + "/unregister", **_plain("unregister_cuda_region", "Share a region no longer"))
    async def unregister_cuda_region(request: Request, region: str) -> Done:
        """The memory stays the client's."""
        return await regions.remove(request, region)

    @routes.post(
        CUDA_MEMORY + "/unregister", **_plain("unregister_cuda_regions", "Share no memory of a GPU any longer")
    )
    async def unregister_cuda_regions(request: Request) -> Done:
        """All regions are unregistered, whoever registered them."""
        return await regions.remove(request)


def _plain(operation_id: str, summary: str) -> dict[str, Any]:
    return {"operation_id": operation_id, "summary": summary, "responses": plain_errors(404, 503)}


def _add_registration(
    routes: APIRouter, address: str, documented: Documented, answer: Any, summary: str, model: str
) -> None:
    media = {"schema": {"$ref": REF.format(model=model)}, "examples": {"region": {"value": EXAMPLES[model]}}}
    declared: dict[str, Any] = {
        "operation_id": documented.__name__,
        "summary": summary,
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": media}}},
        "responses": plain_errors(400, 404, 409, 413, 415, 422, 503),
        "response_model": Done,
    }
    path = address + REGION + "/register"
    routes.routes.append(RawRoute(path, documented, answer, methods=["POST"], tags=routes.tags, **declared))
