"""The language of an answer whose texts are there in several: chosen by `Accept-Language`, named by `Content-Language`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from lossmeter.api.negotiation import answer_language
from lossmeter.api.openapi.answers import LANGUAGE_HEADERS, error_answers, header_refs
from lossmeter.catalogue.translations import LANGUAGES


def _choose(request: Request, response: Response) -> str:
    language = answer_language(request.headers.raw, LANGUAGES)
    response.headers["Content-Language"] = language
    response.headers["Vary"] = "Accept-Language"
    return language


Language = Annotated[str, Depends(_choose)]
"""An argument of a route: the language of the answer, of which its headers then tell."""


def in_languages(*errors: int, parameters: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Declares a route that answers in several languages, with its parameters and the errors that have their own place."""
    return {
        "openapi_extra": {"parameters": [*parameters, {"$ref": "#/components/parameters/AcceptLanguage"}]},
        "responses": {200: {"headers": header_refs(LANGUAGE_HEADERS)}, **error_answers(*errors)},
    }
