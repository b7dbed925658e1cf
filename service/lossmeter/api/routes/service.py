"""Health, documentation and the console."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

import lossmeter

STATIC = str(files("lossmeter") / "console" / "static")


class Health(BaseModel):
    """The state of the server."""

    status: Literal["alive", "ready"]
    version: str


def router() -> APIRouter:
    """The routes of the service itself."""
    routes = APIRouter(tags=["service"])

    @routes.get("/healthz", operation_id="health", summary="Whether the process is alive")
    async def health() -> Health:
        return Health(status="alive", version=lossmeter.__version__)

    @routes.get("/readyz", operation_id="ready", summary="Whether the server is ready for work")
    async def ready() -> Health:
        return Health(status="ready", version=lossmeter.__version__)

    @routes.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=root + "/openapi.json",
            title="lossmeter",
            swagger_js_url=root + "/static/swagger-ui/swagger-ui-bundle.js",
            swagger_css_url=root + "/static/swagger-ui/swagger-ui.css",
            swagger_favicon_url=root + "/static/favicon.svg",
        )

    return routes


def static_files() -> StaticFiles:
    """What the pages need: scripts, styles, images."""
    return StaticFiles(directory=STATIC)
