"""Keys over HTTP: for holders of a key with the scope `admin`, and for nobody else, wherever they ask from."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from lossmeter.database import Database
from lossmeter.database.tables import KEYS
from lossmeter.errors import StoreUnavailable
from lossmeter.keys import SCOPES, Key, SqlKeys, issue
from lossmeter.keys.key import LATEST, TOKEN, digest_of
from tests.support.postgres import Postgres
from tests.support.service import serving

MSE = {"predictions": [1.0], "labels": [0.0]}


class Office:
    """A server, an admin's key for it, and the database of both."""

    def __init__(self, url: str, store: SqlKeys) -> None:
        self.url, self.store = url, store
        self.admin, self.token = issue("admin", ["admin"])
        store.add(self.admin)
        self.http = httpx.Client(base_url=url, timeout=30, headers=bearer(self.token))

    def make(self, **fields: Any) -> httpx.Response:
        answer = self.http.post("/v1/keys", json={"name": "ci", **fields})
        assert answer.status_code == 201, answer.text
        return answer

    def status(self, token: str) -> int:
        """Of a loss that is asked for with a key."""
        return httpx.post(f"{self.url}/v1/losses/mse", json=MSE, headers=bearer(token)).status_code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A server that asks everybody, on each database."""
    if request.param == "sqlite":
        with opened(f"sqlite:///{tmp_path_factory.mktemp('keys')}/runs.sqlite") as found:
            yield found
        return
    with Postgres() as server, opened(server.url) as found:
        yield found


@contextmanager
def opened(store_url: str, **settings: Any) -> Iterator[Office]:
    """A server on a database, with these settings, which asks everybody unless they say otherwise."""
    database = Database(store_url)
    database.upgrade()
    try:
        with serving(store_url=store_url, **{"auth": "required", "key_cache_seconds": 60, **settings}) as url:
            found = Office(url, SqlKeys(database))
            with found.http:
                yield found
    finally:
        database.close()


def test_a_key_is_made_used_listed_and_revoked(office: Office) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    limits = {"requests_per_second": 2.5, "max_body_bytes": 10**9}
    answer = office.make(scopes=["runs:read", "evaluate"], expires=expires.isoformat(), **limits)
    made, token = answer.json()["key"], answer.json()["token"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"/v1/keys/{made['id']}"
    assert TOKEN.fullmatch(token)
    assert (made["name"], made["state"], made["scopes"]) == ("ci", "good", ["evaluate", "runs:read"])
    assert (datetime.fromisoformat(made["expires"]), made["revoked"]) == (expires, None)
    assert {name: made[name] for name in limits} | {"burst": made["burst"]} == {**limits, "burst": 3}
    assert office.status(token) == 200
    listed = office.http.get("/v1/keys")
    assert listed.headers["cache-control"] == "no-store"
    assert listed.json()["keys"][0] == made
    assert listed.json()["keys"][-1]["id"] == office.admin.id
    # The admin's own key is known; the readings are a minute apart, so that nothing but the change itself is seen.
    for _ in range(2):
        gone = office.http.delete(answer.headers["location"])
        assert (gone.status_code, gone.content) == (204, b"")
        assert office.status(token) == 401
    (revoked,) = [one for one in office.http.get("/v1/keys").json()["keys"] if one["id"] == made["id"]]
    assert revoked["revoked"] >= made["created"]
    assert revoked == {**made, "state": "revoked", "revoked": revoked["revoked"]}


def test_a_key_needs_no_more_than_a_name(office: Office) -> None:
    made = office.make(name="x" * 200, expires=None, scopes=[]).json()["key"]
    assert [made[one] for one in ("scopes", "expires", "burst", "max_body_bytes", "requests_per_second")] == [
        *([], None, None, None, None)
    ]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": None}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "two\nlines"}, "/name"),
        ({"name": "\u202egnp"}, "/name"),
        ({"name": 1}, "/name"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"scopes": "admin"}, "/scopes"),
        ({"expires": "2001-01-01T00:00:00Z"}, "/expires"),
        ({"expires": "2101-01-01T00:00:00"}, "/expires"),
        ({"expires": "soon"}, "/expires"),
        ({"expires": 4102444800}, "/expires"),
        ({"expires": "9999-12-31T23:59:59-05:00"}, "/expires"),
        ({"expires": "9999-12-31T23:59:59.5Z"}, "/expires"),
        ({"requests_per_second": 0}, "/requests_per_second"),
        ({"requests_per_second": 1e300}, "/requests_per_second"),
        ({"burst": 3}, "/burst"),
        ({"burst": 2**31, "requests_per_second": 1}, "/burst"),
        ({"max_body_bytes": 0}, "/max_body_bytes"),
        ({"max_body_bytes": 2**63}, "/max_body_bytes"),
        ({"id": "aaaaaaaaaaaa"}, "/id"),
        ({"digest": "0" * 64}, "/digest"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_not_kept(office: Office, change: dict[str, Any], pointer: str) -> None:
    before = len(office.store.all())
    told = problem(office.http.post("/v1/keys", json={"name": "ci", **change}), 422, "invalid")
    assert [flaw["pointer"] for flaw in told["errors"]] == [pointer]
    assert len(office.store.all()) == before


def test_the_largest_limits_are_kept(office: Office) -> None:
    limits = {"requests_per_second": 1e9, "burst": 2**31 - 1, "max_body_bytes": 2**63 - 1}
    made = office.make(**limits, expires="9999-12-31T23:59:59+00:00").json()["key"]
    assert {name: made[name] for name in limits} == limits


def test_a_key_that_expires_later_than_can_be_written_is_listed(office: Office) -> None:
    late, _ = issue("late", [], expires=LATEST)
    office.store.add(replace(late, expires=LATEST + 86_400_000_000))
    listed = office.http.get("/v1/keys")
    assert listed.status_code == 200, listed.text
    (found,) = [one for one in listed.json()["keys"] if one["id"] == late.id]
    assert (found["state"], datetime.fromisoformat(found["expires"]).year) == ("good", 9999)


def test_a_key_whose_token_cannot_be_told_is_not_kept(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Key) -> None:
        raise ValueError("a bug")

    before = len(office.store.all())
    monkeypatch.setattr("lossmeter.api.operations.keys.key_model", broken)
    problem(office.http.post("/v1/keys", json={"name": "ci"}), 500, "internal")
    assert len(office.store.all()) == before


def test_only_the_newest_keys_are_listed_unless_they_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossmeter.api.routes.keys.NEWEST", 3)
    with opened(f"sqlite:///{tmp_path}/keys.sqlite") as office:
        made = [office.make(name=name).json()["key"] for name in "abcde"]
        for key in (made[0], made[2], made[4]):
            office.http.delete(f"/v1/keys/{key['id']}")
        listed = [(key["name"], key["state"]) for key in office.http.get("/v1/keys").json()["keys"]]
    assert listed == [("e", "revoked"), ("d", "good"), ("c", "revoked"), ("b", "good"), ("admin", "good")]


def test_what_is_no_key_cannot_be_revoked_and_is_not_repeated(office: Office) -> None:
    problem(office.http.delete("/v1/keys/aaaaaaaaaaaa"), 404, "not_found")
    token = office.make().json()["token"]
    for given in (token, "x%00", "AAAAAAAAAAAA", "a" * 13):
        told = problem(office.http.delete(f"/v1/keys/{given}"), 404, "not_found")
        assert told["detail"] == "There is no such key."
    answer = office.http.get(f"/v1/keys/{office.admin.id}")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE"


def test_only_the_scope_admin_manages_keys(office: Office) -> None:
    tokens = [
        office.make(scopes=[one for one in SCOPES if one != "admin"]).json()["token"],
        office.make().json()["token"],
    ]
    before = len(office.store.all())
    for token in tokens:
        for method, path in (("GET", ""), ("HEAD", ""), ("POST", ""), ("DELETE", f"/{office.admin.id}")):
            answer = httpx.request(method, f"{office.url}/v1/keys{path}", headers=bearer(token))
            assert answer.status_code == 403
            assert answer.headers["www-authenticate"].endswith('scope="admin"')
    assert len(office.store.all()) == before
    assert office.http.get("/v1/keys").status_code == 200


def test_keys_are_managed_with_the_scope_admin_even_if_the_door_asks_for_none(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = office.make(scopes=["runs:write"]).json()["token"]
    before = office.store.all()
    monkeypatch.setattr("lossmeter.api.access.required_scope", lambda *_: None)
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{office.admin.id}")):
        answer = httpx.request(method, f"{office.url}/v1/keys{path}", headers=bearer(token), json={"name": "mine"})
        problem(answer, 403, "forbidden")
    assert office.store.all() == before


def test_no_answer_but_the_first_and_no_log_holds_a_token_or_a_digest(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = office.make(scopes=["evaluate"]).json()
        token = made["token"]
        answers = [
            office.http.get("/v1/keys"),
            office.http.post("/v1/keys", json={"name": "ci", "token": token}),
            office.http.post("/v1/keys", json={"name": "ci", "burst": 1}),
            office.http.get("/metrics"),
            office.http.delete(f"/v1/keys/{made['key']['id']}"),
            httpx.get(f"{office.url}/v1/losses", headers=bearer(token)),
            office.http.get("/v1/keys"),
        ]
    told = "".join(answer.text for answer in answers) + caplog.text
    assert f"key {made['key']['id']} was made by key {office.admin.id}" in caplog.text
    assert f"key {made['key']['id']} was revoked by key {office.admin.id}" in caplog.text
    for one in (token, office.token):
        assert one.split("_", 2)[2] not in told
        assert digest_of(one).hex() not in told


def test_the_log_says_who_revoked_a_key_and_nobody_else(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossmeter")
    made, other = office.make().json()["key"]["id"], office.make(scopes=["admin"]).json()["token"]
    assert office.http.delete(f"/v1/keys/{made}").status_code == 204
    assert httpx.delete(f"{office.url}/v1/keys/{made}", headers=bearer(other)).status_code == 204
    told = [record.getMessage() for record in caplog.records if f"key {made} was revoked" in record.getMessage()]
    assert told == [f"key {made} was revoked by key {office.admin.id}"]


def test_a_token_in_an_address_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "lossmeter.access")
    with opened(f"sqlite:///{tmp_path}/keys.sqlite") as office:
        secret = office.token.split("_", 2)[2]
        slip = f"/v1/keys/{office.token}"
        assert office.http.delete(slip).status_code == 404
        assert office.http.get("/" + "x" * 480 + slip).status_code == 404  # only the beginning of it is logged
        assert office.http.delete(slip.replace("_", "%5f")).status_code == 404
        monkeypatch.setattr("lossmeter.api.routes.keys._administered", lambda: None)
        assert office.http.delete(slip).status_code == 500
    lines = [line for line in caplog.text.splitlines() if office.admin.id in line and "/v1/keys/lm" in line]
    assert len(lines) == 5
    assert all("***" in line for line in lines)
    assert secret[:6] not in caplog.text


def test_a_key_that_another_process_made_or_revoked_is_seen_in_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.sqlite"
    with opened(url, key_cache_seconds=0) as here, opened(url, key_cache_seconds=0) as elsewhere:
        made = here.make(scopes=["evaluate"]).json()
        assert elsewhere.status(made["token"]) == 200
        assert elsewhere.http.delete(f"/v1/keys/{made['key']['id']}").status_code == 204
        assert here.status(made["token"]) == 401


def test_a_reading_that_began_before_a_change_does_not_undo_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(f"sqlite:///{tmp_path}/keys.sqlite", key_cache_seconds=0.05) as office:
        made = office.make(scopes=["evaluate"]).json()
        read, began, goes_on = SqlKeys.all, threading.Event(), threading.Event()
        time.sleep(0.1)  # until what was read is too old to go by

        def slowly(store: SqlKeys) -> list[Key]:
            keys = read(store)
            began.set()
            goes_on.wait(10)
            return keys

        with monkeypatch.context() as patch:
            patch.setattr(SqlKeys, "all", slowly)
            asking = threading.Thread(target=office.status, args=(made["token"],))
            asking.start()
            assert began.wait(10)
            revoking = threading.Thread(target=office.http.delete, args=(f"/v1/keys/{made['key']['id']}",))
            revoking.start()
            revoking.join(2)
            # Nothing is read from here on: what is known is what the reading and the change have left.
            patch.setattr(SqlKeys, "all", unavailable)
            goes_on.set()
            revoking.join(20)
            asking.join(20)
            assert office.status(made["token"]) == 401
        (found,) = [one for one in office.store.all() if one.id == made["key"]["id"]]
        assert found.revoked is not None


def unavailable(_: SqlKeys) -> list[Key]:
    raise StoreUnavailable("It is away.")


def test_this_machine_makes_no_keys_without_one(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/keys.sqlite", auth="auto") as office:
        assert httpx.post(f"{office.url}/v1/losses/mse", json=MSE).status_code == 200
        for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{office.admin.id}"), ("GET", "/"), ("GET", "x")):
            for headers in ({}, bearer("lm_nonsense"), bearer(issue("mine", ["admin"])[1])):
                answer = httpx.request(method, f"{office.url}/v1/keys{path}", headers=headers)
                problem(answer, 401, "unauthorized")
        assert "from this machine too" in httpx.get(f"{office.url}/v1/keys").json()["detail"]
        assert [key.id for key in office.store.all()] == [office.admin.id]
        assert office.make().status_code == 201


def test_a_unix_socket_makes_no_keys_without_one(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with serving(uds=path), httpx.Client(transport=httpx.HTTPTransport(uds=path)) as http:
        assert http.get("http://x/v1/losses").status_code == 200
        problem(http.post("http://x/v1/keys", json={"name": "mine", "scopes": ["admin"]}), 401, "unauthorized")


def test_where_nobody_is_asked_for_a_key_none_are_managed(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/keys.sqlite", auth="off") as office:
        for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{office.admin.id}")):
            answer = office.http.request(method, f"/v1/keys{path}")
            told = problem(answer, 403, "keys_off")
            assert "LOSSMETER_AUTH=off" in told["detail"]
            assert "www-authenticate" not in answer.headers
        assert [key.revoked for key in office.store.all()] == [None]


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/keys.sqlite") as office:
        office.http.get("/v1/keys")
        with office.store.database.writing() as connection:
            connection.execute(sa.text(f"DROP TABLE {KEYS.name}"))
        answer = office.http.post("/v1/keys", json={"name": "ci"})
        problem(answer, 503, "store_unavailable")
        assert not re.search("lm_|INSERT|no such table", answer.text)
