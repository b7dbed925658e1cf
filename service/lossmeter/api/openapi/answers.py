"""Declares errors, in answers that all operations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lossmeter.api import problems
from lossmeter.api.openapi.components import ref
from lossmeter.catalogue.translations import LANGUAGES
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
OF_THEIR_OWN = (404, 409)
"""Statuses that operations name where they answer so; the others are in the ranges, which all operations share."""
RANGES = {
    "4XX": (
        "Refused",
        "The request was refused, for a reason that `status` and `code` name; there is an example of each.",
    ),
    "5XX": (
        "Failed",
        "The service could not answer, for a reason that `status` and `code` name; there is an example of each.",
    ),
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
        "description": "With 429 and 503: seconds after which the same request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "Challenge": {
        "description": "With 401 and 403: what kind of key is asked for, and which scope it lacks (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer realm="lossmeter", error="insufficient_scope", scope="evaluate"',
    },
    "ContentLanguage": {
        "description": "The language of summary, explanation, `use_when` and `avoid_when`.",
        "schema": {"type": "string", "enum": list(LANGUAGES)},
        "example": "zh",
    },
    "Vary": {
        "description": "The header of a request on which the answer depends.",
        "schema": {"type": "string"},
        "example": "Accept-Language",
    },
}
LANGUAGE_HEADERS = {"Content-Language": "ContentLanguage", "Vary": "Vary"}
"""Headers of answers that exist in several languages."""
OWN_HEADERS = {
    "4XX": {"WWW-Authenticate": "Challenge", "Retry-After": "RetryAfter"},
    "5XX": {"Retry-After": "RetryAfter"},
}
"""Headers of some errors, by range."""
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


def error_answers(*statuses: int, plain: bool = False) -> Answers:
    """Returns the declaration of error answers that have their own place; `plain` is the form of Open Inference."""
    return {status: response_ref((INFER if plain else "") + NAMES[status]) for status in statuses}


def ranges(*, refuses: bool, plain: bool) -> Answers:
    """Returns the declaration of all other errors; an operation that `refuses` nobody fails at most."""
    return {
        code: response_ref((INFER if plain else "") + name)
        for code, (name, _) in RANGES.items()
        if refuses or code == "5XX"
    }


def response_ref(name: str) -> dict[str, Any]:
    """Returns the reference to a shared answer."""
    return {"$ref": RESPONSE.format(name=name)}


def responses() -> dict[str, Any]:
    """Returns all shared error answers by name, in both forms."""
    kinds: dict[str, tuple[str, list[int], Mapping[str, str]]] = {
        NAMES[status]: (ERRORS[status], [status], {}) for status in OF_THEIR_OWN
    }
    kinds |= {
        name: (description, [one for one in NAMES if f"{one // 100}XX" == code], OWN_HEADERS[code])
        for code, (name, description) in RANGES.items()
    }
    answers = {}
    for name, (description, statuses, headers) in kinds.items():
        problems_ = {NAMES[status]: (ERRORS[status], orjson.loads(_example(status))) for status in statuses}
        plain = {key: (summary, {"error": problem["detail"]}) for key, (summary, problem) in problems_.items()}
        answers[name] = _response(description, headers, problems.MEDIA_TYPE, "Problem", problems_)
        answers[INFER + name] = _response(description, headers, "application/json", "InferError", plain)
    return answers


def common_headers(**more: str) -> dict[str, Any]:
    """Returns references to the headers of an answer, by their names on the wire."""
    return header_refs({**COMMON_HEADERS, **more})


def header_refs(headers: Mapping[str, str]) -> dict[str, Any]:
    """Returns references to headers, by their names on the wire."""
    return {name: {"$ref": f"#/components/headers/{header}"} for name, header in headers.items()}


def _response(
    description: str, headers: Mapping[str, str], media_type: str, model: str, examples: Mapping[str, tuple[str, Any]]
) -> dict[str, Any]:
    named = {name: {"summary": summary, "value": value} for name, (summary, value) in examples.items()}
    return {
        "description": description,
        "headers": common_headers(**headers),
        "content": {media_type: {"schema": ref(model), "examples": named}},
    }


def _example(status: int) -> bytes:
    code, title = KINDS[status]
    detail, flaws = DETAILS[status]
    return problems.encode_problem(status, code, title, detail, HEADERS["RequestId"]["example"], flaws)
