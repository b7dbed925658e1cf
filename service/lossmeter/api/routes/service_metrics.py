"""`/metrics`: the figures of the service itself, for Prometheus."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import APIRouter, Request, Response

from lossmeter.api.resources import Resources
from lossmeter.telemetry import exposition

TEXT = {"schema": {"type": "string"}}


def router(resources: Resources) -> APIRouter:
    """Returns the route."""
    collector = resources.collector
    routes = APIRouter(tags=["service"])

    @routes.get(
        "/metrics",
        operation_id="service_metrics",
        summary="Figures of the service itself, for Prometheus",
        response_class=Response,
        responses={
            200: {
                "description": "As text, or in OpenMetrics where `Accept` asks for it.",
                "content": {"text/plain": TEXT, "application/openmetrics-text": TEXT},
            }
        },
    )
    async def service_metrics(request: Request) -> Response:
        """Of all workers, whichever of them answers."""
        with suppress(OSError):
            collector.publish()  # what is told here has to outlive this worker
        own, accept = collector.read(), request.headers.get("accept", "")
        content, media_type = await asyncio.to_thread(lambda: exposition.render(collector.add_others(own), accept))
        return Response(content, headers={"content-type": media_type})

    return routes
