"""Which format a request is in and which one its answer takes: a table from media type to codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from lossmeter.api.messages.headers import header, items
from lossmeter.errors import NotAcceptable, UnsupportedFormat
from lossmeter.wire import json, safetensors


@dataclass(frozen=True)
class Format:
    """A media type with its codec."""

    media_type: str
    decode: Callable[[bytes | bytearray, AbstractSet[str]], dict[str, Any]]
    encode: Callable[..., list[bytes | memoryview]]

    @property
    def header(self) -> bytes:
        return self.media_type.encode("ascii")


JSON = Format(json.MEDIA_TYPE, json.decode, json.encode)
SAFETENSORS = Format(safetensors.MEDIA_TYPE, safetensors.decode, safetensors.encode)
FORMATS: Mapping[str, Format] = {form.media_type: form for form in (JSON, SAFETENSORS)}


def of_request(scope: Scope) -> Format:
    """The format of the body, by `Content-Type`; without one, JSON.

    Raises:
        UnsupportedFormat: if it is none of those spoken here.
    """
    given = header(scope, b"content-type")
    if given is None or given == b"application/json":
        return JSON
    media_type, _, parameters = given.decode("latin-1").partition(";")
    media_type = media_type.strip().lower()
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2]
    form = FORMATS.get(media_type) or (JSON if media_type.endswith("+json") else None)
    if form is None or charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedFormat(f"Content-Type is {given.decode('latin-1')!r}; expected {' or '.join(FORMATS)}.")
    return form


def of_answer(scope: Scope) -> Format:
    """The format of the answer, by `Accept`; without one, JSON.

    Raises:
        NotAcceptable: if none of those spoken here is acceptable.
    """
    given = header(scope, b"accept")
    if given is None or given in (b"*/*", b"application/json"):
        return JSON
    ranges = dict(items(scope, b"accept"))
    qualities = {form.media_type: _wanted(form.media_type, ranges) for form in FORMATS.values()}
    best = max(qualities, key=qualities.__getitem__)  # the first of equals
    if not qualities[best]:
        raise NotAcceptable(f"Accept is {given.decode('latin-1')!r}; this address answers in {' or '.join(FORMATS)}.")
    return FORMATS[best]


def _wanted(media_type: str, ranges: Mapping[str, float]) -> float:
    """How much a client wants a media type: what the most specific range that covers it says."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
