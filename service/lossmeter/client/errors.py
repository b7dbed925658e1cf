"""The errors of a call.

ServiceError
├── NoAnswer                the connection could not be made, or broke
│   └── TimedOut            there was none in time
├── BadAnswer               something came that is not what the service answers
└── Problem                 the service refused, and says why
    ├── MalformedBody       400
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404
    ├── NotAcceptable       406
    ├── TooSlow             408: the request did not arrive in the time that the service gives it
    ├── Conflict            409
    ├── TooLarge            413
    ├── UnsupportedFormat   415
    ├── InvalidRequest      422; `errors` points at every place that is wrong
    ├── Busy                429, 502, 503, 504: no room, or nobody there; the same request may succeed later
    ├── DoesNotFit          507
    └── InternalError       500: a bug of the service
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmeter.errors import Flaw


class ServiceError(Exception):
    """Base of all that a call may raise, beside errors of its own arguments."""


class NoAnswer(ServiceError):
    pass


class TimedOut(NoAnswer):
    pass


class BadAnswer(ServiceError):
    pass


class Problem(ServiceError):
    """An error that the service answered with.

    Attributes:
        status: of the answer.
        code, title, detail, type: as in `application/problem+json`; `code` and `type` are empty if it was no such thing.
        errors: each with `pointer` (a JSON Pointer into the request), `message`, and `index` inside the tensor, or none.
        request_id: under which the log of the service knows more.
        retry_after_seconds: when to try again, if the service says so.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        code: str = "",
        kind: str = "",
        errors: tuple[Flaw, ...] = (),
        request_id: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(status, title, detail, code, kind, errors, request_id, retry_after_seconds)
        self.status = status
        self.title = title
        self.detail = detail
        self.code = code
        self.type = kind
        self.errors = errors
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        places = "".join(f"\n  {flaw.pointer or '/'}: {flaw.message}" for flaw in self.errors[1:])
        return f"{self.detail or self.title} [{self.status}, request {self.request_id or 'unknown'}]{places}"


class MalformedBody(Problem):
    pass


class Unauthorized(Problem):
    pass


class Forbidden(Problem):
    pass


class NotFound(Problem):
    pass


class NotAcceptable(Problem):
    pass


class TooSlow(Problem):
    pass


class Conflict(Problem):
    pass


class TooLarge(Problem):
    pass


class UnsupportedFormat(Problem):
    pass


class InvalidRequest(Problem):
    pass


class Busy(Problem):
    pass


class DoesNotFit(Problem):
    pass


class InternalError(Problem):
    pass


BY_STATUS: Mapping[int, type[Problem]] = {
    400: MalformedBody,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    406: NotAcceptable,
    408: TooSlow,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedFormat,
    422: InvalidRequest,
    429: Busy,
    500: InternalError,
    502: Busy,
    503: Busy,
    504: Busy,
    507: DoesNotFit,
}


def problem(
    status: int, members: Mapping[str, Any], text: str, request_id: str, retry_after_seconds: float | None
) -> Problem:
    """Makes the exception for an answer.

    Args:
        status: of the answer.
        members: of its `application/problem+json`; empty if it was something else, a page of a proxy, say.
        text: the beginning of the body, for that case.
        request_id: of the answer's header.
        retry_after_seconds: of the answer's header.
    """
    flaws = tuple(
        Flaw(str(place.get("pointer", "")), str(place.get("message", "")), index and tuple(index))
        for place in members.get("errors") or ()
        for index in [place.get("index")]
    )
    return BY_STATUS.get(status, Problem)(
        status,
        str(members.get("title", "The answer is an error")),
        str(members.get("detail", text)),
        str(members.get("code", "")),
        str(members.get("type", "")),
        flaws,
        str(members.get("request_id", request_id)),
        retry_after_seconds,
    )
