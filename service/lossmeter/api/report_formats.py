"""Formats of reports besides JSON and safetensors: Markdown, HTML and JUnit XML. Nothing is sent in them to the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NoReturn

from lossmeter.api.negotiation import FORMATS, JSON, Format
from lossmeter.errors import UnsupportedFormat
from lossmeter.reporting import comparison_page, junit, markdown, report_page
from lossmeter.web import report

POLICY = f"{report.policy()}; frame-ancestors 'none'".encode()
"""A report shows what clients sent: nothing may run but the script that draws it, and nothing is loaded."""


def _refuse(body: bytes | bytearray, tensors: AbstractSet[str]) -> NoReturn:  # noqa: ARG001
    raise UnsupportedFormat("No request is written in this format.")


def _written(write: Callable[[Mapping[str, Any]], str]) -> Callable[..., list[bytes | memoryview]]:
    def encode(fields: Mapping[str, Any], *, base64: bool = False) -> list[bytes | memoryview]:  # noqa: ARG001
        return [write(fields).encode()]

    return encode


UTF8 = "; charset=utf-8"
MARKDOWN = Format("text/markdown", _refuse, _written(lambda fields: markdown(report_page(fields))), UTF8)
HTML = Format(
    "text/html",
    _refuse,
    _written(report.report_file),
    UTF8,
    ((b"content-security-policy", POLICY),),
)
JUNIT = Format("application/junit+xml", _refuse, _written(junit), UTF8)
PAGES: Mapping[str, Format] = {form.media_type: form for form in (MARKDOWN, HTML, JUNIT)}
OF_EVALUATION: Mapping[str, Format] = {**FORMATS, **PAGES}
"""Formats in which `POST /v1/evaluate` answers."""
OF_RUN: Mapping[str, Format] = {JSON.media_type: JSON, **PAGES}
"""Formats in which the address of a run answers."""
_COMPARED = replace(MARKDOWN, encode=_written(lambda fields: markdown(comparison_page(fields))))
OF_COMPARISON: Mapping[str, Format] = {form.media_type: form for form in (JSON, _COMPARED, JUNIT)}
"""Formats in which `POST /v1/comparisons` answers."""
