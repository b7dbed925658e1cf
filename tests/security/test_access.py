"""Nobody gets further than the door without the key that a call needs."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lossmeter.api.access import Access, is_local, requires_keys, trusts_this_machine
from lossmeter.client import Client
from lossmeter.client.errors import Forbidden, Unauthorized
from lossmeter.database import Database
from lossmeter.keys import SCOPES, SqlKeys, issue
from lossmeter.keys.key import now_microseconds
from lossmeter.settings import Settings
from tests.support.loops import for_each
from tests.support.service import answer_of, connected, serving

DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_text())
OPERATIONS = [
    (method.upper(), path, operation["security"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
GUARDED = [(method, path, security[0]["key"]) for method, path, security in OPERATIONS if security]
PLACES = {
    "loss": "mse",
    "metric": "mse",
    "version": "1",
    "run_id": "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    "batch_id": "0",
    "region": "r",
    "key_id": "a" * 12,
}
MSE = {"predictions": [1.0], "labels": [0.0]}


class Door:
    """A server that asks for keys, and keys of every kind."""

    def __init__(self, url: str, store: SqlKeys) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=20)
        self.store = store
        self.tokens = {scope: self.token(scope) for scope in SCOPES}
        self.tokens["none"] = self.token()
        gone, self.tokens["revoked"] = issue("revoked", ["admin"])
        store.add(replace(gone, revoked=now_microseconds()))
        old, self.tokens["expired"] = issue("expired", ["admin"])
        store.add(replace(old, expires=now_microseconds() - 1))
        self.tokens["unknown"] = issue("unknown", ["admin"])[1]
        self.tokens["wrong"] = self.tokens["admin"][:-3] + "AAA"

    def token(self, *scopes: str, **limits: Any) -> str:
        """The token of a new key."""
        key, token = issue("of a test", scopes, **limits)
        self.store.add(key)
        return token

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        return self.http.request(method, path.format(**PLACES), headers=headers, **options)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/runs.sqlite"
    database = Database(url)
    keys = SqlKeys(database)
    keys.all()
    with serving(auth="required", store_url=url, key_cache_seconds=0) as address:
        found = Door(address, keys)
        with found.http:
            yield found
    database.close()


def refused(answer: httpx.Response, path: str) -> str:
    """The words of a refusal, which has the form that callers of this address expect."""
    assert "x-request-id" in answer.headers
    if path.startswith("/v2"):
        assert answer.headers["content-type"] == "application/json"
        return str(answer.json()["error"])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return str(problem["detail"])


@pytest.mark.parametrize("how", [None, "unknown", "wrong", "revoked", "expired"])
@for_each("operation", GUARDED)
def test_no_operation_works_without_a_good_key(
    door: Door, operation: tuple[str, str, list[str]], how: str | None
) -> None:
    method, path, _ = operation
    answer = door.ask(method, path, None if how is None else door.tokens[how])
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert challenge == 'Bearer realm="lossmeter"' + ("" if how is None else ', error="invalid_token"')
    assert refused(answer, path)


@for_each("operation", GUARDED)
def test_every_operation_takes_the_scope_that_the_document_names_and_no_other(
    door: Door, operation: tuple[str, str, list[str]]
) -> None:
    method, path, scopes = operation
    good = {*scopes, "admin"} if scopes else {*SCOPES, "none"}
    for kind in (*SCOPES, "none"):
        answer = door.ask(method, path, door.tokens[kind])
        if kind in good:
            assert answer.status_code not in (401, 403), kind
        else:
            assert answer.status_code == 403, kind
            assert answer.headers["www-authenticate"].endswith(f'error="insufficient_scope", scope="{scopes[0]}"')
            assert scopes[0] in refused(answer, path)


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, security in OPERATIONS if not security])
def test_what_the_document_calls_open_is_open(door: Door, method: str, path: str) -> None:
    assert door.ask(method, path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/static/console/main.js"])
def test_the_pages_are_open(door: Door, path: str) -> None:
    assert door.ask("GET", path).status_code == 200


def test_the_document_calls_little_open() -> None:
    assert {path for _, path, security in OPERATIONS if not security} == {
        *("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
    }
    assert len(GUARDED) > 40


@pytest.mark.parametrize("path", ["/nothing", "/v1/losses/nothing", "/static", "/docs/", "/metrics", "/V1/losses"])
def test_even_what_does_not_exist_is_not_told_without_a_key(door: Door, path: str) -> None:
    assert door.ask("GET", path).status_code == 401
    assert door.ask("POST", path, json=MSE).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static/../v1/losses",
        "/docs/../v1/losses",
        "/static/%2e%2e/v1/losses",
        "/healthz/../v1/losses",
        "/static//v1/losses",
        "//docs",
    ],
)
def test_no_open_path_leads_to_a_closed_one(door: Door, path: str) -> None:
    with connected(door.url) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = answer_of(connection)
    assert answer.split(b" ")[1] in (b"401", b"404")
    assert b"cross_entropy" not in answer


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic bG06bG0=", "lm_x", "Bearer \xff", "Bearer " + "x" * 8000]
)
def test_anything_else_in_the_header_is_no_key(door: Door, value: str) -> None:
    with connected(door.url) as connection:
        connection.sendall(b"GET /v1/losses HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" % value.encode("latin-1"))
        assert answer_of(connection).startswith(b"HTTP/1.1 401")


def test_the_word_bearer_may_be_written_as_one_likes(door: Door) -> None:
    answer = door.ask("GET", "/v1/losses", headers={"Authorization": f"bearer  {door.tokens['none']}"})
    assert answer.status_code == 200


def test_a_key_in_the_address_is_no_key(door: Door) -> None:
    assert door.ask("GET", f"/v1/losses?access_token={door.tokens['admin']}").status_code == 401


def test_a_body_is_not_waited_for_without_a_key(door: Door) -> None:
    with connected(door.url) as connection:
        head = "POST /v1/losses/mse HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 401")


def test_a_key_that_is_used_too_often_is_told_when_to_come_back(door: Door) -> None:
    token = door.token("evaluate", requests_per_second=0.05, burst=2)
    answers = [door.ask("POST", "/v1/losses/mse", token, json=MSE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 20
    assert answers[2].json()["code"] == "too_many_requests"


def test_a_key_may_have_a_smaller_limit_for_bodies_than_the_server(door: Door) -> None:
    token = door.token("evaluate", max_body_bytes=100)
    assert door.ask("POST", "/v1/losses/mse", token, json=MSE).status_code == 200
    large = {"predictions": [1.0] * 100, "labels": [0.0] * 100}
    answer = door.ask("POST", "/v1/losses/mse", token, json=large)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "larger than 100 bytes" in answer.json()["detail"]
    chunks = iter([json.dumps(large).encode()])
    assert door.ask("POST", "/v1/losses/mse", token, content=chunks).status_code == 413


def test_the_client_sends_its_key(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(door.url, api_key=door.tokens["evaluate"]) as client:
        assert client.loss("mse", **MSE).value == 1.0
    monkeypatch.setenv("LOSSMETER_API_KEY", door.tokens["runs:read"])
    with Client(door.url) as client, pytest.raises(Forbidden, match="evaluate"):
        client.loss("mse", **MSE)
    with Client(door.url, api_key="") as client, pytest.raises(Unauthorized):
        client.loss("mse", **MSE)


def test_a_key_that_is_revoked_in_the_database_stops(door: Door) -> None:
    token = door.token("evaluate")
    assert door.ask("POST", "/v1/losses/mse", token, json=MSE).status_code == 200
    door.store.revoke(token.split("_")[1], now_microseconds())
    assert door.ask("POST", "/v1/losses/mse", token, json=MSE).status_code == 401


def test_a_server_whose_keys_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving(auth="required", store_url=f"sqlite:///{tmp_path}/file/keys.sqlite") as url:
        token = issue("ci", ["admin"])[1]
        answer = httpx.get(url + "/v1/losses", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "retry-after" in answer.headers
        assert httpx.get(url + "/v1/losses").status_code == 401
        assert httpx.get(url + "/healthz").status_code == 200


def test_by_default_this_machine_needs_no_key(http: httpx.Client) -> None:
    assert http.get("/v1/losses", headers={"Authorization": "Bearer lm_nonsense"}).status_code == 200


def test_a_unix_socket_needs_no_key(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with serving(uds=path, host="0.0.0.0"), httpx.Client(transport=httpx.HTTPTransport(uds=path)) as http:
        assert http.get("http://x/v1/losses").status_code == 200


def test_by_default_a_server_for_everybody_asks_everybody() -> None:
    with serving(host="0.0.0.0") as url:
        assert httpx.get(url + "/v1/losses").status_code == 401
    with serving(host="0.0.0.0", auth="off") as url:
        assert httpx.get(url + "/v1/losses").status_code == 200


def test_a_server_set_up_for_this_machine_alone_that_others_reach_asks_them() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing; it only chooses an address of this machine
        except OSError:
            pytest.skip("this machine has no address but loopback")
        elsewhere = str(asked.getsockname()[0])
    with serving(listens_on=elsewhere) as url:
        answer = httpx.get(url + "/v1/losses")
        assert answer.status_code == 401
        assert "LOSSMETER_AUTH" in answer.json()["detail"]


def test_a_server_open_to_everybody_says_so_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not requires_keys(Settings(auth="off"))
        assert not caplog.records
        assert not requires_keys(Settings(auth="off", host="0.0.0.0"))
    assert "anybody who reaches 0.0.0.0 may use this server" in caplog.text


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("/run/x.sock", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("::ffff:10.0.0.1", False)),
    ],
)
def test_which_addresses_only_this_machine_can_reach(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_required_asks_this_machine_too() -> None:
    assert trusts_this_machine(Settings())
    assert not trusts_this_machine(Settings(auth="required"))
    assert not trusts_this_machine(Settings(host="0.0.0.0"))


def test_the_address_of_the_server_may_be_any_iterable_as_asgi_says() -> None:
    nobody: Any = None
    here = Access(nobody, nobody, local=True, origins=())
    scope = {"type": "http", "method": "POST", "path": "/v1/evaluate", "server": ["127.0.0.1", 80]}
    assert here.is_open_to({**scope, "headers": [(b"host", b"127.0.0.1")]})
    assert not here.is_open_to({**scope, "headers": [(b"host", b"lossmeter.example.org")]})
