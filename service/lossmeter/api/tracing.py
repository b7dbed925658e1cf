"""Traces requests, where the standard variables of OpenTelemetry ask for it; otherwise nothing of OpenTelemetry is imported.

A request is a span, child of the one that its headers name; decoding, computing and encoding are its children. They are made
after the fact from the times that are measured anyway, so that work in a thread of the pool knows nothing of tracing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import lossmeter
from lossmeter.telemetry.counters import CLIENT_GONE, METHODS
from lossmeter.telemetry.measures import STAGES
from lossmeter.telemetry.request import request_state

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SCOPE = "lossmeter"


def is_enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns True if there is somewhere to send traces to, and nothing says not to."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp")
    return exporter == "otlp" and any(environment.get(name) for name in ENDPOINTS)


class Tracing:
    """Makes the spans, as ASGI middleware.

    Args:
        app: answers.
        provider: sends the spans; it must be shut down at the end.
    """

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self.app = app
        self._tracer: Tracer = provider.get_tracer(SCOPE, lossmeter.__version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind, format_trace_id

        # A name that is sent twice counts once, and nothing but the headers of propagation is looked at.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(method, propagate.extract(headers), SpanKind.SERVER)
        context = span.get_span_context()
        request_state(scope).trace_id = format_trace_id(context.trace_id)
        status, answered_ns = CLIENT_GONE, 0

        async def send_noted(message: Message) -> None:
            nonlocal status, answered_ns
            if message["type"] == "http.response.start":
                status, answered_ns = message["status"], time_ns()
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            if span.is_recording():
                self._finish(span, scope, method, status, answered_ns)
            span.end()

    def _finish(self, span: Span, scope: Scope, method: str, status: int, answered_ns: int) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        state = request_state(scope)
        span.update_name(f"{method} {state.route}" if state.route else method)
        span.set_attributes(
            {
                "http.request.method": method,
                "http.response.status_code": status,
                "url.scheme": scope.get("scheme", "http"),
                "http.route": state.route,
                "lossmeter.request_id": state.request_id,
                "lossmeter.loss": state.loss,
                "http.request.body.size": state.received_bytes,
            }
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", state.error_code or str(status))
        stages = state.stages
        if stages is None or not answered_ns:
            return
        # The last stage ended when the answer began; what lies before the first was reading and waiting.
        context = set_span_in_context(span)
        begin = answered_ns - int(sum(stages) * 1e6)
        for name, milliseconds in zip(STAGES, stages, strict=True):
            end = begin + int(milliseconds * 1e6)
            self._tracer.start_span(name, context, start_time=begin).end(end)
            begin = end


def tracer_provider() -> TracerProvider | None:
    """Returns the provider that sends spans where the variables say; None if tracing is not enabled, or not installed."""
    if not is_enabled():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        log.error('Traces are asked for, but %s is missing: pip install "lossmeter[otel]"', error.name)  # noqa: TRY400
        return None
    # What the variables say goes before what is said here, so only the name is a default.
    name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "lossmeter"}
    provider = TracerProvider(resource=Resource.create({**name, "service.version": lossmeter.__version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
