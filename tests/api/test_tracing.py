"""Traces reach a collector, as children of the caller's span, and cost nothing where nobody asked for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from lossmeter.api.tracing import is_enabled
from tests.support.forks import fork
from tests.support.processes import started, wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MSE = {"predictions": [1.0, 2.0], "labels": [0.0, 0.0]}


class Collector:
    """What was exported."""

    def __init__(self) -> None:
        self.resources: list[ResourceSpans] = []

    @property
    def spans(self) -> list[Span]:
        return [span for one in self.resources for scope in one.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector that speaks OTLP over HTTP, and its URL."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.resources.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def attributes(span: Span) -> dict[str, object]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def test_a_request_is_a_span_with_its_stages_under_the_span_of_the_caller() -> None:
    with collecting() as (collector, endpoint):
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_SERVICE_NAME": "mine",
        }
        with started("--log-format", "json", "--access-log", forked=True, **environment) as service:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "an-id"}
            assert httpx.post(service.url + "/v1/losses/l1", json=MSE, headers=headers).status_code == 200
            headers["traceparent"] = f"00-{'1' * 32}-{PARENT}-00"
            assert httpx.post(service.url + "/v1/losses/huber", json=MSE, headers=headers).status_code == 200
            assert httpx.get(service.url + "/v1/losses/none").status_code == 404
            wait_until(lambda: collector.named("GET /v1/losses/{loss}"), "exported")
            (line,) = [json.loads(line) for line in service.output.splitlines() if '"path":"/v1/losses/l1"' in line]
            service.stop()
    (span,) = collector.named("POST /v1/losses/{loss}")  # that of huber, the caller did not want sampled
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.kind == Span.SPAN_KIND_SERVER
    found = attributes(span)
    assert found["http.route"] == "/v1/losses/{loss}"
    assert (found["lossmeter.loss"], found["http.response.status_code"]) == ("mae", 200)
    assert found["lossmeter.request_id"] == "an-id"
    assert line["trace_id"] == TRACE
    stages = [one for one in collector.spans if one.parent_span_id == span.span_id]
    assert [one.name for one in stages] == ["decode", "compute", "encode"]
    times = [span.start_time_unix_nano, *(one.start_time_unix_nano for one in stages), stages[-1].end_time_unix_nano]
    assert sorted(times) == times
    assert stages[-1].end_time_unix_nano <= span.end_time_unix_nano
    assert all(one.trace_id == span.trace_id for one in stages)
    (missing,) = collector.named("GET /v1/losses/{loss}")
    assert missing.status.code == Status.STATUS_CODE_UNSET  # a mistake of the client is none of the server
    assert missing.trace_id.hex() != TRACE
    resource = {one.key: one.value.string_value for one in collector.resources[0].resource.attributes}
    assert resource["service.name"] == "mine"
    assert resource["service.version"]


def test_the_last_spans_are_sent_when_the_server_stops() -> None:
    with collecting() as (collector, endpoint), started(forked=True, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as service:
        httpx.post(service.url + "/v1/losses/mse", json=MSE)
        assert service.stop() == 0
        assert len(collector.named("POST /v1/losses/{loss}")) == 1


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    away = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # for which the last spans are tried; ten seconds by default
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with started(forked=True, **away) as service:
        with httpx.Client(base_url=service.url, timeout=2) as http:
            for _ in range(20):
                assert http.post("/v1/losses/mse", json=MSE).status_code == 200
        assert service.stop(30) == 0


def test_nothing_is_imported_where_nobody_asked(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from lossmeter.api.app import create_app\n"
        "create_app().build_middleware_stack()\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
    )
    log = tmp_path / "log"
    assert fork(program, [], {"LOSSMETER_DEVICE": "cpu"}, log).wait(60) == 0, log.read_text()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], expected: bool) -> None:
    assert is_enabled(environment) is expected
