"""Health, documentation and the console."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import lossmeter
from lossmeter.api.openapi import error_answers
from lossmeter.api.watching.readiness import Readiness

STATIC = Path(str(files("lossmeter") / "console" / "static"))
CONSOLE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Health(BaseModel):
    """The state of the server."""

    status: Literal["alive", "ready"]
    version: str


def router(readiness: Readiness) -> APIRouter:
    """The routes of the service itself."""
    routes = APIRouter(tags=["service"])

    @routes.get("/healthz", operation_id="health", summary="Whether the process is alive")
    async def health() -> Health:
        return Health(status="alive", version=lossmeter.__version__)

    @routes.get(
        "/readyz", operation_id="ready", summary="Whether the server is ready for work", responses=error_answers(503)
    )
    async def ready() -> Health:
        readiness.check()
        return Health(status="ready", version=lossmeter.__version__)

    @routes.get("/", include_in_schema=False)
    async def console() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=CONSOLE_HEADERS)

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


class Assets(StaticFiles):
    """Static files that a browser asks after before it uses its copy, so that an upgrade reaches it whole."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or that it has not changed."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def static_files() -> StaticFiles:
    """What the pages need: scripts, styles, images."""
    return Assets(directory=STATIC)
