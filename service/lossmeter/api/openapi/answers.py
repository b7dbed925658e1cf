"""Declares errors: one response per status, shared by all operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lossmeter.api import problems
from lossmeter.api.openapi.components import ref
from lossmeter.errors import Flaw

Answers = dict[int | str, dict[str, Any]]

ERRORS = {
    400: "The body is not the format that it claims to be.",
    401: "There is no key, or it is not good.",
    403: "The key does not have the scope that `WWW-Authenticate` names.",
    404: "There is nothing of that name.",
    406: "No acceptable format can be produced.",
    408: "The body came too slowly, or not at all.",
    409: "The request contradicts what is there.",
    413: "The request is over a limit of this server.",
    415: "The format of the body is not supported.",
    422: "The request is well-formed but not valid; `errors` names every offending place.",
    429: "The key is used too often; `Retry-After` says when it may be used again.",
    500: "The service has a bug; its log knows more under the id of the request.",
    503: "No room, or no database, at present; `Retry-After` says when to try again.",
    504: "The answer was not there in time; the same request would most likely take as long again.",
    507: "The request does not fit into the memory of the device.",
}
ALWAYS = (500,)
"""Statuses that every operation may answer."""

NAMES = {
    400: "Malformed",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    406: "NotAcceptable",
    408: "TooSlow",
    409: "Conflict",
    413: "TooLarge",
    415: "UnsupportedFormat",
    422: "Invalid",
    429: "TooManyRequests",
    500: "Internal",
    503: "Unavailable",
    504: "TookTooLong",
    507: "DoesNotFit",
}
RESPONSE = "#/components/responses/{name}"
INFER = "Infer"
"""In front of the names of errors in the form of the Open Inference Protocol."""

HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "The id of the request: the client's, if it sent one.",
        "schema": {"type": "string"},
        "example": "5f2b0c9d1e7a4836",
    },
    "ServerTiming": {
        "description": "Milliseconds for decoding, computing and encoding.",
        "schema": {"type": "string"},
        "example": "decode;dur=0.041, compute;dur=0.310, encode;dur=0.022",
    },
    "RetryAfter": {
        "description": "Seconds after which the same request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "Challenge": {
        "description": "What kind of key is asked for, and which scope it lacks (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer realm="lossmeter", error="insufficient_scope", scope="evaluate"',
    },
}
OWN_HEADERS = {
    401: {"WWW-Authenticate": "Challenge"},
    403: {"WWW-Authenticate": "Challenge"},
    429: {"Retry-After": "RetryAfter"},
    503: {"Retry-After": "RetryAfter"},
}
"""Headers of some errors, by status."""
COMMON_HEADERS = {"X-Request-ID": "RequestId", "Server-Timing": "ServerTiming"}
"""Headers of every answer."""

DETAILS: Mapping[int, tuple[str, tuple[Flaw, ...]]] = {
    400: ("The body is not JSON: unexpected end at byte 17.", ()),
    401: ("This needs a key: Authorization: Bearer lm_…", ()),
    403: ("The key k7dmxq2r4tza does not have the scope evaluate.", ()),
    404: ("There is no loss 'huberr'. Did you mean huber? GET /v1/losses lists all.", ()),
    406: ("Accept is 'text/html'; this address answers in application/json or application/vnd.safetensors.", ()),
    408: ("The body came too slowly, or not at all (LOSSMETER_BODY_SECONDS, LOSSMETER_MIN_BYTES_PER_SECOND).", ()),
    409: ("The run has a batch 'b7' with other content.", ()),
    413: ("mse: the tensors have 200000000 elements; this server takes 100000000 (LOSSMETER_MAX_ELEMENTS).", ()),
    415: ("Content-Type is 'text/csv'; expected application/json or application/vnd.safetensors.", ()),
    422: (
        "cross_entropy: labels[17, 3] is 9; expected class indices in [0, 5] or ignore_index, -100",
        (Flaw("/labels", "labels[17, 3] is 9; expected class indices in [0, 5] or ignore_index, -100", (17, 3)),),
    ),
    429: ("The key k7dmxq2r4tza may be used 50 times a second.", ()),
    500: ("The service has a bug. Its log knows more under the request id 5f2b0c9d1e7a4836.", ()),
    503: ("1073741824 bytes and 0 elements are in flight, the most at a time.", ()),
    504: ("The answer was not there within 300 s (LOSSMETER_COMPUTE_SECONDS).", ()),
    507: ("cuda:0 has no room for the 4000000000 bytes that this request needs.", ()),
}
"""For each status, the detail and the flaws of its example."""
KINDS = {status: (error.code, error.title) for error, status in reversed(list(problems.STATUS.items()))}
KINDS[500] = ("internal", "Internal error")
"""Code and title of the first error of each status."""


def error_answers(*statuses: int) -> Answers:
    """Returns the declaration of error answers."""
    return {status: _reference(NAMES[status]) for status in statuses}


def plain_errors(*statuses: int) -> Answers:
    """Returns the declaration of error answers of the Open Inference Protocol."""
    return {status: _reference(INFER + NAMES[status]) for status in statuses}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": RESPONSE.format(name=name)}


def responses() -> dict[str, Any]:
    """Returns all error answers by name, in both forms."""
    answers = {}
    for status, name in NAMES.items():
        problem = orjson.loads(_example(status))
        answers[name] = _response(status, problems.MEDIA_TYPE, "Problem", problem)
        answers[INFER + name] = _response(status, "application/json", "InferError", {"error": problem["detail"]})
    return answers


def common_headers(**more: str) -> dict[str, Any]:
    """Returns references to the headers of an answer, by their names on the wire."""
    return {name: {"$ref": f"#/components/headers/{header}"} for name, header in {**COMMON_HEADERS, **more}.items()}


def _response(status: int, media_type: str, model: str, example: Any) -> dict[str, Any]:
    return {
        "description": ERRORS[status],
        "headers": common_headers(**OWN_HEADERS.get(status, {})),
        "content": {media_type: {"schema": ref(model), "example": example}},
    }


def _example(status: int) -> bytes:
    code, title = KINDS[status]
    detail, flaws = DETAILS[status]
    return problems.encode_problem(status, code, title, detail, HEADERS["RequestId"]["example"], flaws)
