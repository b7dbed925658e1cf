"""What every answer and every line of the log may tell, and what not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from lossmeter.keys import issue
from tests.support.processes import Service, started
from tests.support.service import answer_of, connected, serving

MSE = {"predictions": [1.0], "labels": [0.0]}
PAGE = "https://lab.example.org"
SECRET = "4242.4242"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(
            ("GET", "/", 200),
            ("GET", "/docs", 200),
            ("GET", "/openapi.json", 200),
            ("GET", "/static/console/main.js", 200),
        ),
        *(("GET", "/healthz", 200), ("GET", "/v1/losses", 200), ("GET", "/nothing", 404), ("PATCH", "/v1/losses", 405)),
        *(("POST", "/v1/losses/mse", 400), ("POST", "/v2/models/mse/infer", 400), ("GET", "/v1/runs/x", 404)),
    ],
)
def test_a_browser_makes_no_more_of_an_answer_than_it_is(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    for name, value in (
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ):
        assert answer.headers.get_list(name) == [value]
    assert "x-request-id" in answer.headers
    if answer.headers["content-type"].startswith("text/html"):
        assert "'unsafe" not in answer.headers["content-security-policy"]


def test_pages_elsewhere_may_not_call_unless_they_are_named(http: httpx.Client) -> None:
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = http.options("/v1/losses/mse", headers=preflight)
    assert not any(name.startswith("access-control") for name in answer.headers)
    with (
        serving(cors_origins=f" {PAGE} , https://other.example.org", auth="required") as url,
        httpx.Client(base_url=url) as open_,
    ):
        answer = open_.options("/v1/losses/mse", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        refused = open_.post("/v1/losses/mse", headers={"Origin": PAGE}, json=MSE)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == PAGE
        assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
        stranger = open_.options("/v1/losses/mse", headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://[::1", "http://x\xff"]
)
def test_a_page_elsewhere_cannot_use_that_this_machine_needs_no_key(url: str, origin: str) -> None:
    answer = httpx.post(url + "/v1/runs", headers={"Origin": origin.encode("latin-1")}, content=b"{}")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example@127.0.0.1", "[::1", "10.0.0.1"]
)
def test_a_name_that_is_made_to_lead_to_this_machine_does_not_count_as_it(url: str, host: str) -> None:
    with connected(url) as connection:
        connection.sendall(f"GET /v1/losses HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"LOSSMETER_AUTH" in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "127.8.8.8", "LOCALHOST:80"])
def test_a_name_of_this_machine_does(url: str, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert httpx.post(url + "/v1/losses/mse", headers=headers, json=MSE).status_code == 200


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server as it is started, that logs as much as it can."""
    with started("--access-log", "--log-level", "debug", forked=True, LOSSMETER_AUTH="required") as found:
        yield found


def test_the_log_holds_no_key_no_payload_and_no_line_that_a_client_wrote(service: Service) -> None:
    token = issue("of a test", ["admin"])[1]
    forged = "INFO:     forged line"
    requests = [
        f"GET /v1/losses/%0d%0a{forged.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\n",
        f"GET /v1/losses?x=%0a{forged.replace(' ', '%20')}%1b[31m HTTP/1.1\r\nHost: x\r\n",
        "GET /v1/losses HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x1b[31m\r\n",
        f"GET /v1/losses HTTP/1.1\r\nHost: x\r\nX-Request-ID: {'i' * 200}\r\n",
        f"POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 30\r\n",
        f"GET /{token} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {SECRET}\r\nCookie: {SECRET}\r\n",
        f"G\x00T / HTTP/1.1\r\nHost: {SECRET}\r\n",
    ]
    for request in requests:
        with connected(service.url) as connection:
            connection.sendall(request.encode("latin-1") + b"\r\n" + f'{{"predictions": [{SECRET}], "labels'.encode())
            answer_of(connection)
    time.sleep(0.2)
    log = service.output
    assert "GET /v1/losses" in log
    assert not any(line.strip().startswith(forged) for line in log.splitlines())
    assert not any(ord(character) < 32 and character != "\n" for character in log)
    assert SECRET not in log
    assert "i" * 200 not in log
    assert token.split("_", 2)[2] not in log.replace(f"GET /{token}", "")


def test_a_server_does_not_say_what_it_is(service: Service) -> None:
    answer = httpx.get(service.url + "/healthz")
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers
