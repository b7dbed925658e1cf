"""Log lines that programs can read, and that nothing a client sends can forge."""

from __future__ import annotations

import json
import logging
import sys

import httpx
import pytest

from lossmeter.telemetry.logs import JsonFormatter, TextFormatter
from tests.support.failing import PROGRAM
from tests.support.processes import started
from tests.support.service import answer_of, connected

SECRET = 271828.182845
FORGED = "/v1/losses/mse%0aINFO:%20forged%1b[31m"


def lines_of(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_is_an_object_and_each_request_has_one(workers: str) -> None:
    with started("--workers", workers, "--log-format", "json", "--access-log", forked=workers == "1") as service:
        body = {"predictions": [SECRET], "labels": [0.0]}
        headers = {"x-request-id": "from-the-client", "authorization": "Bearer hidden"}
        with httpx.Client(base_url=service.url, headers=headers) as http:
            assert http.post("/v1/losses/mse?key=hidden", json=body).status_code == 200
            assert http.post("/v1/losses/mse", json=body | {"labels": []}).status_code == 422
            assert http.post(FORGED, json=body).status_code == 404
        assert service.stop() == 0
        found = lines_of(service.output)
        assert "hidden" not in service.output
        assert str(SECRET) not in service.output
    assert all({"time", "level", "logger", "message", "process"} <= line.keys() for line in found)
    assert {"uvicorn.error", "lossmeter", "lossmeter.access"} <= {line["logger"] for line in found}
    good, bad, forged = [line for line in found if line.get("request_id") == "from-the-client"]
    assert (good["method"], good["path"], good["status"]) == ("POST", "/v1/losses/mse", 200)
    assert good["received_bytes"] == len(httpx.Request("POST", service.url, json=body).content)
    assert 0 < good["compute_milliseconds"] < good["milliseconds"]  # type: ignore[operator]
    assert (bad["status"], bad["code"]) == (422, "invalid")
    assert forged["path"] == FORGED


def test_a_bug_is_one_object_with_its_traceback_and_request_id() -> None:
    with started("--log-format", "json", program=PROGRAM, forked=True) as service:
        request = {"input1": [0.5], "input2": [1.5], "labels": [1]}
        httpx.post(service.url + "/v1/losses/margin_ranking", json=request, headers={"x-request-id": "mine"})
        service.process.wait(20)
        (line,) = [line for line in lines_of(service.output) if line.get("exception")]
    assert line["request_id"] == "mine"
    assert "AcceleratorError" in str(line["exception"])


def test_text_says_the_same_in_a_line() -> None:
    with started("--access-log", forked=True) as service, connected(service.url) as connection:
        httpx.post(service.url + FORGED, headers={"x-request-id": "mine"})
        connection.sendall(b"GET /caf\xc3\xa9\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer_of(connection)
        service.stop()
        lines = service.output.splitlines()
    (line,) = [line for line in lines if line.endswith(" mine")]
    assert f'"POST {FORGED}" 404' in line
    assert not any("\x1b[31m" in line or line.startswith("INFO: forged") for line in lines)


def record(message: str, *arguments: object) -> logging.LogRecord:
    try:
        raise ValueError("first\nINFO:     forged\x1b[31m")
    except ValueError:
        return logging.LogRecord("x", logging.ERROR, "", 0, message, arguments, sys.exc_info())


def test_control_characters_are_written_out() -> None:
    given = record("path %s", "a\nb\x00\x9b\u2028c")
    written = TextFormatter("%(levelprefix)s %(message)s", use_colors=False).format(given)
    first, *rest = written.split("\n")
    assert first == "ERROR:    path a\\x0ab\\x00\\x9b\\x2028c"
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in written
    line = JsonFormatter().format(given)
    assert "\n" not in line
    assert json.loads(line)["message"] == "path a\nb\x00\x9b\u2028c"
