"""Chooses formats, languages and content codings, by the headers of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmeter.api.headers import Headers, header, items
from lossmeter.errors import NotAcceptable, UnsupportedFormat
from lossmeter.wire import json, safetensors
from lossmeter.wire.compression import EXPANDERS

MAX_CODINGS = 4
"""Codings that a body may have, applied one after the other."""
ALIASES = {"x-gzip": "gzip"}
IDENTITY = "identity"


@dataclass(frozen=True)
class Format:
    """A media type with its codec."""

    media_type: str
    decode: Callable[..., dict[str, Any]]
    encode: Callable[..., list[bytes | memoryview]]
    parameters: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of an answer in this format, besides its type."""

    @property
    def header(self) -> bytes:
        return (self.media_type + self.parameters).encode("ascii")


JSON = Format(json.MEDIA_TYPE, json.decode, json.encode)
SAFETENSORS = Format(safetensors.MEDIA_TYPE, safetensors.decode, safetensors.encode)
FORMATS: Mapping[str, Format] = {form.media_type: form for form in (JSON, SAFETENSORS)}


def media_type_of(headers: Headers) -> str:
    """Returns the media type of the body, without its parameters; empty if there is none."""
    given = header(headers, b"content-type") or b""
    return given.decode("latin-1").partition(";")[0].strip().lower()


def request_format(headers: Headers, others: Iterable[str] = ()) -> Format:
    """Returns the format of the body, by `Content-Type`; without one, JSON.

    Args:
        others: media types that the address takes besides, for the message.

    Raises:
        UnsupportedFormat: if it is none of those spoken here.
    """
    given = header(headers, b"content-type")
    if given is None or given == b"application/json":
        return JSON
    media_type, _, parameters = given.decode("latin-1").partition(";")
    media_type = media_type.strip().lower()
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2]
    form = FORMATS.get(media_type) or (JSON if media_type.endswith("+json") else None)
    if form is None or charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedFormat(
            f"Content-Type is {given.decode('latin-1')!r}; expected {' or '.join((*FORMATS, *others))}."
        )
    return form


def answer_format(headers: Headers, formats: Mapping[str, Format] = FORMATS) -> Format:
    """Returns the format of the answer, of those that an address answers in, by `Accept`; without one, JSON.

    Raises:
        NotAcceptable: if none of those spoken here is acceptable.
    """
    given = header(headers, b"accept")
    if given is None or given in (b"*/*", b"application/json"):
        return JSON
    ranges = dict(items(headers, b"accept"))
    qualities = {form.media_type: _quality(form.media_type, ranges) for form in formats.values()}
    best = max(qualities, key=qualities.__getitem__)  # the first of equals
    if not qualities[best]:
        raise NotAcceptable(f"Accept is {given.decode('latin-1')!r}; this address answers in {' or '.join(formats)}.")
    return formats[best]


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Returns how much a client wants a media type: the most specific range that covers it decides."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0


def answer_language(headers: Headers, offered: Sequence[str]) -> str:
    """Returns the language that the client prefers among those offered, by `Accept-Language`; the first of them without one.

    A region or script does not matter: `zh-CN` and `zh-Hant` are `zh`. Of equals the one that the client names first is taken.
    """
    wanted: dict[str, float] = {}
    for tag, weight in items(headers, b"accept-language"):
        language = tag.partition("-")[0]
        wanted[language] = max(weight, wanted.get(language, 0.0))
    weights = {name: wanted[name] for name in wanted if name in offered}
    weights |= {name: wanted.get("*", 0.0) for name in offered if name not in wanted}
    best = max(weights, key=weights.__getitem__)  # the first of equals
    return best if weights[best] > 0 else offered[0]


def body_codings(headers: Headers) -> tuple[str, ...]:
    """Returns the codings of the body, in the order in which they were applied.

    Raises:
        UnsupportedFormat: if one is not known here.
    """
    if header(headers, b"content-encoding") is None:
        return ()
    names = [ALIASES.get(name, name) for name, _ in items(headers, b"content-encoding") if name != IDENTITY]
    unknown = [name for name in names if name not in EXPANDERS]
    if unknown or len(names) > MAX_CODINGS:
        given, known = ", ".join(names), ", ".join(EXPANDERS)
        raise UnsupportedFormat(f"Content-Encoding is {given!r}; expected at most {MAX_CODINGS} of {known}.")
    return tuple(names)


def answer_coding(headers: Headers, offered: Iterable[str]) -> str | None:
    """Returns the coding that the client prefers among those offered; None if it prefers none at all."""
    if header(headers, b"accept-encoding") is None:
        return None
    wanted = {ALIASES.get(name, name): weight for name, weight in items(headers, b"accept-encoding")}
    weights = {name: wanted.get(name, wanted.get("*", 0.0)) for name in offered}
    if not weights:
        return None
    best = max(weights, key=weights.__getitem__)  # the first of equals
    return best if weights[best] > 0 and weights[best] >= wanted.get(IDENTITY, 0.0) else None
