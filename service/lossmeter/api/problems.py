"""Errors as answers: `application/problem+json` (RFC 9457). One table maps every error to its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

from lossmeter import errors
from lossmeter.api.addresses import OPEN_INFERENCE
from lossmeter.errors import Flaw, LossmeterError
from lossmeter.telemetry.request import request_state

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[LossmeterError], int] = {
    errors.MalformedBody: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.KeysOff: 403,
    errors.NotFound: 404,
    errors.NotAcceptable: 406,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedFormat: 415,
    errors.Invalid: 422,
    errors.TooManyRequests: 429,
    errors.Busy: 503,
    errors.StoreUnavailable: 503,
    errors.NotReady: 503,
    errors.DeviceLost: 503,
    errors.TookTooLong: 504,
    errors.DoesNotFit: 507,
}

CODES = (*(error.code for error in STATUS), "internal")
"""The codes of all errors of this service."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

TITLES = {
    404: ("not_found", "There is nothing at this address"),
    405: ("method_not_allowed", "This address does not take this method"),
}


class FlawModel(BaseModel):
    """One thing that is wrong with the request."""

    pointer: str = Field(description="JSON Pointer to the offending value; empty for the whole request.")
    message: str = Field(description="What was given and what was expected.")
    index: list[int] | None = Field(description="Position of the first offending element, if the value is a tensor.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="URI that identifies the kind of problem.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="What went wrong this time.")
    code: str = Field(description="The kind of problem, for programs.")
    request_id: str = Field(description="The id of the request, as in X-Request-ID.")
    errors: list[FlawModel] = Field(description="Every place that is wrong.")


def encode_problem(
    status: int, code: str, title: str, detail: str, request_id: str, flaws: Sequence[Flaw] = ()
) -> bytes:
    """Writes a problem as JSON."""
    return orjson.dumps(
        {
            "type": f"urn:lossmeter:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
            "errors": [{"pointer": flaw.pointer, "message": flaw.message, "index": flaw.index} for flaw in flaws],
        }
    )


def error_response(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    flaws: Sequence[Flaw] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns an error in the form that callers of this address expect."""
    state = request_state(scope)
    state.error_code = code
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path == OPEN_INFERENCE or path.startswith(OPEN_INFERENCE + "/"):
        return Response(orjson.dumps({"error": detail}), status, headers, "application/json")
    content = encode_problem(status, code, title, detail, state.request_id, flaws)
    return Response(content, status, headers, MEDIA_TYPE)


def answer(error: LossmeterError, scope: Scope) -> Response:
    """Returns the answer that tells a caller of an error."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.TooSlow):
        headers["Connection"] = "close"
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        headers["WWW-Authenticate"] = _challenge(error)
    return error_response(scope, STATUS[type(error)], error.code, error.title, error.detail, error.flaws, headers)


def _challenge(error: errors.Unauthorized | errors.Forbidden) -> str:
    """Returns the header by which RFC 6750 tells a client more than the status."""
    if isinstance(error, errors.Forbidden):
        return f'Bearer realm="lossmeter", error="insufficient_scope", scope="{error.scope}"'
    return 'Bearer realm="lossmeter"' + (', error="invalid_token"' if error.reason == "invalid" else "")


def internal(scope: Scope) -> Response:
    """Returns the answer to a bug: an id, by which the log can be searched, and nothing else."""
    request_id = request_state(scope).request_id
    detail = f"The service has a bug. Its log knows more under the request id {request_id}."
    return error_response(scope, 500, "internal", "Internal error", detail)


async def on_error(request: Request, error: Exception) -> Response:
    """Handles `LossmeterError`."""
    assert isinstance(error, LossmeterError)
    return answer(error, request.scope)


async def on_http(request: Request, error: Exception) -> Response:
    """Handles what the router itself refuses."""
    assert isinstance(error, HTTPException)
    code, title = TITLES.get(error.status_code, ("http", "The request failed"))
    detail = f"{request.method} {request.url.path}: {error.detail}"
    headers = error.headers
    if error.status_code == 405:
        allowed = ", ".join(_allowed(request))
        detail, headers = f"{detail}; expected {allowed.replace(', ', ' or ')}", {"Allow": allowed}
    return error_response(request.scope, error.status_code, code, title, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Returns the methods of all routes at an address; the router names only those of the first that it finds."""
    routes: Sequence[BaseRoute] = [one for one in request.app.routes if not isinstance(one, Mount)]
    tried = {method: {**request.scope, "method": method} for method in METHODS}
    methods = [method for method, scope in tried.items() if any(one.matches(scope)[0] is Match.FULL for one in routes)]
    if "GET" in methods and "HEAD" not in methods:
        methods.insert(1, "HEAD")
    return methods or ["GET", "HEAD"]  # of files, which are mounted
