"""Leads requests that carry data past FastAPI: raw bytes in, raw bytes out.

Such routes are declared as FastAPI routes, so that the OpenAPI document knows them, but run as plain ASGI: neither dependencies
nor serialisation stand between the socket and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class RawRoute(APIRoute):
    """A route of the OpenAPI document whose work is done by an ASGI application.

    Args:
        path: as of FastAPI.
        documented: has the signature, and perhaps the docstring, for the document; it is never called.
        answer: answers.
        declared: what else the document knows.
    """

    def __init__(self, path: str, documented: Callable[..., Any], answer: ASGIApp, **declared: Any) -> None:
        super().__init__(path, documented, **declared)
        self.answer = answer

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in (self.methods or ()):
            await self.answer(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


async def without_parameters() -> Response:
    """Documents a route that has none."""
    raise AssertionError("its raw route answers")


def add_raw_route(
    routes: APIRouter,
    method: str,
    path: str,
    answer: ASGIApp,
    documented: Callable[..., Any] = without_parameters,
    **declared: Any,
) -> None:
    """Adds a raw route, as a decorator of FastAPI adds an ordinary one."""
    routes.routes.append(RawRoute(path, documented, answer, methods=[method], tags=routes.tags, **declared))


class FastPath:
    """Leads requests with a fixed path straight to what answers them, as ASGI middleware; all others take the ordinary way.

    Args:
        app: the ordinary way.
        table: answers POST requests, by path.
    """

    def __init__(self, app: ASGIApp, table: Mapping[str, ASGIApp]) -> None:
        self.app = app
        self.table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            # Behind a proxy, and where mounted, the path begins with the root path.
            answer = self.table.get(scope["path"].removeprefix(scope.get("root_path", "")))
            if answer is not None:
                await answer(scope, receive, send)
                return
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._answer_head(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as to GET; the server leaves out the body."""
        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, receive, send)
        finally:
            scope.update({name: inner[name] for name in ("route", "path_params") if name in inner})
