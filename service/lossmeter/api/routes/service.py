"""Health, documentation and the console."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import lossmeter
from lossmeter.api.resources import Resources

COMPRESSED = {"text/javascript", "application/javascript", "text/css", "text/markdown"}
STATIC = Path(str(files("lossmeter") / "web" / "static"))
SHIPPED, OF_CHECKOUT = STATIC.parent / "guides", STATIC.parents[3] / "docs"
GUIDES = SHIPPED if SHIPPED.is_dir() else OF_CHECKOUT
"""The guides in Markdown: a wheel brings them along, a checkout has them where they are written."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CONSOLE_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


class Health(BaseModel):
    """The state of the server."""

    status: Literal["alive", "ready"]
    version: str


def router(resources: Resources) -> APIRouter:
    """Returns the routes of the service itself."""
    routes = APIRouter(tags=["service"])

    @routes.get("/healthz", operation_id="health", summary="Whether the process is alive")
    async def health() -> Health:
        """Answers as long as the process lives, whatever else it can or cannot do."""
        return Health(status="alive", version=lossmeter.__version__)

    @routes.get("/readyz", operation_id="ready", summary="Whether the server is ready for work")
    async def ready() -> Health:
        """Answers when the server takes work; before and after, it does not."""
        resources.readiness.check()
        return Health(status="ready", version=lossmeter.__version__)

    @routes.get("/", include_in_schema=False)
    async def console() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=CONSOLE_HEADERS)

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        # The same page, which sees from its address that the documentation is wanted.
        return FileResponse(STATIC / "index.html", headers=CONSOLE_HEADERS)

    return routes


class Assets(StaticFiles):
    """Static files that a browser asks after before it uses its copy, so that an upgrade reaches it whole.

    Text goes compressed to those who take it so.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Returns the file, or that it has not changed."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        if isinstance(response, FileResponse) and response.media_type in COMPRESSED:
            response.headers["Vary"] = "Accept-Encoding"
            if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
                shorter = {**response.headers, "Content-Encoding": "gzip"}
                del shorter["content-length"]
                changed = response.stat_result.st_mtime_ns if response.stat_result else 0
                return Response(
                    compressed(Path(response.path), changed), headers=shorter, background=response.background
                )
        return response


@lru_cache(maxsize=64)
def compressed(file: Path, changed: int) -> bytes:  # noqa: ARG001 - a file that changed is another one
    """Returns a file as gzip, made once."""
    return gzip.compress(file.read_bytes(), mtime=0)


def static_files() -> StaticFiles:
    """Returns what the pages need: scripts, styles, images."""
    return Assets(directory=STATIC)


def guides() -> StaticFiles:
    """Returns the guides that the pages show, and the files beside them."""
    return Assets(directory=GUIDES, check_dir=False)
