"""A key is made once, known by its digest, and good until it expires or is revoked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lossmeter.database import Database
from lossmeter.errors import Invalid, NotFound, StoreUnavailable, TooManyRequests, Unauthorized
from lossmeter.keys import Key, Keyring, SqlKeys, issue
from lossmeter.keys.bucket import Bucket
from lossmeter.keys.key import LATEST, TOKEN, id_of, now_microseconds
from lossmeter.keys.keyring import OUTAGE_SECONDS
from tests.support.postgres import Postgres


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Keys of a store that may be away, and how often they were read."""

    def __init__(self, store: SqlKeys) -> None:
        self.store = store
        self.readings = 0
        self.away = False

    def all(self) -> list[Key]:
        self.readings += 1
        if self.away:
            raise StoreUnavailable("It is away.")
        return self.store.all()

    def revoke(self, key_id: str, now: int) -> tuple[Key, bool]:
        return self.store.revoke(key_id, now)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlKeys]:
    """Keys in a database of their own."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/keys.sqlite")
        database.upgrade()
        yield SqlKeys(database)
        database.close()
        return
    with Postgres() as server:
        database = Database(server.url)
        database.upgrade()
        yield SqlKeys(database)
        database.close()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    database = Database(f"sqlite:///{tmp_path}/keys.sqlite")
    yield Counted(SqlKeys(database))
    database.close()


def judged(ring: Keyring, token: str) -> Key:
    """What a server does with a token."""
    if ring.reading_due(token):
        ring.read()
    return ring.authenticate(token)


def test_a_token_has_256_random_bits_and_only_its_digest_is_kept() -> None:
    key, token = issue("ci", ["evaluate"])
    assert TOKEN.fullmatch(token)
    assert id_of(token) == key.id
    assert key.digest == hashlib.sha256(token.encode()).digest()
    assert token.removeprefix(f"lm_{key.id}_") not in repr(key)
    assert "digest" not in repr(key)
    others = {issue("ci", [])[1] for _ in range(100)}
    assert len(others | {token}) == 101


@pytest.mark.parametrize("text", ["", "lm_", "lm_abc", "Bearer", "lm_" + "a" * 12 + "_" + "x" * 42, "\0" * 59, "ä"])
def test_what_is_no_token_has_no_id(text: str) -> None:
    assert id_of(text) is None


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "two\nlines"}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"scopes": ["root"]}, "/scopes"),
        ({"requests_per_second": 0.0}, "/requests_per_second"),
        ({"requests_per_second": float("nan")}, "/requests_per_second"),
        ({"burst": 3}, "/burst"),
        ({"requests_per_second": 1.0, "burst": 0}, "/burst"),
        ({"max_body_bytes": 0}, "/max_body_bytes"),
        ({"expires": 1}, "/expires"),
        ({"expires": LATEST + 1}, "/expires"),
    ],
)
def test_a_key_that_cannot_be_is_refused(given: dict[str, object], pointer: str) -> None:
    fields = {"name": "ci", "scopes": [], **given}
    with pytest.raises(Invalid) as refused:
        issue(**fields)  # type: ignore[arg-type]
    assert refused.value.flaws[0].pointer == pointer


def test_keys_survive_the_database(store: SqlKeys) -> None:
    first, _ = issue("first", ["runs:read", "evaluate"], requests_per_second=2.5, max_body_bytes=10**9)
    second, _ = issue("second", [], expires=now_microseconds() + 10**9)
    for key in (first, second):
        store.add(key)
    assert {key.id: key for key in store.all()} == {first.id: first, second.id: second}
    revoked = replace(first, revoked=77)
    assert store.revoke(first.id, 77) == (revoked, True)
    assert store.revoke(first.id, 99) == (revoked, False)
    with pytest.raises(NotFound):
        store.revoke("nobody", 1)


def test_admin_covers_everything_and_nothing_else_does() -> None:
    admin, reader = issue("a", ["admin"])[0], issue("r", ["runs:read"])[0]
    assert all(admin.allows(scope) for scope in ("evaluate", "runs:read", "runs:write", "admin", None))
    assert [scope for scope in ("evaluate", "runs:read", "runs:write", "admin") if reader.allows(scope)] == [
        "runs:read"
    ]
    assert reader.allows(None)


def test_a_revoked_key_stops_within_the_time_that_the_setting_states(counted: Counted) -> None:
    clock = Clock()
    ring, elsewhere = Keyring(counted, 5.0, clock), Keyring(counted, 5.0, clock)
    key, token = issue("ci", ["evaluate"])
    counted.store.add(key)
    assert judged(ring, token).id == judged(elsewhere, token).id == key.id
    ring.revoke(key.id)
    with pytest.raises(Unauthorized, match="was revoked"):
        judged(ring, token)
    clock.now += 4.9
    assert judged(elsewhere, token).id == key.id
    clock.now += 0.1
    with pytest.raises(Unauthorized, match="was revoked"):
        judged(elsewhere, token)


def test_a_new_key_is_known_within_a_second(counted: Counted) -> None:
    clock = Clock()
    ring = Keyring(counted, 5.0, clock)
    first, first_token = issue("first", [])
    counted.store.add(first)
    judged(ring, first_token)
    second, second_token = issue("second", [])
    counted.store.add(second)
    with pytest.raises(Unauthorized):
        judged(ring, second_token)
    clock.now += 1.0
    assert judged(ring, second_token) == second


def test_key_guessing_reads_the_database_once_a_second(counted: Counted) -> None:
    clock = Clock()
    ring = Keyring(counted, 5.0, clock)
    for _ in range(1000):
        with pytest.raises(Unauthorized):
            judged(ring, issue("guess", ["admin"])[1])
        clock.now += 0.01
    assert 10 <= counted.readings <= 12


def test_a_key_in_use_is_read_before_it_is_stale_so_that_nobody_waits(counted: Counted) -> None:
    clock = Clock()
    ring = Keyring(counted, 5.0, clock)
    key, token = issue("ci", [])
    counted.store.add(key)
    judged(ring, token)
    clock.now += 2.0
    assert ring.reading_due(token) is False
    clock.now += 1.0
    assert ring.reading_due(token) is None
    clock.now += 3.0
    assert ring.reading_due(token) is True


def test_known_keys_outlive_a_short_outage_and_unknown_ones_are_told(counted: Counted) -> None:
    clock = Clock()
    ring = Keyring(counted, 5.0, clock)
    key, token = issue("ci", [])
    counted.store.add(key)
    judged(ring, token)
    counted.away = True
    clock.now += OUTAGE_SECONDS - 1
    assert judged(ring, token) == key
    clock.now += 2
    with pytest.raises(StoreUnavailable, match="Keys cannot be looked up"):
        judged(ring, token)
    with pytest.raises(StoreUnavailable):
        judged(ring, token)
    counted.away = False
    clock.now += 1
    assert judged(ring, token) == key


def test_an_expired_key_says_so_to_its_owner_alone(counted: Counted) -> None:
    key, token = issue("ci", [], expires=now_microseconds() + 10**9)
    counted.store.add(replace(key, expires=now_microseconds() - 1))
    ring = Keyring(counted, 5.0)
    with pytest.raises(Unauthorized, match="has expired"):
        judged(ring, token)
    with pytest.raises(Unauthorized, match="not one that this service knows"):
        judged(ring, token[:-1] + ("a" if token[-1] != "a" else "b"))


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = Bucket(10.0, 3, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.11) == 0.0
    assert bucket.take(0.12) > 0
    passed = sum(bucket.take(1 + step / 1000) == 0 for step in range(10_000))
    assert passed == pytest.approx(103, abs=1)


def test_each_key_has_a_bucket_that_reading_does_not_refill(counted: Counted) -> None:
    clock = Clock()
    ring = Keyring(counted, 5.0, clock)
    slow, _ = issue("slow", [], requests_per_second=0.1, burst=1)
    other, _ = issue("other", [], requests_per_second=0.1, burst=1)
    for key in (slow, other):
        counted.store.add(key)
    ring.read()
    ring.count(slow)
    ring.count(other)
    ring.read()
    with pytest.raises(TooManyRequests) as refused:
        ring.count(slow)
    assert refused.value.retry_after_seconds == 10
